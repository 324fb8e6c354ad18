"""The benches' own measures: a place found wrongly would be a figure that is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rig import audio, sip
from rig.figures import quantile


def test_ulaw_takes_the_nearest_step() -> None:
    assert audio.ulaw(audio.DECODE.astype(int))[:127] == bytes(range(127))
    assert audio.linear(audio.SILENT).tolist() == [0] * audio.FRAME
    samples = np.arange(-32000, 32000, 7)
    error = np.abs(audio.linear(audio.ulaw(samples)) - samples)
    assert np.all(error <= np.maximum(4, np.abs(samples) / 16))


@pytest.mark.parametrize("end_ms", [20, 240, 4980])
def test_a_packet_is_found_where_it_was_said(end_ms: int) -> None:
    packets = audio.phone_noise(5000, 1)
    place, sure = audio.place_of(packets[end_ms // 20 - 1], 5000)
    assert place == end_ms and sure > 0.99


def test_other_audio_is_not_found() -> None:
    assert audio.place_of(audio.phone_noise(5000, 2)[7], 5000)[1] < 0.6
    assert audio.place_of(audio.SILENT, 5000)[1] == 0


@pytest.mark.parametrize("piece", [320, 480, 7])
def test_each_pulse_is_found_once(piece: int) -> None:
    stream = np.frombuffer(b"".join(audio.linear(frame).tobytes() for frame in audio.pulses(5) * 4), "<i2")
    onsets = audio.Onsets(audio.PHONE_HZ)
    pieces = [stream[at : at + piece].tobytes() for at in range(0, len(stream), piece)]
    assert sum(onsets.found(one) for one in pieces) == 4


def test_quantile_is_a_value_that_was_measured() -> None:
    assert quantile([1, 2, 3, 4], 0.5) == 2
    assert quantile(list(range(1, 101)), 0.99) == 99


def test_sip_round_trip() -> None:
    dialog = sip.Dialog("agent@127.0.0.1:5060", 5062, 4000)
    invite = sip.parse(dialog.invite())
    assert invite is not None and invite.method == "INVITE" and sip.media_address(invite.body) == ("127.0.0.1", 4000)
    answer = sip.parse(sip.response_200(invite))
    assert answer is not None and (answer.status, answer.method) == (200, "INVITE")
    assert answer.one("call-id") == dialog.call_id
    assert sip.parse(b"\r\n\r\n") is None
