"""Playout over a real bridge: who is heard, the turns of the record, and where an item was cut."""

from __future__ import annotations

import pytest

from telephony.bridge import Bridge
from worker import records
from worker.playout import PROMPT, REMEMBERED, Cut, Playout
from worker.records import Recorder
from worker.sounds import soft_tone
from worker.turns import TONE

FRAME = 320  # bytes of 20 ms at 8 kHz


def pcm(ms: int) -> bytes:
    return b"\x01\x10" * (8 * ms)


class Line:
    """A bridge whose clock the test moves, and the playout over it."""

    def __init__(self) -> None:
        self.bridge = Bridge(8000)
        self.recorder = Recorder("c1", 0.0)
        self.recorder.answered(0.0)
        self.events: list[records.RecordEvent] = []
        self.recorder.subscribe(self.events.append)
        self.playout = Playout(self.bridge, self.recorder)
        self.now = 0.0
        self.heard = b""

    def pass_ms(self, ms: int) -> list[str | None]:
        """Let the playout clock run, with a poll after each frame; returns what the machine was told."""
        told = []
        for _ in range(ms // 20):
            self.heard += self.bridge.pull()
            self.now += 0.02
            told += self.poll()
        return told

    def poll(self) -> list[str | None]:
        changed, item_id = self.playout.poll(self.now)
        return [item_id] if changed else []

    def turns(self) -> list[tuple[str, int, int]]:
        record = self.recorder.ended(self.now * 1000, "completed")
        return [(turn.who, turn.start_ms, turn.end_ms) for turn in record.turns]


@pytest.fixture
def line() -> Line:
    return Line()


def test_first_audio_of_an_item_is_told_once(line: Line) -> None:
    assert line.playout.play("i1", pcm(100), "agent")
    assert not line.playout.play("i1", pcm(100), "agent")
    assert line.playout.known("i1") and not line.playout.known("i2")
    assert line.playout.who("i1") == "agent" and line.playout.who("i2") is None


def test_the_end_of_what_was_queued_is_told(line: Line) -> None:
    line.playout.play("i1", pcm(100), "agent")
    line.playout.end_item("i1")
    assert line.poll() == [] and line.playout.playing == "i1"
    assert line.pass_ms(80) == []
    assert line.pass_ms(40) == [None]
    assert line.turns() == [("agent", 0, 100)]


def test_the_next_item_is_told_when_it_is_heard(line: Line) -> None:
    line.playout.play("f1", pcm(60), "filler")
    line.playout.end_item("f1")
    line.playout.play("i1", pcm(60), "agent")
    line.playout.end_item("i1")
    assert line.pass_ms(200) == ["i1", None]
    assert line.turns() == [("filler", 20, 60), ("agent", 60, 120)]  # told at the first poll, after a frame


def test_an_item_whose_audio_comes_to_nothing_is_taken_back(line: Line) -> None:
    """The machine takes it for playing from its first audio on, and would wait for its end for ever."""
    assert line.playout.play("i1", b"", "agent")
    line.playout.end_item("i1")
    assert line.poll() == [None]
    assert line.pass_ms(40) == []


def test_an_item_refused_by_a_full_queue_is_taken_back() -> None:
    line = Line()
    line.bridge = Bridge(8000, out_limit_ms=100)
    line.playout = Playout(line.bridge, line.recorder)
    line.playout.play("i1", pcm(500), "agent")
    assert line.poll() == [None]


def test_half_a_frame_of_an_item_that_never_goes_on_does_not_hold_the_floor(line: Line) -> None:
    line.playout.play("i1", pcm(10), "agent")  # and the session is lost: no AudioDone
    assert line.poll() == [None]
    line.playout.play("i2", pcm(60), "agent")
    line.pass_ms(20)
    assert line.playout.playing == "i2"
    assert line.pass_ms(100)[-1:] == [None]


def test_a_tone_has_one_name_is_no_turn_and_ends(line: Line) -> None:
    line.playout.play_tone()
    assert line.poll() == [] and line.playout.playing == TONE
    assert line.pass_ms(400) == [None]
    line.playout.play_tone()
    assert line.pass_ms(400) == [None]
    assert line.turns() == []
    assert soft_tone(8000) in line.heard


def test_a_voice_behind_a_tone_is_heard_after_it_without_an_edge(line: Line) -> None:
    line.playout.play_tone()
    line.pass_ms(20)
    line.playout.play("i1", pcm(200), "agent")  # AudioStarted tells the machine
    line.playout.end_item("i1")
    assert line.pass_ms(800) == [None], "the machine took it for playing when it was queued"
    [(who, start, end)] = line.turns()
    assert who == "agent" and start == pytest.approx(360, abs=20) and end == pytest.approx(560, abs=20)


def test_flush_is_silence_at_once_and_says_what_was_heard(line: Line) -> None:
    line.playout.play("i1", pcm(1000), "agent")
    line.playout.play("i2", pcm(500), "agent")
    line.pass_ms(240)
    assert line.playout.flush(line.now) == [Cut("i1", 240, 1000), Cut("i2", 0, 500)]
    assert line.bridge.pull() == bytes(FRAME)
    assert line.poll() == [] and line.playout.playing is None
    assert line.turns() == [("agent", 20, 240)]  # i2 was never heard: no turn


def test_flush_does_not_cut_what_was_heard_to_its_end_nor_tones(line: Line) -> None:
    line.playout.play("i1", pcm(100), "agent")
    line.playout.end_item("i1")
    line.pass_ms(100)
    line.playout.play_tone()
    line.pass_ms(40)
    assert line.playout.flush(line.now) == []


def test_flush_in_the_moment_after_the_last_frame_cuts_nothing(line: Line) -> None:
    line.playout.play("i1", pcm(100), "agent")
    line.playout.end_item("i1")
    for _ in range(5):
        line.bridge.pull()
    assert line.playout.flush(line.now) == []


def test_flush_twice_cuts_once(line: Line) -> None:
    line.playout.play("i1", pcm(100), "agent")
    assert len(line.playout.flush(0.0)) == 1
    assert line.playout.flush(0.0) == []


def test_heard_is_counted_by_the_playout_clock_not_by_time(line: Line) -> None:
    """Held, the playout clock stands still: nothing more is heard however long it takes."""
    line.playout.play("i1", pcm(1000), "agent")
    line.pass_ms(100)
    line.now += 60.0
    line.poll()
    assert line.playout.flush(line.now) == [Cut("i1", 100, 1000)]


def test_a_prompt_takes_the_place_of_what_was_queued(line: Line) -> None:
    line.playout.play("i1", pcm(5000), "agent")
    line.pass_ms(40)
    line.playout.play_prompt(pcm(200), "I am sorry.")
    assert line.pass_ms(20) == [PROMPT]
    assert line.pass_ms(400) == [None]
    record = line.recorder.ended(line.now * 1000, "failed")
    assert [turn.text for turn in record.turns] == ["", "I am sorry."]


def test_a_prompt_into_silence_is_told_to_its_end(line: Line) -> None:
    line.playout.play_prompt(pcm(200), "I am sorry.")
    assert line.pass_ms(400)[-1:] == [None]


def test_a_filler_counts_for_the_tools_that_run_when_it_is_heard(line: Line) -> None:
    line.recorder.tool_call_started(0, "t1", "orders", "inline")
    line.playout.play("f1", pcm(60), "filler")
    line.playout.end_item("f1")
    line.pass_ms(100)
    line.recorder.tool_call_finished(100, "t1", "ok")
    line.playout.play("f2", pcm(60), "filler")
    line.pass_ms(100)
    assert line.recorder.ended(200, "completed").tool_calls[0].fillers == 1


def test_memory_of_items_is_bounded_and_the_latest_stay(line: Line) -> None:
    for number in range(REMEMBERED * 3):
        line.playout.play(f"i{number}", pcm(20), "agent")
        line.playout.end_item(f"i{number}")
        line.pass_ms(20)
    assert not line.playout.known("i0") and line.playout.known(f"i{REMEMBERED * 3 - 1}")
    assert len(line.playout._voices) == len(line.playout._order) == REMEMBERED
