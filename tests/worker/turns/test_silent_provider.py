"""A provider that goes silent at any point: the caller hears something within 5 s, and is helped within 20.

In virtual time, from whatever state a random call has come to.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize

from tests.worker.turns.test_properties import Calls, ClosedCalls
from worker.realtime import events as realtime
from worker.turns import events as turn
from worker.turns.machine import TONE, TurnConfig
from worker.turns.silence import SilenceConfig
from worker.turns.state import TRANSFER_CALL

HEARD_S = 5.0
SAVED_S = 20.0
STEP_S = 0.05
APOLOGY_S = 6.2
LASTS_S = {TONE: 0.4}
"""How long an item plays; others a second and a half."""


class SilentCalls(Calls):
    """After a random call with a provider as unruly as a real one: nothing more comes of it."""

    begins = True
    saved_at: float | None = None
    heard_at = 0.0
    left_s: float | None = None
    waited_from: float | None = None

    @initialize(begins=st.booleans())
    def how(self, begins: bool) -> None:
        """Whether a new session begins, as silent as the one before, or none."""
        self.begins = begins

    def carry_out(self, command: turn.Command, slot_before: object) -> None:
        super().carry_out(command, slot_before)  # type: ignore[arg-type]
        match command:
            case turn.NewSession() if self.begins:
                self.saved_at = self.now
            case turn.Apologise():
                self.saved_at = self.now + APOLOGY_S
            case turn.HangUp():
                self.saved_at = self.now

    def teardown(self) -> None:
        if self.machine.over:
            return
        self.go_silent()
        began = self.heard_at = self.now
        while not (self.machine.over or self.at_rest()):
            assert self.now < began + 150, "it goes on for ever"
            self.go_on()
            self.check()
            self.now += STEP_S
        if self.waited_from is not None and self.saved_at is not None:
            assert self.saved_at - self.waited_from <= SAVED_S, "the apology ends too late"

    def go_silent(self) -> None:
        self.media()
        if self.speaking:
            self.feed(turn.CallerSounds(False))  # they have stopped, and nobody says so
        self.tools_end()
        self.requested.clear()
        self.saved_at = None

    def at_rest(self) -> bool:
        return self.machine.idle and not self.machine.state.turn_over

    def go_on(self) -> None:
        """A moment with a playout that plays and a provider that says nothing."""
        if self.machine.wake is not None and self.machine.wake <= self.now:
            self.feed(turn.Tick())
        self.tools_end()
        if not self.connected and self.begins and not self.machine.over:
            self.connected = True
            self.feed(realtime.SessionReady("s", "pcm24k", "pcm24k"))
        if not self.queue:
            self.left_s = None
            return
        self.heard_at = self.now
        self.left_s = LASTS_S.get(self.queue[0], 1.5) if self.left_s is None else self.left_s - STEP_S
        if self.left_s <= 0:
            self.left_s = None
            self.play_on()

    def check(self) -> None:
        if not self.queue and not self.at_rest():
            assert self.now - self.heard_at <= HEARD_S + 2 * STEP_S, "the caller hears nothing"
        if self.machine.pending.remote:
            self.waited_from = self.saved_at = None  # a tool runs at the provider, with words, for as long as it may
            return
        model_heard = any(item.startswith("i") for item in self.queue)
        if model_heard or (self.saved_at is not None and self.saved_at <= self.now):
            self.waited_from = self.saved_at = None  # the model is heard, or there is another session
        elif self.waited_from is None:
            self.waited_from = self.now
        if self.waited_from is not None:
            assert self.now - self.waited_from <= SAVED_S, "no new session and no apology"


class SilentClosedCalls(SilentCalls):
    """The same with a model that can't speak while a call is open."""

    config = ClosedCalls.config


class SilentPatientCalls(SilentCalls):
    """The same where a silent caller is asked whether they are there."""

    config = TurnConfig(greeting="Hello.", silence=SilenceConfig(seconds=8.0))


def test_a_transfer_that_waits_for_words_which_never_end_is_no_tool_that_runs() -> None:
    calls = SilentCalls()
    calls.how(begins=False)
    calls.connect()
    calls.caller_starts()
    calls.caller_stops()
    calls.refuse(busy=True)
    calls.call_tool(which=0, name=TRANSFER_CALL)
    calls.teardown()


SETTINGS = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestSilentCalls = SilentCalls.TestCase
TestSilentCalls.settings = SETTINGS
TestSilentClosedCalls = SilentClosedCalls.TestCase
TestSilentClosedCalls.settings = SETTINGS
TestSilentPatientCalls = SilentPatientCalls.TestCase
TestSilentPatientCalls.settings = SETTINGS
