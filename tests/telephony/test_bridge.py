"""The bridge alone, with the queue of the build: rules one by one, random use against a model, two threads at once."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from types import FrameType

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import telephony.frame_queue as queue_module
from telephony.binding import pj
from telephony.bridge import Bridge, Flushed
from telephony.frame_queue import REMEMBERED, FrameQueue
from telephony.port import NATIVE, lacks

FRAME = 4
"""Bytes of a frame in these tests: 2 ms at 1 kHz."""
SILENCE = bytes(FRAME)


def small(in_limit_ms: int = 10, out_limit_ms: int = 60) -> Bridge:
    make_queue = pj.FrameQueue if NATIVE else FrameQueue
    return Bridge(1000, ptime_ms=2, in_limit_ms=in_limit_ms, out_limit_ms=out_limit_ms, make_queue=make_queue)


def sound(mark: int, samples: int) -> bytes:
    return mark.to_bytes(2, "little") * samples


def test_a_frame_at_8_khz_is_320_bytes_of_20_ms() -> None:
    bridge = Bridge()
    assert bridge.frame_bytes == 320
    assert bridge.pull() == bytes(320)
    assert bridge.clock_ms == 20


def test_what_is_played_is_pulled_in_order() -> None:
    bridge = small()
    bridge.play("a", sound(1, 3))
    bridge.play("a", sound(2, 1))
    assert [bridge.pull() for _ in range(3)] == [sound(1, 2), sound(1, 1) + sound(2, 1), SILENCE]


def test_the_rest_of_a_frame_waits_for_more_of_its_item() -> None:
    bridge = small()
    bridge.play("a", sound(1, 3))
    assert bridge.pull() == sound(1, 2)
    assert bridge.playing() is None
    assert bridge.pull() == SILENCE
    bridge.play("a", sound(2, 1))
    assert bridge.playing() == "a"
    assert bridge.pull() == sound(1, 1) + sound(2, 1)


def test_the_last_partial_frame_of_an_ended_item_is_padded() -> None:
    bridge = small()
    bridge.play("a", sound(1, 3))
    bridge.end_item("a")
    assert [bridge.pull() for _ in range(3)] == [sound(1, 2), sound(1, 1) + bytes(2), SILENCE]
    assert bridge.heard_ms("a") == 3
    assert bridge.underruns == 0


def test_the_next_item_begins_within_the_frame_in_which_one_ends() -> None:
    bridge = small()
    bridge.play("a", sound(1, 1))
    bridge.play("b", sound(2, 3))
    assert [bridge.pull(), bridge.pull()] == [sound(1, 1) + sound(2, 1), sound(2, 2)]
    assert (bridge.heard_ms("a"), bridge.heard_ms("b")) == (1, 3)


def test_an_item_keeps_together_while_it_is_queued() -> None:
    bridge = small()
    bridge.play("a", sound(1, 2))
    bridge.play("b", sound(2, 2))
    bridge.play("a", sound(3, 2))
    assert [bridge.pull() for _ in range(3)] == [sound(1, 2), sound(3, 2), sound(2, 2)]


def test_an_item_that_was_sent_to_its_end_begins_anew_behind_the_others() -> None:
    bridge = small()
    bridge.play("a", sound(1, 2))
    bridge.end_item("a")
    bridge.pull()
    bridge.play("b", sound(2, 2))
    bridge.play("a", sound(3, 2))
    assert [bridge.pull(), bridge.pull()] == [sound(2, 2), sound(3, 2)]
    assert bridge.heard_ms("a") == 4


def test_running_dry_in_mid_item_counts_once_a_gap() -> None:
    bridge = small()
    bridge.play("a", sound(1, 2))
    assert bridge.underruns == 0
    for _ in range(4):
        bridge.pull()
    assert bridge.underruns == 1
    bridge.play("a", sound(1, 2))
    for _ in range(4):
        bridge.pull()
    assert bridge.underruns == 2


def test_waiting_for_an_items_first_audio_is_no_underrun() -> None:
    bridge = small()
    bridge.play("a", sound(1, 1))
    bridge.pull()
    assert bridge.underruns == 0


def test_a_flush_tells_what_was_heard_and_leaves_silence() -> None:
    bridge = small()
    bridge.play("a", sound(1, 5))
    bridge.play("b", sound(2, 5))
    bridge.pull()
    assert bridge.flush() == [Flushed("a", 2, 5, False), Flushed("b", 0, 5, False)]
    assert bridge.pull() == SILENCE
    assert (bridge.queued_ms, bridge.playing(), bridge.underruns) == (0, None, 0)
    assert (bridge.heard_ms("a"), bridge.received_ms("a")) == (2, 5)


def test_a_flush_right_after_an_items_end_says_that_it_was_complete() -> None:
    bridge = small()
    bridge.play("a", sound(1, 2))
    bridge.end_item("a")
    bridge.pull()
    assert bridge.flush() == [Flushed("a", 2, 2, True)]


def test_an_item_sent_as_far_as_it_came_is_not_complete() -> None:
    bridge = small()
    bridge.play("a", sound(1, 2))
    bridge.pull()
    assert bridge.flush() == [Flushed("a", 2, 2, False)]


def test_a_paused_bridge_goes_on_at_the_sample_that_comes_next() -> None:
    bridge = small()
    bridge.play("a", sound(1, 2) + sound(2, 3))
    assert bridge.pull() == sound(1, 2)
    bridge.pause(True)
    bridge.play("a", sound(3, 1))
    assert [bridge.pull() for _ in range(3)] == [SILENCE] * 3
    assert (bridge.heard_ms("a"), bridge.received_ms("a"), bridge.underruns) == (2, 6, 0)
    assert bridge.playing() == "a"
    edges = bridge.edges
    bridge.pause(False)
    assert bridge.edges > edges, "whoever looks on has something to see"
    assert [bridge.pull() for _ in range(3)] == [sound(2, 2), sound(2, 1) + sound(3, 1), SILENCE]


def test_a_flush_ends_a_pause_and_tells_what_was_heard_before_it() -> None:
    bridge = small()
    bridge.play("a", sound(1, 5))
    bridge.pull()
    bridge.pause(True)
    bridge.pull()
    assert bridge.flush() == [Flushed("a", 2, 5, False)]
    bridge.play("b", sound(2, 2))
    assert bridge.pull() == sound(2, 2)


def test_a_paused_bridge_takes_no_more_than_its_limit() -> None:
    bridge = small(out_limit_ms=6)
    bridge.pause(True)
    assert bridge.play("a", sound(1, 5))
    assert not bridge.play("a", sound(2, 2))
    bridge.pause(False)
    assert bridge.pull() == sound(1, 2)


def test_an_item_may_go_on_after_a_flush() -> None:
    bridge = small()
    bridge.play("a", sound(1, 4))
    bridge.flush()
    bridge.play("a", sound(2, 2))
    assert bridge.pull() == sound(2, 2)


def test_a_full_playout_queue_refuses_the_newest_and_what_follows_it() -> None:
    bridge = small(out_limit_ms=6)
    assert bridge.play("a", sound(1, 5))
    assert not bridge.play("a", sound(2, 2))
    assert not bridge.play("a", sound(3, 1)), "it would fit, but a hole in an item makes its heard ms wrong"
    assert bridge.play("b", sound(4, 1))
    assert bridge.refused_out_ms == 3
    bridge.end_item("a")
    assert [bridge.pull() for _ in range(4)] == [sound(1, 2), sound(1, 2), sound(1, 1) + sound(4, 1), SILENCE]
    assert bridge.received_ms("a") == 5


def test_a_flush_lets_a_refused_item_in_again() -> None:
    bridge = small(out_limit_ms=2)
    assert not bridge.play("a", sound(1, 3))
    bridge.flush()
    assert bridge.play("a", sound(1, 2))


def test_a_full_input_queue_drops_the_oldest() -> None:
    bridge = small(in_limit_ms=4)
    for mark in (1, 2, 3):
        bridge.push(sound(mark, 2))
    assert bridge.take() == sound(2, 2) + sound(3, 2)
    assert bridge.take() == b""
    assert (bridge.pushed_frames, bridge.dropped_in_frames) == (3, 1)


def test_half_a_sample_is_refused_with_a_reason() -> None:
    with pytest.raises(ValueError, match="3 bytes are no whole number of 16-bit samples"):
        small().play("a", b"abc")


def test_unknown_items_have_no_ms_and_may_be_ended() -> None:
    bridge = small()
    bridge.end_item("nobody")
    assert (bridge.heard_ms("nobody"), bridge.received_ms("nobody"), bridge.flush()) == (0, 0, [])


def test_the_last_items_are_remembered_and_older_ones_forgotten() -> None:
    bridge = small()
    names = [f"item{number}" for number in range(REMEMBERED + 5)]
    for name in names:
        bridge.play(name, sound(1, 2))
        bridge.end_item(name)
        bridge.pull()
    assert [bridge.heard_ms(name) for name in names] == [0] * 5 + [2] * REMEMBERED


def test_items_with_audio_queued_are_never_forgotten() -> None:
    bridge = small(out_limit_ms=1000)
    names = [f"item{number}" for number in range(REMEMBERED * 2)]
    for name in names:
        bridge.play(name, sound(1, 1))
    for name in names:
        bridge.play(name, sound(1, 1))
    for _ in names:
        bridge.pull()
    assert [bridge.heard_ms(name) for name in names] == [2] * len(names)


def test_a_tap_hears_both_directions_and_may_leave() -> None:
    class Ear:
        heard: list[tuple[str, bytes]] = []

        def received(self, frame: bytes) -> None:
            self.heard.append(("in", frame))

        def sent(self, frame: bytes) -> None:
            self.heard.append(("out", frame))

    bridge = small()
    bridge.tap = Ear()
    bridge.play("a", sound(1, 2))
    bridge.pull()
    bridge.push(sound(2, 2))
    bridge.pull()
    bridge.tap = None
    bridge.pull()
    assert Ear.heard == [("out", sound(1, 2)), ("in", sound(2, 2)), ("out", SILENCE)]


@pytest.mark.skipif(NATIVE, reason="the clock of the C++ queue can't be set")
def test_lateness_is_the_worst_gap_since_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 100.002, 100.014, 100.016, 200.0, 200.002])
    monkeypatch.setattr("telephony.frame_queue.time.monotonic", lambda: next(clock))
    bridge = small()
    for _ in range(4):
        bridge.pull()
    assert bridge.worst_lateness_s() == pytest.approx(0.010)
    for _ in range(2):
        bridge.pull()
    assert bridge.worst_lateness_s() < 0.001, "a hold is no lateness"


# --- random use against a naive model ---------------------------------------------------------------------------------


@dataclass
class Entry:
    item_id: str
    data: bytes = b""
    ended: bool = False
    dry: bool = False


class Model:
    """Lists and whole bytes; every rule as plainly as it can be said."""

    def __init__(self, in_limit: int, out_limit: int) -> None:
        self.entries: list[Entry] = []
        self.heard: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.refused: set[str] = set()
        self.refused_bytes = self.underruns = self.pulled = self.pushed = self.dropped = 0
        self.waiting: list[bytes] = []
        self.in_limit, self.out_limit = in_limit, out_limit

    def entry(self, item_id: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.item_id == item_id), None)

    def queued(self) -> int:
        return sum(len(entry.data) for entry in self.entries)

    def sweep(self, gone: Callable[[Entry], bool]) -> None:
        while self.entries and not self.entries[0].data and gone(self.entries[0]):
            del self.entries[0]

    def superseded(self, entry: Entry) -> bool:
        return len(self.entries) > 1

    def play(self, item_id: str, pcm: bytes) -> bool:
        if not pcm:
            return True
        if item_id in self.refused or self.queued() + len(pcm) > self.out_limit:
            self.refused.add(item_id)
            self.refused_bytes += len(pcm)
            return False
        entry = self.entry(item_id)
        if entry and entry.ended and not entry.data:
            self.entries.remove(entry)
            entry = None
        if entry is None:
            entry = Entry(item_id)
            self.entries.append(entry)
        entry.data += pcm
        entry.ended = False
        self.received[item_id] += len(pcm)
        return True

    def end_item(self, item_id: str) -> None:
        entry = self.entry(item_id)
        if entry:
            entry.ended = True

    def flush(self) -> list[Flushed]:
        flushed = [
            Flushed(e.item_id, self.heard[e.item_id] // 2, self.received[e.item_id] // 2, e.ended and not e.data)
            for e in self.entries
        ]
        self.entries.clear()
        self.refused.clear()
        return flushed

    def sendable(self) -> tuple[Entry | None, int]:
        """Who the next frame begins with, and how many bytes of it there are."""
        if not self.entries:
            return None, 0
        count = self.queued()
        if count < FRAME and not self.entries[-1].ended:
            count -= len(self.entries[-1].data)
        first = next((entry for entry in self.entries if entry.data), None)
        return (first if count else None), min(FRAME, count)

    def pull(self) -> bytes:
        self.pulled += 1
        self.sweep(lambda entry: entry.ended or self.superseded(entry))
        _, count = self.sendable()
        if not count and self.entries and self.heard[self.entries[0].item_id] and not self.entries[0].dry:
            self.entries[0].dry = True
            self.underruns += 1
        frame = b""
        for entry in self.entries:
            part = entry.data[: count - len(frame)]
            entry.data = entry.data[len(part) :]
            frame += part
            self.heard[entry.item_id] += len(part)
            if part and len(frame) == FRAME:
                entry.dry = False
        self.sweep(self.superseded)
        return frame.ljust(FRAME, b"\0")


class BridgeAgainstModel(RuleBasedStateMachine):
    items = st.sampled_from("abcd")

    def __init__(self) -> None:
        super().__init__()
        self.bridge = small()
        self.model = Model(in_limit=5, out_limit=120)
        self.mark = 0
        self.told: tuple[int, str | None] = (0, None)

    def sound(self, samples: int) -> bytes:
        self.mark += samples
        return b"".join(mark.to_bytes(2, "little") for mark in range(self.mark - samples + 1, self.mark + 1))

    @rule(item_id=items, samples=st.integers(0, 12))
    def play(self, item_id: str, samples: int) -> None:
        pcm = self.sound(samples)
        assert self.bridge.play(item_id, pcm) == self.model.play(item_id, pcm)

    @rule(times=st.integers(1, 6))
    def pull(self, times: int) -> None:
        for _ in range(times):
            self.model.sweep(lambda entry: entry.ended or self.model.superseded(entry))
            first, _ = self.model.sendable()
            assert self.bridge.playing() == (first and first.item_id)
            assert self.bridge.pull() == self.model.pull()
            self.nothing_else_plays_without_an_edge()

    @rule(item_id=items)
    def end_item(self, item_id: str) -> None:
        self.bridge.end_item(item_id)
        self.model.end_item(item_id)

    @rule()
    def flush(self) -> None:
        assert self.bridge.flush() == self.model.flush()

    @rule(times=st.integers(1, 8))
    def push(self, times: int) -> None:
        for _ in range(times):
            frame = self.sound(2)
            self.bridge.push(frame)
            self.model.waiting.append(frame)
            self.model.pushed += 1
        self.model.dropped += max(0, len(self.model.waiting) - 5)
        self.model.waiting = self.model.waiting[-5:]

    @rule()
    def take(self) -> None:
        assert self.bridge.take() == b"".join(self.model.waiting)
        self.model.waiting.clear()

    @invariant()
    def nothing_else_plays_without_an_edge(self) -> None:
        told, self.told = self.told, (self.bridge.edges, self.bridge.playing())
        assert told[0] != self.told[0] or told[1] == self.told[1]

    @invariant()
    def the_counts_agree(self) -> None:
        bridge, model = self.bridge, self.model
        assert (bridge.underruns, bridge.refused_out_ms) == (model.underruns, model.refused_bytes / 2)
        assert (bridge.pulled_frames, bridge.clock_ms) == (model.pulled, 2 * model.pulled)
        assert (bridge.pushed_frames, bridge.dropped_in_frames) == (model.pushed, model.dropped)
        assert bridge.queued_ms == model.queued() // 2
        for item_id in "abcd":
            assert bridge.heard_ms(item_id) == model.heard[item_id] // 2
            assert bridge.received_ms(item_id) == model.received[item_id] // 2


TestBridgeAgainstModel = BridgeAgainstModel.TestCase
TestBridgeAgainstModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


# --- two threads ------------------------------------------------------------------------------------------------------


@pytest.fixture
def switching() -> Iterator[None]:
    """Give the other thread its turn in the midst of every operation: at one in ten of the bridge's instructions.

    Left alone, threads change so seldom that a bridge without its lock passes for a minute.
    """
    chance = random.Random(1)

    def trace(frame: FrameType, event: str, _: object) -> object:
        if frame.f_code.co_filename != queue_module.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and chance.random() < 0.1:
            time.sleep(1e-6)
        return trace

    before = sys.gettrace()
    threading.settrace(trace)
    sys.settrace(trace)
    yield
    sys.settrace(before)
    threading.settrace(before)  # type: ignore[arg-type]


class ClockThread:
    """Runs `tick` without a pause until told to stop."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self.tick = tick
        self.error: Exception | None = None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.tick()
        except Exception as error:
            self.error = error

    def __enter__(self) -> ClockThread:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.thread.join(10)
        assert self.error is None and not self.thread.is_alive()


