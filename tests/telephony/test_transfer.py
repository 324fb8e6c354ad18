"""A transfer's state machine: every way that it can go, with a clock that is moved by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.transfer import (
    CONNECT_S,
    REFER_S,
    CallerGone,
    Command,
    Connect,
    Connected,
    Declined,
    Dial,
    Dismiss,
    DropLine,
    Ended,
    Event,
    LineEnded,
    LineRings,
    LineUp,
    Notified,
    Plan,
    ReferAnswer,
    Ringing,
    SendRefer,
    Taken,
    Tick,
    Transfer,
    Unable,
    outcome_of,
)

URI = "sip:200@pbx.example.com"


class Scene:
    def __init__(self, *, refer: bool = True, ring_s: float = 30.0, **plan: Any) -> None:
        self.machine = Transfer(Plan(uri=URI, refer=refer, ring_s=ring_s, **plan))
        self.now = 100.0
        self.first = self.machine.start(self.now)

    def feed(self, *events: Event) -> list[Command]:
        return [command for event in events for command in self.machine.handle(event, self.now)]

    def wait(self, seconds: float) -> list[Command]:
        end, commands = self.now + seconds, []
        while self.machine.wake is not None and self.machine.wake <= end:
            self.now = self.machine.wake
            commands += self.feed(Tick())
        self.now = end
        return commands


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "accepted"),
        (486, "busy"),
        (600, "busy"),
        (603, "declined"),
        (607, "declined"),
        (480, "no_answer"),
        (487, "no_answer"),
        (408, "no_answer"),
        (404, "failed"),
        (503, "failed"),
        (301, "failed"),
        (0, "failed"),
    ],
)
def test_what_a_status_means(status: int, outcome: str) -> None:
    assert outcome_of(status) == outcome


# --- the other side dials ---------------------------------------------------------------------------------------------


def test_the_other_side_is_asked_and_tells_how_it_goes() -> None:
    scene = Scene()
    assert scene.first == [SendRefer(URI)]
    assert scene.feed(ReferAnswer(202), Notified(100)) == []
    assert scene.feed(Notified(180), Notified(180), Notified(183)) == [Ringing()]
    assert scene.feed(Notified(200, final=True)) == [Ended("accepted", "refer", 200)]
    assert scene.feed(Notified(503, final=True), Tick(), CallerGone()) == [] and scene.machine.wake is None


def test_a_final_status_decides_though_the_subscription_goes_on() -> None:
    scene = Scene()
    assert scene.feed(ReferAnswer(202), Notified(200)) == [Ended("accepted", "refer", 200)]


@pytest.mark.parametrize(("status", "outcome"), [(486, "busy"), (603, "declined"), (503, "failed"), (404, "failed")])
def test_a_failure_is_told_with_its_status(status: int, outcome: str) -> None:
    scene = Scene()
    assert scene.feed(ReferAnswer(202), Notified(status, final=True)) == [Ended(outcome, "refer", status)]  # type: ignore[arg-type]


def test_a_subscription_that_ends_without_a_word_is_a_failure() -> None:
    assert Scene().feed(ReferAnswer(202), Notified(100, final=True)) == [Ended("failed", "refer", 100)]


def test_a_notify_may_overtake_the_answer() -> None:
    scene = Scene()
    assert scene.feed(Notified(100), ReferAnswer(202)) == []
    assert scene.wait(29.9) == []
    assert scene.feed(Notified(200, final=True)) == [Ended("accepted", "refer", 200)]


def test_who_never_notifies_is_not_waited_for_any_longer_than_it_may_ring() -> None:
    scene = Scene(ring_s=20)
    scene.feed(ReferAnswer(202))
    assert scene.wait(19.9) == []
    assert scene.wait(0.2) == [Ended("no_answer", "refer", 408)]


def test_who_hangs_up_when_asked_to_call_somebody_else_has_done_so() -> None:
    assert Scene().feed(ReferAnswer(202), CallerGone()) == [Ended("accepted", "refer", 200)]
    assert Scene().feed(CallerGone()) == [Ended("hung_up", "refer")]


# --- we dial ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [405, 501, 603, 403, 420, 500])
def test_where_refer_is_refused_we_dial(status: int) -> None:
    scene = Scene()
    assert scene.feed(ReferAnswer(status)) == [Dial(URI)]
    assert scene.feed(LineRings(), LineRings()) == [Ringing()]
    assert scene.feed(LineUp()) == [Connect()]
    assert scene.feed(Connected()) == [Ended("accepted", "bridge", 200)]


def test_where_it_is_not_answered_we_dial() -> None:
    scene = Scene()
    assert scene.wait(REFER_S - 0.1) == []
    assert scene.wait(0.2) == [Dial(URI)]


def test_where_it_is_answered_late_nobody_is_called_twice() -> None:
    scene = Scene()
    scene.wait(REFER_S)
    assert scene.feed(ReferAnswer(202)) == [DropLine()]
    assert scene.feed(LineEnded(487)) == []
    assert scene.feed(Notified(200, final=True)) == [Ended("accepted", "refer", 200)]


def test_a_late_refusal_changes_nothing() -> None:
    scene = Scene()
    scene.wait(REFER_S)
    assert scene.feed(ReferAnswer(603)) == []
    assert scene.feed(LineUp(), Connected()) == [Connect(), Ended("accepted", "bridge", 200)]


def test_a_call_that_the_other_side_does_not_know_is_not_handed_on() -> None:
    assert Scene().feed(ReferAnswer(481)) == [Ended("failed", "refer", 481)]


def test_where_it_is_not_to_be_asked_we_dial_at_once() -> None:
    assert Scene(refer=False).first == [Dial(URI)]


@pytest.mark.parametrize(("status", "outcome"), [(486, "busy"), (603, "declined"), (404, "failed"), (503, "failed")])
def test_a_target_that_refuses(status: int, outcome: str) -> None:
    scene = Scene(refer=False)
    assert scene.feed(LineRings(), LineEnded(status)) == [Ringing(), Ended(outcome, "bridge", status)]  # type: ignore[arg-type]


def test_a_target_that_never_answers_is_hung_up_on() -> None:
    scene = Scene(refer=False, ring_s=15)
    scene.feed(LineRings())
    assert scene.wait(14.9) == []
    assert scene.wait(0.2) == [DropLine(), Ended("no_answer", "bridge", 408)]


def test_a_target_that_hangs_up_before_it_is_connected() -> None:
    scene = Scene(refer=False)
    assert scene.feed(LineUp(), LineEnded(200)) == [Connect(), Ended("failed", "bridge", 200)]


def test_a_connection_that_never_comes_about() -> None:
    scene = Scene(refer=False)
    scene.feed(LineUp())
    assert scene.wait(CONNECT_S + 0.1) == [DropLine(), Ended("failed", "bridge", 408)]


def test_a_caller_who_hangs_up_takes_the_second_line_along() -> None:
    scene = Scene(refer=False)
    scene.feed(LineRings())
    assert scene.feed(CallerGone()) == [DropLine(), Ended("hung_up", "bridge")]
    assert scene.feed(LineUp(), LineEnded(487)) == []


def test_what_can_t_be_done() -> None:
    assert Scene().feed(Unable()) == [Dial(URI)]
    assert Scene(refer=False).feed(Unable()) == [DropLine(), Ended("failed", "bridge")]


# --- attended ---------------------------------------------------------------------------------------------------------


def briefed(**plan: Any) -> Scene:
    """Somebody has answered, and is told who waits."""
    scene = Scene(attended=True, **plan)
    assert scene.first == [Dial(URI)], "it is never referred"
    assert scene.feed(LineRings(), LineUp()) == [Ringing()]
    return scene


@pytest.mark.parametrize(("heard", "outcome"), [("machine", "voicemail"), ("silent", "no_answer")])
def test_where_nobody_is_there_to_ask(heard: str, outcome: str) -> None:
    """We hang up: that is no fault of ours, nor has anybody declined."""
    ended = LineEnded(200, by_us=True, **{heard: True})
    assert briefed().feed(ended) == [Ended(outcome, "attended", 200)]  # type: ignore[arg-type]
    assert Scene(refer=False).feed(CallerGone(), ended)[-1] == Ended("hung_up", "bridge")


def test_who_is_asked_takes_the_call() -> None:
    scene = briefed()
    assert scene.feed(Taken()) == [Connect()]
    assert scene.feed(Taken(), Declined()) == []
    assert scene.feed(Connected()) == [Ended("accepted", "attended", 200)]


def test_who_is_asked_declines() -> None:
    assert briefed().feed(Declined(), Taken()) == [Dismiss(), Ended("declined", "attended")]


@pytest.mark.parametrize(("by_us", "outcome"), [(False, "declined"), (True, "failed")])
def test_who_hangs_up_when_asked_declines(by_us: bool, outcome: str) -> None:
    assert briefed().feed(LineEnded(200, by_us)) == [Ended(outcome, "attended", 200)]  # type: ignore[arg-type]


def test_a_mailbox_takes_no_call() -> None:
    scene = briefed(brief_s=20.0)
    assert scene.wait(19.9) == []
    assert scene.wait(0.2) == [Dismiss(), Ended("no_answer", "attended", 408)]


def test_a_caller_who_hangs_up_in_the_middle_of_it() -> None:
    assert briefed().feed(CallerGone()) == [Dismiss(gone=True), Ended("hung_up", "attended")]
    ringing = Scene(attended=True)
    assert ringing.feed(CallerGone()) == [DropLine(), Ended("hung_up", "attended")]


def test_who_takes_it_before_answering_does_nothing() -> None:
    scene = Scene(attended=True)
    assert scene.feed(Taken(), Declined()) == []
    assert scene.feed(LineEnded(486)) == [Ended("busy", "attended", 486)]


# --- any order --------------------------------------------------------------------------------------------------------

EVENTS = st.one_of(
    st.builds(ReferAnswer, st.sampled_from([100, 202, 200, 405, 481, 603])),
    st.builds(Notified, st.sampled_from([100, 180, 200, 486, 503]), st.booleans()),
    st.builds(LineEnded, st.sampled_from([200, 486, 487, 503]), st.booleans()),
    st.sampled_from([LineRings(), LineUp(), Taken(), Declined(), Connected(), CallerGone(), Unable(), Tick()]),
    st.floats(0.1, 20.0),
)


@given(refer=st.booleans(), attended=st.booleans(), steps=st.lists(EVENTS, max_size=30))
def test_it_ends_once_and_in_time_and_leaves_no_line_behind(
    refer: bool, attended: bool, steps: list[Event | float]
) -> None:
    scene = Scene(refer=refer, attended=attended)
    commands, line_up = [*scene.first], True
    for step in steps:
        new = scene.wait(step) if isinstance(step, float) else scene.feed(step)
        commands += new
        line_up = line_up and not isinstance(step, LineEnded)
    commands += scene.wait(4 * 30.0 + REFER_S + CONNECT_S)
    ends = [command for command in commands if isinstance(command, Ended)]
    assert len(ends) == 1 and commands[-1] == ends[0] and scene.machine.wake is None
    dialled = sum(isinstance(command, Dial) for command in commands)
    dropped = sum(isinstance(command, DropLine | Dismiss) for command in commands)
    assert dialled <= 1 and dropped <= 1
    if dialled and ends[0].outcome != "accepted" and line_up:
        assert dropped == 1
