"""The same random orders of events for an agent whose barge-ins may be withdrawn, and a caller who coughs."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from tests.worker.turns.test_properties import SETTINGS, Calls
from worker.realtime import events as realtime
from worker.turns import events as turn
from worker.turns.backchannel import LONGEST_S
from worker.turns.filler_voice import FillerConfig
from worker.turns.floor import Floor, Slot
from worker.turns.machine import TurnConfig


class ReversibleCalls(Calls):
    """`speaking`: the caller has the word, by the verdict; `hears`: by the provider."""

    config = TurnConfig(
        greeting="Hello.",
        fillers=FillerConfig(),
        goodbye="Bye.",
        transfers=True,
        cancelled_by_barge_in=frozenset({"order_status"}),
        server_responds=False,
        server_interrupts=False,
        reversible=True,
    )

    def __init__(self) -> None:
        super().__init__()
        self.hears = False
        self.paused_at: float | None = None
        self.kept: list[str] = []
        self.sounds = False

    def carry_out(self, command: turn.Command, slot_before: Slot) -> None:
        if isinstance(command, turn.PausePlayout):
            assert self.paused_at is None, "a voice that is paused was paused"
            self.paused_at, self.kept = self.now, list(self.queue)
        elif isinstance(command, turn.ResumePlayout):
            assert self.paused_at is not None, "a voice that was not paused goes on"
            assert self.queue[: len(self.kept)] == self.kept, "something was lost in the pause"
            self.paused_at, self.speaking = None, False
        else:
            if self.paused_at is not None and isinstance(
                command, turn.RequestResponse | turn.SpeakFiller | turn.PlayTone | turn.OwnWords
            ):
                raise AssertionError("a second voice in the pause of the first")
            if isinstance(command, turn.StopPlayout):
                self.paused_at = None
                self.speaking = self.hears  # it is known by now that they said something
            super().carry_out(command, slot_before)
            if isinstance(command, turn.Unmet) and command.expected.startswith("end of"):
                self.hears = self.hears and self.speaking

    def drop_session(self) -> None:
        super().drop_session()
        self.hears = False

    @precondition(lambda self: self.active)
    @rule(which=st.integers(0, 3))
    def audio(self, which: int) -> None:
        response_id = sorted(self.active)[which % len(self.active)]
        if self.machine.wants_audio(response_id):
            assert not self.speaking or self.paused_at is not None, "audio was queued over the caller"
            item_id = self.new("i")
            self.queue.append(item_id)
            self.feed(turn.AudioStarted(response_id, item_id))

    @precondition(lambda self: self.connected and not self.hears)
    @rule()
    def caller_starts(self) -> None:
        self.hears = self.speaking = True
        self.speeches += 1
        self.feed(realtime.SpeechStarted(f"c{self.speeches}", 0))

    @precondition(lambda self: self.hears)
    @rule()
    def caller_stops(self) -> None:
        self.hears = False
        if self.paused_at is None:
            self.speaking = False
        self.feed(realtime.SpeechStopped(f"c{self.speeches}", 0))

    @rule(lasted_ms=st.integers(20, 1500), voiced_ms=st.sampled_from([0, 200]))
    def a_sound(self, lasted_ms: int, voiced_ms: int = 200) -> None:
        """Our own ears hear it begin, or end."""
        self.sounds = not self.sounds
        again = self.hears and not self.speaking  # of a speech that was taken for nothing: it goes on
        if again and self.sounds:
            self.speaking = self.machine.floor is not Floor.CALLER
        self.feed(turn.CallerHeard(self.sounds, 60 if self.sounds else lasted_ms, voiced_ms))

    @precondition(lambda self: self.connected and self.speeches)
    @rule(ago=st.integers(0, 2), text=st.sampled_from(["and by train?", "mhm", "yes", "", None]))
    def transcribe(self, ago: int, text: str | None) -> None:
        item_id = f"c{max(1, self.speeches - ago)}"
        self.feed(
            realtime.CallerTranscriptFailed(item_id, "no") if text is None else realtime.CallerTranscript(item_id, text)
        )

    @precondition(lambda self: self.queue and self.paused_at is None)
    @rule()
    def play_on(self) -> None:
        self.queue.pop(0)
        self.feed(turn.PlayoutChanged(self.queue[0] if self.queue else None))

    @invariant()
    def no_pause_lasts(self) -> None:
        machine = self.machine
        if self.paused_at is None or machine.over:
            assert machine.over or not machine.state.paused, "a pause that nobody knows of"
            return
        assert machine.wake is not None and machine.wake <= self.paused_at + LONGEST_S + 1e-6, "a pause without a bound"
        assert machine.floor is Floor.CALLER

    def teardown(self) -> None:
        if self.hears:
            if not self.connected:
                self.connect()
            self.caller_stops()
        self.speaking = False
        if self.sounds:
            self.a_sound(lasted_ms=300, voiced_ms=200)
        if self.paused_at is not None and not self.machine.over:
            self.now = self.paused_at + LONGEST_S
            self.feed(turn.Tick())
            assert self.paused_at is None or self.hung_up
            self.speaking = False
        super().teardown()


TestReversibleCalls = ReversibleCalls.TestCase
TestReversibleCalls.settings = SETTINGS