def items_of(frames: list[bytes]) -> dict[int, list[int]]:
    """By item number, the numbers of its samples, as they were sent. A sample is its item's number and its own."""
    stream = b"".join(frames)
    samples = [(stream[at + 1], stream[at]) for at in range(0, len(stream), 2)]
    heard = [sample for sample in samples if sample[0]]
    runs = [(item, [number for _, number in run]) for item, run in groupby(heard, lambda sample: sample[0])]
    assert len({item for item, _ in runs}) == len(runs), "an item was heard, then another, then the first again"
    return dict(runs)


def test_a_flush_races_the_clock_and_no_byte_is_lost_or_heard_later(switching: None) -> None:
    bridge = small(out_limit_ms=10_000)
    sent: list[bytes] = []
    heard: dict[int, int] = {}
    with ClockThread(lambda: sent.append(bridge.pull())) as clock:
        for number in range(1, 80, 2):
            # Two items in pieces that don't fit frames; the clock is somewhere within them when they go.
            for item in (number, number + 1):
                data = b"".join(bytes((sample, item)) for sample in range(40))
                for at in range(0, len(data), 26):
                    bridge.play(str(item), data[at : at + 26])
            pulled = bridge.pulled_frames
            while bridge.pulled_frames < pulled + number % 7 * 3 and clock.error is None:
                time.sleep(0)
            for flushed in bridge.flush():
                heard[int(flushed.item_id)] = flushed.heard_ms
            for item in (number, number + 1):
                heard.setdefault(item, bridge.heard_ms(str(item)))
    played = items_of(sent)
    assert {item: ms for item, ms in heard.items() if ms} == {item: len(numbers) for item, numbers in played.items()}
    assert all(numbers == list(range(len(numbers))) for numbers in played.values())
    assert len(sent) == bridge.pulled_frames


