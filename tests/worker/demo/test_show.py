"""What is shown of a call while it happens: each turn once, when its words are known, in plain lines off a terminal."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import get_args

import pytest
from rich.console import Console

from worker.demo.show import Show
from worker.records.record import RecordEvent, TransferRecord
from worker.records.recorder import Recorder


class Screen:
    """A recorder whose edges are shown."""

    def __init__(self, *, terminal: bool = False, quiet: bool = False) -> None:
        self.text = io.StringIO()
        console = Console(file=self.text, force_terminal=terminal, width=100, soft_wrap=True)
        self.show = Show(console, quiet=quiet)
        self.recorder = Recorder("c1", 0.0)
        self.events: list[RecordEvent] = []
        self.recorder.subscribe(self.events.append)
        self.recorder.subscribe(self.show.observe)

    def lines(self) -> list[str]:
        return [" ".join(line.split()) for line in self.text.getvalue().splitlines()]


@pytest.fixture
def screen() -> Screen:
    return Screen()


def test_a_call_is_told_in_order(screen: Screen) -> None:
    recorder = screen.recorder
    recorder.answered(120.0)
    recorder.turn_started(200.0, "agent", "a1")
    recorder.turn_text("a1", "Hello.")
    recorder.turn_ended(1120.0, "a1")
    recorder.turn_started(2120.0, "caller", "c1")
    recorder.turn_ended(3120.0, "c1")
    recorder.turn_text("c1", "where is order 427")
    recorder.tool_call_started(3200.0, "t1", "order_status", "queued")
    recorder.tool_call_started(3220.0, "t1", "order_status", "queued", "job-1")
    recorder.approval_wanted(3320.0, 1, "order_status", "t1")
    recorder.approval_answered(3920.0, 1, False, "nobody", "no answer")
    recorder.sound_started(3500.0, "tone")  # heard, and nothing to read
    recorder.sound_ended(4000.0, "tone")
    recorder.barge_in(4120.0, 1500, 12)
    recorder.barge_in_withdrawn(4320.0, 900, 610, "length")
    recorder.consent_asked(4400.0)
    recorder.consent_answered(4600.0, True, "key")
    recorder.recording_begun(4620.0, "c1.wav")
    recorder.recording_paused(4720.0, "agent")
    recorder.recording_resumed(4920.0)
    recorder.tool_call_finished(7200.0, "t1", "ok", wait_ms=20, run_ms=4000)
    recorder.result_told(7300.0, "t1")  # its words are a turn
    recorder.error(8120.0, "connection lost")
    recorder.transferred(8320.0, TransferRecord(to="sales", way="blind", means="refer", outcome="busy", sip_status=486))
    recorder.ended(9120.0, "completed", "agent")
    assert screen.lines() == [
        "0.00 s call answered after 120 ms",
        "0.08 s agent Hello.",
        "2.00 s caller where is order 427",
        "3.10 s tool order_status (queued), job job-1",
        "3.20 s tool order_status: has to be approved",
        "3.80 s tool order_status: declined by nobody no answer",
        "4.00 s barge-in the agent was silent 12 ms later; 1500 ms were heard",
        "4.20 s barge-in nothing, by its length: the agent went on after 610 ms at 900 ms",
        "4.28 s record may the call be recorded?",
        "4.48 s record a yes by key",
        "4.50 s record begins",
        "4.60 s record pauses",
        "4.80 s record goes on",
        "7.08 s tool order_status: ok, waited 20 ms, ran 4000 ms, 0 fillers meanwhile",
        "8.00 s note connection lost",
        "8.20 s transfer to sales (blind, refer): busy 486",
        "9.00 s call completed after 9.0 s (agent)",
    ]
    assert {type(event) for event in screen.events} == set(get_args(RecordEvent)), "a scene with every edge"
    for event in screen.events:  # past the recorder, which keeps a show that fails from harming the call
        Screen().show.observe(event)


def test_a_turn_is_shown_once_though_its_text_comes_in_pieces(screen: Screen) -> None:
    screen.recorder.turn_started(0.0, "agent", "a1")
    for piece in ("It ", "is ", "shipped."):
        screen.recorder.turn_text_delta("a1", piece)
    screen.recorder.turn_text("a1", "It is shipped.")
    screen.recorder.turn_ended(900.0, "a1")
    assert screen.lines() == ["0.00 s agent It is shipped."]


def test_a_turn_without_words_is_shown_at_its_end(screen: Screen) -> None:
    screen.recorder.turn_started(0.0, "filler", "f1")
    assert screen.lines() == []
    screen.recorder.turn_ended(900.0, "f1")
    assert screen.lines() == ["0.00 s filler …"]


def test_text_before_the_turn_is_kept_for_it(screen: Screen) -> None:
    screen.recorder.turn_text("a1", "Hello.")
    assert screen.lines() == []
    screen.recorder.turn_started(0.0, "agent", "a1")
    assert screen.lines() == ["0.00 s agent Hello."]


def test_what_was_understood_is_shown_even_if_it_is_nothing(screen: Screen) -> None:
    screen.show.heard("order four two seven")
    screen.show.heard("")
    assert screen.lines() == ["(the caller understood: order four two seven)", "(the caller understood: nothing)"]


def test_words_in_brackets_are_no_markup(screen: Screen) -> None:
    screen.recorder.turn_started(0.0, "agent", "a1")
    screen.recorder.turn_text("a1", "see [bold]this[/bold] and [/nonsense]")
    assert "[bold]this[/bold] and [/nonsense]" in screen.lines()[0]


@pytest.mark.parametrize(("terminal", "coloured"), [(True, True), (False, False)])
def test_colours_on_a_terminal_alone(terminal: bool, coloured: bool) -> None:
    screen = Screen(terminal=terminal)
    screen.show.step("starting")
    assert ("\x1b[" in screen.text.getvalue()) is coloured


@pytest.mark.parametrize(
    "event",
    [
        lambda screen: screen.show.step("starting"),
        lambda screen: screen.show.heard("x"),
        lambda screen: screen.recorder.answered(1.0),
        lambda screen: screen.recorder.ended(1.0, "completed"),
    ],
)
def test_quiet_says_nothing_for_json_alone_is_wanted(event: Callable[[Screen], None]) -> None:
    screen = Screen(quiet=True)
    event(screen)
    assert screen.text.getvalue() == ""
