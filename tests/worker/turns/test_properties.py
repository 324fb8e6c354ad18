"""The turn machine under random orders of events: the invariants that no scene may break.

A small provider model keeps the events possible (nothing is done that was not created), and is otherwise as unruly
as a real one: it answers late, fails, refuses, repeats itself, and goes away.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from worker.realtime import events as realtime
from worker.realtime import remote
from worker.turns import events as turn
from worker.turns.filler_voice import FillerConfig
from worker.turns.floor import Slot
from worker.turns.machine import END_CALL, TONE, TurnConfig, TurnMachine
from worker.turns.silence import SilenceConfig
from worker.turns.state import TRANSFER_CALL
from worker.turns.tools import PLACEHOLDER


class Calls(RuleBasedStateMachine):
    config = TurnConfig(
        greeting="Hello.", fillers=FillerConfig(), goodbye="Bye.", transfers=True, remote=("crm", "shop")
    )

    def __init__(self) -> None:
        super().__init__()
        self.machine = TurnMachine(self.config)
        self.placeholders: set[str] = set()  # of this session
        self.stopped: set[str] = set()
        self.speeches = 0
        self.now = 0.0
        self.serial = 0
        self.connected = False
        self.requested: list[dict[str, str]] = []  # asked for, not yet created
        self.active: dict[str, dict[str, str]] = {}  # created, not yet done
        self.cancelled: set[str] = set()
        self.started: list[str] = []
        self.answered: list[str] = []
        self.ended: set[str] = set()  # as the call came to rest
        self.asked: set[str] = set()
        self.queue: list[str] = []  # items queued for playout
        self.remote: dict[str, str] = {}  # what the provider runs, and the response that made the call
        self.approvals: dict[str, str] = {}  # what it wants approved
        self.speaking = False
        self.hung_up = 0
        self.filler_over_voice = False
        self.later: list[object] = []
        """What the provider does at once, after what is being done."""

    def feed(self, event: object) -> None:
        slot_before = self.machine.slot.state
        for command in self.machine.handle(event, self.now):
            self.carry_out(command, slot_before)

    def carry_out(self, command: turn.Command, slot_before: Slot) -> None:
        assert self.hung_up == 0, "a command after the call was hung up"
        match command:
            case turn.StartTool():
                assert command.tool_call_id not in self.started, "a tool was started twice"
                self.started.append(command.tool_call_id)
            case turn.CancelTool():
                self.stop_tool(command)
            case turn.SendOutput():
                self.take_output(command)
            case turn.SendResult():
                self.take_results(command)
            case turn.HangUp() | turn.Apologise():
                self.hung_up += 1
            case turn.Unmet():
                self.refused_or_expired = True  # the slot may be given up on a provider that owes us a word still
                if command.expected in ("end of speech", "end of long speech"):
                    self.speaking = False  # by our own ears
            case turn.NewSession():
                self.drop_session()
            case turn.AskApproval() | turn.AnswerApproval() | turn.RemoteGivenUp():
                self.take_remote(command)
            case _:
                self.speak(command)

    def speak(self, command: turn.Command) -> None:
        match command:
            case turn.RequestResponse():
                assert self.connected and not self.speaking, "a response was requested over the caller"
                in_band = [m for m in self.active.values() if m.get("purpose") != "filler"]
                assert not in_band or self.refused_or_expired, "a response was requested while one is active"
                assert self.may_talk(), "a response was requested while a call bars the model's mouth"
                self.requested.append({"purpose": command.purpose.value})
            case turn.SpeakFiller():
                assert self.connected and not self.speaking and not self.queue, "a filler over a voice"
                assert self.may_talk(), "a filler was asked for while a call bars the model's mouth"
                self.requested.append(dict(command.metadata))
            case turn.PlayTone():
                assert not self.speaking and not self.queue, "a tone over a voice"
                self.queue.append(TONE)
            case turn.CancelResponse():
                self.cancelled.add(command.response_id)
            case turn.StopPlayout():
                self.queue.clear()
            case turn.OwnWords():
                assert not self.speaking and not self.queue, "words of ours over a voice"
                self.queue.append(command.item_id)

    refused_or_expired = False

    def may_talk(self) -> bool:
        """Whether the model may respond: with every call answered, at least by a placeholder, if it has to be."""
        open_calls = set(self.started) - set(self.answered) - self.placeholders
        return self.config.talks_while_call_pending or not open_calls

    def stop_tool(self, command: turn.CancelTool) -> None:
        assert self.config.cancelled_by_barge_in, "a tool was cancelled that does not ask for that"
        assert command.tool_call_id in set(self.started) - set(self.answered), "nothing to cancel"
        assert command.tool_call_id not in self.stopped, "a tool was cancelled twice"
        self.stopped.add(command.tool_call_id)

    def take_remote(self, command: turn.Command) -> None:
        match command:
            case turn.AskApproval():
                assert command.approval_id in self.approvals
            case turn.AnswerApproval():
                assert self.connected, "an approval was answered in another session"
                assert command.approval_id in self.approvals, "an approval was answered twice"
                del self.approvals[command.approval_id]
                if command.approve and self.goes_on:
                    self.remote_begins("", command.approval_id)
            case turn.RemoteGivenUp():
                self.remote.pop(command.tool_call_id, None)
                self.approvals.pop(command.tool_call_id, None)

    goes_on = True
    """An approved call begins."""

    def take_output(self, command: turn.SendOutput) -> None:
        assert self.connected, "an output was sent without a session"
        assert command.tool_call_id not in self.placeholders, "a tool call has two outputs in one session"
        if command.output == PLACEHOLDER:
            assert command.tool_call_id not in self.answered, "a placeholder after the outcome"
            self.placeholders.add(command.tool_call_id)
        else:
            self.answer(command.tool_call_id)

    def take_results(self, command: turn.SendResult) -> None:
        results = [command.tool_call_id, *(one for one, _, _ in command.also)]
        assert self.connected and {*results} <= self.placeholders, "a result for no placeholder"
        for tool_call_id in results:
            if tool_call_id not in self.answered:  # one that is not told yet may be in the message again
                self.answer(tool_call_id)

    def answer(self, tool_call_id: str) -> None:
        assert tool_call_id not in self.answered, "a tool call was answered twice"
        assert tool_call_id in self.asked, "an output for a call that nobody made"
        self.answered.append(tool_call_id)

    def new(self, kind: str) -> str:
        self.serial += 1
        return f"{kind}{self.serial}"

    # --- the provider -------------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.connected)
    @rule()
    def connect(self) -> None:
        self.connected = True
        self.feed(realtime.SessionReady("s", "pcm24k", "pcm24k"))

    @precondition(lambda self: self.connected)
    @rule()
    def lose(self) -> None:
        self.drop_session()
        self.feed(realtime.ConnectionLost(1006, "cut", False))

    def drop_session(self) -> None:
        self.connected = self.speaking = False
        self.placeholders.clear()
        self.requested.clear()
        self.active.clear()
        self.remote.clear()
        self.approvals.clear()
        self.later.clear()

    @precondition(lambda self: self.requested)
    @rule(which=st.integers(0, 3))
    def create(self, which: int) -> None:
        metadata = self.requested.pop(which % len(self.requested))
        response_id = self.new("r")
        self.active[response_id] = metadata
        self.feed(realtime.ResponseStarted(response_id, metadata))

    @precondition(lambda self: self.requested)
    @rule(busy=st.booleans())
    def refuse(self, busy: bool) -> None:
        metadata = self.requested.pop(0)
        code = "conversation_already_has_active_response" if busy else "server_error"
        if busy and metadata.get("purpose") != "filler":
            # Somebody else's response is active then; its done will come. The caller's speech has cancelled it.
            other = self.new("other")
            self.active[other] = {}
            if self.speaking:
                self.cancelled.add(other)
        self.feed(realtime.ProviderError(code, "no", request="create_response", metadata=metadata))

    @precondition(lambda self: self.active)
    @rule(which=st.integers(0, 3))
    def audio(self, which: int) -> None:
        response_id = sorted(self.active)[which % len(self.active)]
        if self.machine.wants_audio(response_id):
            assert not self.speaking, "audio was queued over the caller"
            item_id = self.new("i")
            self.queue.append(item_id)
            self.feed(turn.AudioStarted(response_id, item_id))

    @precondition(lambda self: self.active)
    @rule(which=st.integers(0, 3), status=st.sampled_from(["completed"] * 3 + ["failed", "incomplete"]))
    def done(self, which: int, status: realtime.ResponseStatus) -> None:
        response_id = sorted(self.active)[which % len(self.active)]
        metadata = self.active.pop(response_id)
        if response_id in self.cancelled:
            status = "cancelled"
        self.feed(realtime.ResponseDone(response_id, status, metadata=metadata))

    @precondition(lambda self: self.active)
    @rule(which=st.integers(0, 3), name=st.sampled_from(["order_status", "order_status", END_CALL, TRANSFER_CALL]))
    def call_tool(self, which: int, name: str) -> None:
        response_id = sorted(self.active)[which % len(self.active)]
        if self.active[response_id].get("purpose") == "filler":
            return
        tool_call_id = self.new("t")
        self.asked.add(tool_call_id)
        for _ in range(2):  # arguments.done and output_item.done, as it were
            self.feed(realtime.ToolCallRequested(response_id, "fc", tool_call_id, name, "{}"))

    @precondition(lambda self: self.active)
    @rule(which=st.integers(0, 3), approval=st.sampled_from([False, False, True]))
    def call_remotely(self, which: int, approval: bool) -> None:
        response_id = sorted(self.active)[which % len(self.active)]
        if self.active[response_id].get("purpose") == "filler":
            return
        if not approval:
            self.remote_begins(response_id)
            self.go_through()
            return
        approval_id = self.new("a")
        self.approvals[approval_id] = response_id
        for _ in range(2):
            self.feed(remote.ApprovalWanted(response_id, approval_id, "crm", "find", "{}"))

    def remote_begins(self, response_id: str, approval_id: str = "") -> None:
        tool_call_id = self.new("m")
        self.remote[tool_call_id] = response_id
        self.later.append(remote.RemoteToolStarted(response_id, tool_call_id, "crm", "find", "{}", approval_id))

    def go_through(self) -> None:
        while self.later:
            self.feed(self.later.pop(0))

    @precondition(lambda self: self.remote)
    @rule(which=st.integers(0, 3), ok=st.booleans(), twice=st.booleans())
    def remote_ends(self, which: int, ok: bool, twice: bool) -> None:
        self.go_through()
        if not self.remote:
            return
        tool_call_id = sorted(self.remote)[which % len(self.remote)]
        self.remote.pop(tool_call_id, None)
        for _ in range(1 + twice):
            self.feed(remote.RemoteToolEnded(tool_call_id, ok))

    @precondition(lambda self: self.approvals)
    @rule(which=st.integers(0, 3), approve=st.booleans(), twice=st.booleans())
    def somebody_decides(self, which: int, approve: bool, twice: bool) -> None:
        approval_id = sorted(self.approvals)[which % len(self.approvals)]
        for _ in range(1 + twice):
            self.feed(turn.ApprovalGiven(approval_id, approve))

    @precondition(lambda self: self.connected)
    @rule(listed=st.booleans(), label=st.sampled_from(["crm", "shop", ""]))
    def lists(self, listed: bool, label: str) -> None:
        self.feed(remote.RemoteToolsListed(label, ("find",)) if listed else remote.RemoteToolsFailed(label))

    @precondition(lambda self: self.connected)
    @rule()
    def caller_starts(self) -> None:
        self.speaking = True
        for response_id, metadata in self.active.items():
            if metadata.get("purpose") != "filler" and self.config.server_interrupts:
                self.cancelled.add(response_id)
        self.speeches += 1
        self.feed(realtime.SpeechStarted(f"c{self.speeches}", 0))

    @precondition(lambda self: self.speaking)
    @rule()
    def caller_stops(self) -> None:
        self.speaking = False
        # The server ends what it had cancelled before it answers the caller's turn.
        for response_id in [r for r in self.active if r in self.cancelled]:
            metadata = self.active.pop(response_id)
            self.feed(realtime.ResponseDone(response_id, "cancelled", "turn_detected", metadata=metadata))
        if self.config.server_responds:
            self.requested = [m for m in self.requested if m.get("purpose") == "filler"]
            self.requested.insert(0, {})
        self.feed(realtime.SpeechStopped(f"c{self.speeches}", 0))

    @rule(loud=st.booleans())
    def line_sounds(self, loud: bool) -> None:
        self.feed(turn.CallerSounds(loud))

    @precondition(lambda self: self.connected and self.speeches and not self.speaking)
    @rule(ago=st.integers(0, 2), text=st.sampled_from(["and by train?", "", None]))
    def transcribe(self, ago: int, text: str | None) -> None:
        item_id = f"c{max(1, self.speeches - ago)}"
        self.feed(
            realtime.CallerTranscriptFailed(item_id, "no") if text is None else realtime.CallerTranscript(item_id, text)
        )

    # --- the rest of the world ----------------------------------------------------------------------------------------

    @rule()
    def media(self) -> None:
        self.feed(turn.MediaReady())

    @precondition(lambda self: self.queue)
    @rule()
    def play_on(self) -> None:
        self.queue.pop(0)
        self.feed(turn.PlayoutChanged(self.queue[0] if self.queue else None))

    @precondition(lambda self: set(self.started) - set(self.answered))
    @rule(which=st.integers(0, 5), twice=st.booleans())
    def tool_finishes(self, which: int, twice: bool) -> None:
        waiting = sorted(set(self.started) - set(self.answered))
        for _ in range(1 + twice):
            self.feed(turn.ToolFinished(waiting[which % len(waiting)], "{}"))

    @precondition(lambda self: self.connected and self.answered)
    @rule()
    def acknowledge(self) -> None:
        self.feed(realtime.ItemCreated(self.new("o"), "function_call_output", ""))

    @precondition(lambda self: set(self.started) - set(self.answered))
    @rule(which=st.integers(0, 5))
    def tool_reports(self, which: int) -> None:
        waiting = sorted(set(self.started) - set(self.answered))
        self.feed(turn.ToolProgress(waiting[which % len(waiting)], "Half of it."))

    @rule()
    def caller_types(self) -> None:
        self.feed(turn.CallerTyped())

    @rule()
    def notice(self) -> None:
        self.feed(turn.NoticeWanted("One minute is left."))

    @rule(seconds=st.floats(0.01, 12.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        if self.machine.wake is not None and self.machine.wake <= self.now:
            self.feed(turn.Tick())

    @rule()
    def drain(self) -> None:
        if self.now > 200:  # rarely, or no call would last
            self.feed(turn.GoodbyeWanted("We close.", "drain"))

    # --- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def nothing_waits_for_ever(self) -> None:
        machine = self.machine
        heard = bool(self.queue)  # its end is an edge of our own playout's
        if not machine.over and machine.slot.state is not Slot.FREE and not heard:
            assert machine.wake is not None, "a response is waited for without a bound"
        if not machine.over and not machine.idle and machine.state.media and not heard:
            assert machine.wake is not None, "something is waited for without a bound"

    @invariant()
    def wake_is_not_stuck(self) -> None:
        """A tick at the wake moves it on: no busy loop."""
        self.go_through()
        if self.machine.wake is not None and self.machine.wake <= self.now and not self.machine.over:
            self.feed(turn.Tick())
            assert self.machine.wake is None or self.machine.wake > self.now, "the same wake again"

    def teardown(self) -> None:
        """With a session, time and a provider that does its part, all is answered and the machine comes to rest."""
        if not self.connected:
            self.connect()
        self.media()
        if self.speaking:
            self.caller_stops()
        for _ in range(300):
            if self.machine.over or self.machine.idle:
                break
            self.come_to_rest()
        assert self.machine.over or self.machine.idle, "something is waited for for ever"
        if not self.machine.over:
            assert set(self.answered) == self.asked
            assert not self.machine.pending.remote and not self.approvals
        assert self.hung_up <= 1

    def tools_end(self) -> None:
        """Those that have begun by now, once each: a transfer begins late, when its sentence is heard."""
        for tool_call_id in sorted(set(self.started) - set(self.answered) - self.ended):
            self.ended.add(tool_call_id)
            self.feed(turn.ToolFinished(tool_call_id, "{}"))

    def come_to_rest(self) -> None:
        self.go_through()
        self.tools_end()
        if self.queue:
            self.play_on()
        elif self.remote:
            self.remote_ends(which=0, ok=True, twice=False)
        elif self.active:
            self.done(which=0, status="completed")
        elif self.requested:
            self.create(which=0)
        else:
            assert self.machine.wake is not None, "it waits for nothing and is not at rest"
            self.now = max(self.now, self.machine.wake)
            self.feed(turn.Tick())


class ClosedCalls(Calls):
    """A provider whose model can't speak while a call is open, and a caller who is asked whether they are there."""

    config = TurnConfig(
        goodbye="Bye.",
        talks_while_call_pending=False,
        cancelled_by_barge_in=frozenset({"order_status"}),
        server_responds=False,
        server_interrupts=False,
        silence=SilenceConfig(seconds=20.0),
    )


SETTINGS = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestCalls = Calls.TestCase
TestCalls.settings = SETTINGS
TestClosedCalls = ClosedCalls.TestCase
TestClosedCalls.settings = SETTINGS
