"""Playout over a real bridge: who is heard, the turns of the record, and where an item was cut."""

from __future__ import annotations

import pytest

from telephony.bridge import Bridge
from worker.call.playout import PAUSE_MS, PROMPT, REMEMBERED, Cut, Playout
from worker.call.sounds import soft_tone
from worker.records import record as records
from worker.records.recorder import Recorder
from worker.turns.machine import TONE

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
    assert line.pass_ms(440) == ["i1", None]
    # told at the first poll, after a frame; the record has the answer from where it is heard
    assert line.turns() == [("filler", 20, 60), ("agent", 60 + PAUSE_MS, 120 + PAUSE_MS)]


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


# --- the pause between a filler and the answer ------------------------------------------------------------------------


def silences(heard: bytes) -> list[int]:
    """The spans of silence between sounds, in ms."""
    sound = [bool(heard[at : at + 2].strip(b"\x00")) for at in range(0, len(heard), 2)]
    first, last = sound.index(True), len(sound) - sound[::-1].index(True)
    spans = "".join("x" if one else " " for one in sound[first:last]).split("x")
    return [round(len(span) / 8) for span in spans if span]


def test_an_answer_behind_a_filler_leaves_a_pause_that_is_no_part_of_it(line: Line) -> None:
    line.playout.play("f1", pcm(105), "filler")  # not even a whole number of frames
    line.playout.end_item("f1")
    line.playout.play("i1", pcm(100), "agent")
    line.playout.play("i1", pcm(100), "agent")
    line.playout.end_item("i1")
    assert line.pass_ms(600) == ["i1", None]
    assert silences(line.heard) == [PAUSE_MS]
    assert (line.bridge.heard_ms("i1"), line.bridge.received_ms("i1")) == (200, 200)
    [filler, agent] = line.turns()
    assert (filler[0], agent[0]) == ("filler", "agent")
    assert agent[1] - filler[2] == pytest.approx(PAUSE_MS, abs=20)


def test_an_answer_soon_after_a_filler_waits_for_the_rest_of_the_pause(line: Line) -> None:
    line.playout.play("f1", pcm(100), "filler")
    line.playout.end_item("f1")
    line.pass_ms(100 + 160)
    line.playout.play("i1", pcm(100), "agent")
    line.pass_ms(300)
    assert len(silences(line.heard)) == 1
    assert PAUSE_MS <= silences(line.heard)[0] <= PAUSE_MS + 20


@pytest.mark.parametrize("before", ["a filler of long ago", "a tone", "the agent", "a flush"])
def test_what_follows_no_filler_waits_for_nothing(line: Line, before: str) -> None:
    line.playout.play("f1", pcm(100), "filler")
    line.playout.end_item("f1")
    if before == "a flush":
        line.pass_ms(60)
        line.playout.flush(line.now)
    elif before == "the agent":
        line.playout.play("i0", pcm(20), "agent")
        line.pass_ms(600)
    else:
        line.pass_ms(100 + PAUSE_MS + 20)
        if before == "a tone":
            line.playout.play_tone()
            line.pass_ms(600)
    line.playout.play("i1", pcm(20), "agent")
    assert line.bridge.pull() == pcm(20)


def test_a_filler_that_ran_dry_and_went_on_is_followed_by_the_whole_pause(line: Line) -> None:
    line.playout.play("f1", pcm(100), "filler")
    line.pass_ms(500)
    line.playout.play("f1", pcm(100), "filler")
    line.pass_ms(60)
    line.playout.play("i1", pcm(100), "agent")
    line.pass_ms(600)
    assert silences(line.heard)[-1] == PAUSE_MS


def test_speech_into_the_pause_cuts_the_answer_that_nobody_heard_and_not_the_pause(line: Line) -> None:
    line.playout.play("f1", pcm(60), "filler")
    line.playout.end_item("f1")
    line.playout.play("i1", pcm(500), "agent")
    line.pass_ms(160)
    assert line.playout.flush(line.now) == [Cut("i1", 0, 500)]
    assert line.pass_ms(100) == []
    assert not line.heard[-1600:].strip(b"\x00")


def test_the_caller_hears_no_longer_a_silence_for_it_while_a_tool_runs(line: Line) -> None:
    line.recorder.tool_call_started(0.0, "t1", "order_status", "queued")
    line.playout.play("f1", pcm(60), "filler")
    line.playout.end_item("f1")
    line.playout.play("i1", pcm(60), "agent")
    line.playout.end_item("i1")
    line.pass_ms(500)
    line.recorder.tool_call_finished(line.now * 1000, "t1", "ok")
    record = line.recorder.ended(line.now * 1000, "completed")
    assert record.longest_tool_silence_ms == pytest.approx(PAUSE_MS, abs=20)