def test_every_frame_pushed_is_taken_in_order_or_counted_as_dropped(switching: None) -> None:
    bridge = small(in_limit_ms=4)
    numbers = iter(range(1, 1 << 31))
    with ClockThread(lambda: bridge.push(next(numbers).to_bytes(FRAME, "little"))) as clock:
        taken = []
        while len(taken) < 1_000 and clock.error is None:
            data = bridge.take()
            taken += [int.from_bytes(data[at : at + FRAME], "little") for at in range(0, len(data), FRAME)]
    data = bridge.take()
    taken += [int.from_bytes(data[at : at + FRAME], "little") for at in range(0, len(data), FRAME)]
    assert taken == sorted(set(taken))
    assert len(taken) + bridge.dropped_in_frames == bridge.pushed_frames


@pytest.mark.parametrize("native", [False, True])
def test_how_loud_each_frame_was_is_kept_once_somebody_asks(native: bool) -> None:
    if native and not NATIVE:
        pytest.skip("this build of pjsua2 has no queue of its own")
    bridge = Bridge(make_queue=pj.FrameQueue if native else FrameQueue)
    frame = lambda level: (level * 32).to_bytes(2, "little", signed=True) * 160  # noqa: E731
    bridge.push(frame(7))
    assert bridge.take_levels() == (b"", b""), "from now on"
    bridge.play("a", frame(50) + frame(100)[:160])
    for level in (0, 1, 100, 255, 300, -200):
        bridge.pull()
        bridge.push(frame(level))
    bridge.push(b"")
    caller, agent = bridge.take_levels()
    assert list(caller) == [0, 1, 100, 255, 255, 200, 0]
    assert list(agent) == [50, 0, 0, 0, 0, 0], "half a frame waits for the rest"
    bridge.end_item("a")
    bridge.pull()
    assert bridge.take_levels() == (b"", bytes([70])), "half of it was silence"
    for _ in range(600):
        bridge.push(frame(9))
    bridge.push(frame(10))
    assert bridge.take_levels()[0] == bytes([9] * 499 + [10]), "the latest"
    assert bridge.take_levels() == (b"", b"")


def test_a_queue_of_an_older_build_is_told_by_what_it_lacks() -> None:
    assert lacks(FrameQueue) == []
    assert lacks(type("Older", (), {"push": None, "pull": None}))[:2] == ["take", "play"]
    if NATIVE:
        assert lacks(pj.FrameQueue) == []
