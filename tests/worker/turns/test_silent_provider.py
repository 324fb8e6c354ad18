"""A provider that goes silent at any point: the caller hears something within 5 s, and gets a new session or the apology
within 20 s. In virtual time, from whatever state a random call has come to.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize

from tests.worker.turns.test_properties import Calls, ClosedCalls
from worker.realtime import base
from worker.turns import events as turn
from worker.turns.machine import TONE, TurnConfig
from worker.turns.silence import SilenceConfig

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
    ends_at: float | None = None

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
        self.media()
        if self.speaking:
            self.feed(turn.CallerSounds(False))  # they have stopped, and nobody says so
        for tool_call_id in sorted(set(self.started) - set(self.answered)):
            self.feed(turn.ToolFinished(tool_call_id, "{}"))
        self.requested.clear()
        self.saved_at = None
        began = heard_at = self.now
        left_s: float | None = None
        waited_from: float | None = None
        while self.now < began + 60 and not self.machine.over:
            if self.machine.wake is not None and self.machine.wake <= self.now:
                self.feed(turn.Tick())
            if not self.connected and self.begins and not self.machine.over:
                self.connected = True
                self.feed(base.SessionReady("s", "pcm24k", "pcm24k"))
            if self.queue:
                heard_at = self.now
                left_s = LASTS_S.get(self.queue[0], 1.5) if left_s is None else left_s - STEP_S
                if left_s <= 0:
                    left_s = None
                    self.play_on()
            else:
                left_s = None
            at_rest = self.machine.idle and not self.machine.state.turn_over
            if at_rest:
                break
            if not self.queue:
                assert self.now - heard_at <= HEARD_S + 2 * STEP_S, "the caller hears nothing"
            by_us = all(not item.startswith("i") for item in self.queue)
            if not by_us or (self.saved_at is not None and self.saved_at <= self.now):
                waited_from, self.saved_at = None, None  # the model is heard, or there is another session
            elif waited_from is None:
                waited_from = self.now
            if waited_from is not None:
                assert self.now - waited_from <= SAVED_S, "no new session and no apology"
            self.now += STEP_S
        if self.machine.over and waited_from is not None and self.saved_at is not None:
            assert self.saved_at - waited_from <= SAVED_S, "the apology ends too late"
        assert self.machine.over or (self.machine.idle and not self.machine.state.turn_over), "it goes on for ever"


class SilentClosedCalls(SilentCalls):
    """The same with a model that can't speak while a call is open."""

    config = ClosedCalls.config


class SilentPatientCalls(SilentCalls):
    """The same where a silent caller is asked whether they are there."""

    config = TurnConfig(greeting="Hello.", silence=SilenceConfig(seconds=8.0))


SETTINGS = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestSilentCalls = SilentCalls.TestCase
TestSilentCalls.settings = SETTINGS
TestSilentClosedCalls = SilentClosedCalls.TestCase
TestSilentClosedCalls.settings = SETTINGS
TestSilentPatientCalls = SilentPatientCalls.TestCase
TestSilentPatientCalls.settings = SETTINGS
