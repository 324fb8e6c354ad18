from __future__ import annotations

import base64

import pytest

from worker.local.config import VadSettings
from worker.local.errors import RequestError
from worker.local.hearing import LONGEST_MS, LONGEST_TURN_MS, InputBuffer


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


LOUD_SECOND = b64(b"\x80\x00" * 4000)  # full scale, alternating in sign
TALKING_SECOND = b64(b"\x80\x00" * 3600 + b"\xff" * 800)
QUIET_SECOND = b64(b"\xff" * 8000)


def buffer() -> InputBuffer:
    return InputBuffer("audio/pcmu", VadSettings())


def test_while_nobody_speaks_only_the_padding_is_kept() -> None:
    made = buffer()
    for _ in range(100):
        made.append(QUIET_SECOND)
    assert made.clock_ms == 100_000
    assert made.commit().ms == 500  # the padding, and what noticing a start takes


def test_speech_that_never_ends_is_cut_into_turns() -> None:
    made = buffer()
    edges = []
    for _ in range(LONGEST_TURN_MS // 1000 + 5):
        for edge in made.append(TALKING_SECOND):
            edges.append(edge.started)
            if edge.started:
                made.started(edge.at_ms)
            else:
                assert made.commit(edge.at_ms).ms <= LONGEST_TURN_MS + 1000
    assert edges == [True, False, True]


def test_without_turn_detection_what_is_kept_has_an_end_too() -> None:
    made = InputBuffer("audio/pcmu", None)
    minute = b64(b"\xff" * 8000 * 60)
    for _ in range(LONGEST_MS // 60_000 + 1):
        made.append(minute)
    with pytest.raises(RequestError) as refused:
        made.append(minute)
    assert refused.value.code == "input_audio_buffer_full"
    assert made.commit().ms == LONGEST_MS + 60_000
    made.append(minute)


def test_a_turn_is_what_lies_between_its_edges() -> None:
    made = buffer()
    made.append(QUIET_SECOND)
    (start,) = made.append(LOUD_SECOND)
    made.started(start.at_ms)
    assert made.speaking
    (stop,) = made.append(QUIET_SECOND)
    turn = made.commit(stop.at_ms)
    assert (start.at_ms, stop.at_ms, turn.ms, turn.rate_hz) == (700, 2500, 1800, 8000)
    assert not made.speaking


def test_another_format_drops_what_was_not_committed_and_keeps_the_clock() -> None:
    made = InputBuffer("audio/pcmu", None)
    made.append(QUIET_SECOND)
    made.configure("audio/pcm", None)
    assert made.clock_ms == 1000
    with pytest.raises(RequestError, match="0.00ms"):
        made.commit()


def test_too_much_in_one_event_is_refused() -> None:
    with pytest.raises(RequestError) as refused:
        buffer().append("A" * (15 * 1024 * 1024 + 4))
    assert refused.value.code == "string_above_max_length"
