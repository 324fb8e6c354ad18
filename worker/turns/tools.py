"""The tools' part of the turn machine: every tool call is answered exactly once, together with its response's. Pure.

What came of a tool is *told* by a response that was asked for it after its output was sent: the server's own answer to
what the caller says meanwhile answers that, and may leave the rest out. So an outcome that comes while the caller
speaks is held until that answer has begun, and asked for after it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from worker.realtime import events as realtime
from worker.turns.ending import Ending
from worker.turns.events import (
    Command,
    Purpose,
    ResultsTold,
    SendOutput,
    SendResult,
    StartTool,
    ToolFinished,
    ToolProgress,
    Unmet,
)
from worker.turns.expectations import Expect, Then
from worker.turns.floor import Floor
from worker.turns.pending import PendingTool
from worker.turns.state import END_CALL, TRANSFER_CALL, TurnState
from worker.turns.transfer import STAYS, TransferTurns

__all__ = ["INTERRUPTED", "NO_TOOLS", "PLACEHOLDER", "PLACEHOLDER_S", "WORDS_GIVEN", "ToolTurns"]

INTERRUPTED = '{"status":"not_started","reason":"The caller interrupted. Call it again if it is still wanted."}'
TOO_MANY = '{"status":"not_started","error":"No more tools can be used in this call: too many were."}'
NO_TOOLS = '{"status":"not_started","error":"No tool was offered for these words. Call it again if it is wanted."}'
NOT_NOW = '{"status":"not_started","reason":"The caller was being asked to approve another call: nobody else answers."}'
PLACEHOLDER_S = 0.4
"""A tool that took so long is answered with a placeholder, where the model can't speak while a call is open."""
PLACEHOLDER = '{"status":"pending"}'
"""No more than this: a placeholder that describes the result to come makes models call again."""
WORDS_GIVEN = (Purpose.GREETING, Purpose.NOTICE, Purpose.SILENCE, Purpose.APPROVAL, Purpose.GOODBYE)
"""Responses that say what they were given, with no tools to call, and answer nothing."""
SENT = 32
"""Outputs kept for the case that the provider refuses them: it does so within a few frames."""

_Result = tuple[str, str, str]
"""Tool call id, name, output."""


