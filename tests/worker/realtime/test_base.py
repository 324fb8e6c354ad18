import dataclasses
import inspect
from typing import get_args

import pytest

from worker.errors import ProviderFault
from worker.realtime import base, formats
from worker.realtime import events as realtime
from worker.realtime.openai.codec import CAPABILITIES, OpenAICodec

EVENTS = get_args(realtime.RealtimeEvent)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_events_are_frozen_and_slotted_and_say_what_they_mean(event):
    assert dataclasses.is_dataclass(event) and event.__dataclass_params__.frozen
    assert "__dict__" not in dir(event)
    assert event.__doc__ and not event.__doc__.startswith(f"{event.__name__}(")


def test_every_dataclass_of_the_modules_is_an_event_or_a_known_setting():
    found = {cls for module in (base, realtime) for _, cls in inspect.getmembers(module, dataclasses.is_dataclass)}
    asked = {base.SessionConfig, base.ResponseRequest, base.Entry, base.OpenCall}
    assert found - set(EVENTS) == asked | {base.Capabilities, base.TurnTaking, base.RemoteServer}


def test_codec_has_every_method_of_the_protocol_with_the_same_parameters():
    for name, wanted in inspect.getmembers(base.Codec, inspect.isfunction):
        if not name.startswith("_"):
            found = getattr(OpenAICodec, name)
            assert inspect.signature(found).parameters == inspect.signature(wanted).parameters, name


def test_formats_offered_have_a_rate_and_a_width():
    for audio_format in get_args(formats.AudioFormat):
        assert formats.RATE_HZ[audio_format] * formats.SAMPLE_BYTES[audio_format] in (8_000, 32_000, 48_000)
    assert set(CAPABILITIES.input_formats) <= set(formats.RATE_HZ)


def test_refusal_is_the_provider_s_fault():
    refused = base.RealtimeRefused("no", code=401, fatal=True)
    assert isinstance(refused, ProviderFault)
    assert (refused.code, refused.fatal, str(refused)) == (401, True, "no")
