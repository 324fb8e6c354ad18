"""The caller's ears: utterances are cut where speech begins and ends, and the waiting tone is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.call.sounds import soft_tone
from worker.demo.ears import BEFORE_FRAMES, START_FRAMES, STOP_FRAMES, Listener, Started, Stopped

SAMPLES = 160
QUIET = bytes(2 * SAMPLES)


def frame(dbfs: float) -> bytes:
    """20 ms at this level."""
    return np.full(SAMPLES, round(32768 * 10 ** (dbfs / 20)), dtype="<i2").tobytes()


LOUD = frame(-20)


def edges(frames: list[bytes]) -> list[tuple[int, str]]:
    listener, found = Listener(), []
    for number, piece in enumerate(frames):
        edge = listener.hear(piece)
        if edge is not None:
            found.append((number, type(edge).__name__))
    return found


def test_speech_begins_after_three_loud_frames_and_ends_after_the_quiet() -> None:
    frames = [QUIET] * 10 + [LOUD] * 50 + [QUIET] * 100
    assert edges(frames) == [(10 + START_FRAMES - 1, "Started"), (60 + STOP_FRAMES - 1, "Stopped")]


def test_clicks_are_no_speech() -> None:
    assert edges(([LOUD] * (START_FRAMES - 1) + [QUIET]) * 20) == []


def test_a_pause_at_a_comma_does_not_end_an_utterance() -> None:
    frames = [LOUD] * 20 + [QUIET] * (STOP_FRAMES - 1) + [LOUD] * 20 + [QUIET] * STOP_FRAMES
    assert [name for _, name in edges(frames)] == ["Started", "Stopped"]


def test_the_soft_beginning_of_a_word_is_part_of_the_utterance() -> None:
    soft = frame(-45)
    listener = Listener()
    for _ in range(40):
        listener.hear(QUIET)
    for _ in range(5):
        listener.hear(soft)
    assert [listener.hear(LOUD) for _ in range(START_FRAMES)][-1] == Started()
    stopped = next(edge for edge in (listener.hear(QUIET) for _ in range(STOP_FRAMES)) if edge)
    assert isinstance(stopped, Stopped)
    assert stopped.pcm.endswith(soft * 5 + LOUD * START_FRAMES + QUIET * STOP_FRAMES)
    assert len(stopped.pcm) == (BEFORE_FRAMES + STOP_FRAMES) * 2 * SAMPLES


def test_what_is_kept_from_before_is_not_of_the_utterance_before() -> None:
    listener, utterances = Listener(), []
    for piece in [LOUD] * 5 + [QUIET] * STOP_FRAMES + [frame(-25)] * 5 + [QUIET] * STOP_FRAMES:
        edge = listener.hear(piece)
        if isinstance(edge, Stopped):
            utterances.append(edge.pcm)
    assert len(utterances) == 2 and LOUD not in utterances[1]


def test_the_waiting_tone_is_not_taken_for_speech() -> None:
    tone = soft_tone(8000)
    frames = [tone[at : at + 320].ljust(320, b"\0") for at in range(0, len(tone), 320)]
    assert edges(([QUIET] * 20 + frames) * 5) == []


@pytest.mark.parametrize(("dbfs", "heard"), [(-30, True), (-40, False)])
def test_speech_is_told_by_its_level(dbfs: float, heard: bool) -> None:
    assert bool(edges([frame(dbfs)] * 10)) is heard


@given(st.lists(st.booleans(), max_size=300))
def test_edges_come_in_turns_and_no_frame_is_in_two_utterances(loud: list[bool]) -> None:
    listener, names, utterances = Listener(), [], []
    for number, is_loud in enumerate(loud):
        level = 6000 + number if is_loud else number % 50  # every frame its own
        edge = listener.hear(np.full(SAMPLES, level, dtype="<i2").tobytes())
        if edge is not None:
            names.append(type(edge).__name__)
        if isinstance(edge, Stopped):
            utterances.append(np.frombuffer(edge.pcm, dtype="<i2")[::SAMPLES])
    assert names == (["Started", "Stopped"] * len(names))[: len(names)]
    numbers = [int(level) - 6000 for utterance in utterances for level in utterance if level >= 6000]
    assert numbers == sorted(set(numbers))