class ToolTurns:
    """Starts tools, answers their calls, and says when the answer to a response's calls is owed."""

    def __init__(self, state: TurnState, transfers: TransferTurns) -> None:
        self._state = state
        self._transfers = transfers
        self._unacknowledged = 0
        self._untold: dict[str, str] = {}
        """Outcomes that the provider has, and the caller does not: the tool call, and the response that made it."""
        self._asked: list[str] = []
        """Those of them that the response tells which was asked for last."""
        self._telling: dict[str, dict[str, str]] = {}
        self._late: dict[str, _Result] = {}
        """Results that were sent as a message and are not told yet."""
        self._sent: OrderedDict[str, _Result] = OrderedDict()

    @property
    def unacknowledged(self) -> bool:
        """Whether an output that was sent is not in the provider's conversation, by all that is known."""
        return self._unacknowledged > 0

    def requested(self, event: realtime.ToolCallRequested, now: float) -> list[Command]:
        """The model asks for a tool, or to end the call."""
        state = self._state
        purpose = state.purposes.get(event.response_id)
        if purpose == Purpose.FILLER:
            # Beside the conversation, which knows nothing of the call: an output would answer nothing.
            return [self._no_call(event)]
        tool = PendingTool(event.tool_call_id, event.name, event.arguments, event.response_id, now)
        if not state.pending.add(tool):
            return []
        state.progress += 1
        if state.slot.discarded(event.response_id):
            # The caller spoke while this was generated: it may not be what they want any more.
            return self._refuse(tool, NOT_NOW if state.asking else INTERRUPTED)
        if event.name == END_CALL:
            return self._end_call(tool, now)
        if purpose in WORDS_GIVEN:
            return [self._no_call(event), *self._refuse(tool, NO_TOOLS)]
        if state.pending.refused(event.tool_call_id):
            tool.output = TOO_MANY
            return self._answer([tool])
        if state.quiet:
            state.fillers.sound_ended(now, words=True)
        if event.name == TRANSFER_CALL and state.config.transfers:
            return self._transfer(tool, now)
        return [StartTool(tool.tool_call_id, tool.name, tool.arguments)]

    def _end_call(self, tool: PendingTool, now: float) -> list[Command]:
        tool.output = STAYS if self._transfers.under_way else '{"status":"ending"}'
        if self._state.ending is None and not self._transfers.under_way:
            self._state.ending = Ending("agent", forced=False, since=now, response_id=tool.response_id)
        return self._answer([tool])

    def _transfer(self, tool: PendingTool, now: float) -> list[Command]:
        refusal = self._transfers.refusal()
        if refusal is None:
            self._transfers.hold(tool, now)
            return []
        tool.output = refusal
        return self._answer([tool])

    def finished(self, event: ToolFinished, now: float) -> list[Command]:
        """A tool has its outcome: it is sent when the caller does not speak."""
        tool = self._state.pending.get(event.tool_call_id)
        if tool is not None and tool.output is None:
            tool.output = event.output
            if not self._state.pending.running():
                self._state.fillers.start_over()
        return []

    def progress(self, event: ToolProgress, now: float) -> list[Command]:
        """A tool says how far it is."""
        tool = self._state.pending.get(event.tool_call_id)
        if tool is not None:
            tool.progress = tool.news = event.text
        return []

    def bring(self, tool_call_id: str, name: str, arguments: str, output: str) -> None:
        """Take in a tool call of an earlier conversation: the first session is told of it, and then its outcome."""
        pending, response_id = self._state.pending, f"brought:{tool_call_id}"
        pending.add(PendingTool(tool_call_id, name, arguments, response_id, 0.0, output=output, offered=True))
        pending.response_done(response_id)

    # --- of tools that the provider runs ------------------------------------------------------------------------------

    def untold(self, tool_call_id: str, response_id: str) -> None:
        """The provider has an outcome that the caller has not heard of."""
        self._untold[tool_call_id] = response_id

    def telling(self, tool_call_id: str, response_id: str) -> None:
        """This response, which is in progress, tells it."""
        self._telling.setdefault(response_id, {})[tool_call_id] = self._untold.pop(tool_call_id, response_id)

    def ask_to_tell(self) -> None:
        """The model is to go on: what it does is told in a response that is asked for."""
        self._state.owed.want(Purpose.TOOL_RESULT)

    # --- told ---------------------------------------------------------------------------------------------------------

    def asked(self) -> None:
        """A response is asked for that tells what is untold: it has what was sent until now."""
        self._asked = list(self._untold)

    def response_started(self, response_id: str) -> None:
        """That response began."""
        told = [tool_call_id for tool_call_id in self._asked if tool_call_id in self._untold]
        for tool_call_id in told:
            self.telling(tool_call_id, response_id)
        self._asked = []

    def not_told(self, response_id: str) -> None:
        """That response is not the one that was asked for."""
        self._untold.update(self._telling.pop(response_id, {}))

    def heard(self, response_id: str) -> list[Command]:
        """The caller begins to hear a response."""
        told = self._telling.pop(response_id, None)
        for tool_call_id in told or ():
            self._late.pop(tool_call_id, None)
        return [ResultsTold(tuple(told))] if told else []

    def response_done(self, response_id: str, *, given_up: bool) -> None:
        """A response makes no more calls: its answer is owed if all of them have theirs."""
        unheard = self._telling.pop(response_id, {})
        self._untold.update(unheard)
        answered = self._state.pending.response_done(response_id) and not given_up
        if (answered and self._untold) or (unheard and given_up):
            self._state.owed.want(Purpose.TOOL_RESULT)

    def still_owed(self) -> None:
        """The caller has had the word: what is untold yet is owed after their answer."""
        if any(self._state.pending.complete(response_id) for response_id in self._untold.values()):
            self._state.owed.want(Purpose.TOOL_RESULT)

    # --- sent ---------------------------------------------------------------------------------------------------------

    def release(self, now: float) -> list[Command]:
        """Send the outcomes that there are, unless the caller has the floor or is about to be answered."""
        state = self._state
        held = state.pending.held()
        if not held or not state.connected or state.floor is Floor.CALLER or (state.server_answers and state.talks):
            return []
        return self._answer(held)

    def item_created(self, event: realtime.ItemCreated, now: float) -> list[Command]:
        """Something of ours is in the conversation."""
        if event.kind == "function_call_output" and self._unacknowledged > 0:
            self._unacknowledged -= 1
        return []

    def not_acknowledged(self) -> None:
        """The provider does not say what it has taken."""
        self._unacknowledged = 0

    def refused(self, event: realtime.ProviderError, now: float) -> list[Command]:
        """The provider does not take an output: it is told as a message, once."""
        self._unacknowledged = max(0, self._unacknowledged - 1)
        result = self._sent.pop(event.metadata.get("tool_call_id", ""), None)
        if result is None or result[2] == PLACEHOLDER:
            return []  # of a placeholder the result follows as a message in any case
        for telling in self._telling.values():
            if result[0] in telling:
                self._untold[result[0]] = telling.pop(result[0])
        if result[0] not in self._untold:
            return []  # nobody is owed it
        self._asked = [tool_call_id for tool_call_id in self._asked if tool_call_id != result[0]]
        self.still_owed()
        told = Unmet(Expect.OUTPUT.value, 0.0, Then.MESSAGE.value, f"{event.code}: {event.message}")
        return [told, self._message([result])]

    def session_lost(self) -> None:
        """What the lost session was told is gone with it."""
        self._state.pending.session_lost()
        self._unacknowledged = 0
        self._sent.clear()
        self._late.clear()  # the next one is told of them by the history
        for untold in self._telling.values():
            self._untold.update(untold)
        self._telling.clear()
        self._asked = []
        self.still_owed()

    def hold_places(self, now: float) -> list[Command]:
        """Where the model can't speak while a call is open, close those that take long: their outcomes follow."""
        commands: list[Command] = []
        for tool in self._state.unplaced:
            if tool.started_at + PLACEHOLDER_S <= now:
                tool.placeholder = True
                commands.append(self._output(tool.tool_call_id, tool.name, PLACEHOLDER))
        return commands

    def wakes(self) -> list[float | None]:
        """When a placeholder is due (s)."""
        return [tool.started_at + PLACEHOLDER_S for tool in self._state.unplaced]

    def _refuse(self, tool: PendingTool, output: str) -> list[Command]:
        """Answer a call that is not run. Nobody is owed a word of it."""
        tool.output = output
        if not self._state.connected:
            return []
        self._state.pending.answer(tool.tool_call_id)
        return [self._output(tool.tool_call_id, tool.name, output)]

    def _no_call(self, event: realtime.ToolCallRequested) -> Command:
        return Unmet(Expect.NO_CALL.value, 0.0, Then.GO_ON.value, f"{event.name} is not run")

    def _answer(self, tools: Iterable[PendingTool]) -> list[Command]:
        """Answer calls, those with a placeholder by one message; without a session they are held until there is one."""
        state = self._state
        if not state.connected:
            return []
        commands: list[Command] = []
        late: list[_Result] = []
        for tool in tools:
            output = tool.output or ""
            state.pending.answer(tool.tool_call_id)
            if tool.placeholder:
                late.append((tool.tool_call_id, tool.name, output))
            else:
                commands.append(self._output(tool.tool_call_id, tool.name, output))
            if tool.name != END_CALL and output not in (INTERRUPTED, NOT_NOW, NO_TOOLS):
                self._untold[tool.tool_call_id] = tool.response_id
                if state.pending.complete(tool.response_id):
                    state.owed.want(Purpose.TOOL_RESULT)
        if late:
            commands.append(self._message(late))
        if not state.pending.running():
            state.fillers.start_over()
        return commands

    def _output(self, tool_call_id: str, name: str, output: str) -> Command:
        self._unacknowledged += self._state.config.acknowledges
        self._sent[tool_call_id] = (tool_call_id, name, output)
        if len(self._sent) > SENT:
            self._sent.popitem(last=False)
        return SendOutput(tool_call_id, output)

    def _message(self, results: list[_Result]) -> Command:
        """One message for all that is due: there are servers that keep only the last."""
        new = {result[0] for result in results}
        earlier = [result for key, result in self._late.items() if key in self._untold and key not in new]
        self._late.update({result[0]: result for result in results})
        first, *more = results
        return SendResult(*first, also=(*more, *earlier))
