"""The provider's conversation as this call writes it: responses, outputs, messages; what a next session is told.

Writes and asks; what, and when, is the turn machine's decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from worker.call.canned import is_canned
from worker.call.remote_servers import ServersAfter
from worker.call_tools.view import CallView
from worker.realtime import base
from worker.realtime.history import History
from worker.realtime.link import Link
from worker.turns import events as turn
from worker.turns.owed import say_exactly
from worker.turns.pending import PendingTool
from worker.turns.tools import PLACEHOLDER

__all__ = ["Conversation"]

CUT = "(The caller spoke over you: of your last words only this was heard: {heard})"
NOT_HEARD = "(The caller spoke over you: nothing of your last words was heard.)"
"""Told to a model whose memory can't be truncated."""


class Conversation:
    """One call's side of it. Without a session nothing is sent; what a later one has to know stands in `history`."""

    def __init__(self, link: Link, view: CallView, after: ServersAfter) -> None:
        """Take the link to the provider and the call's tools, whose calls may stand under another function's name.

        after: the MCP servers that a response may have for itself.
        """
        self.history = History()
        self._link = link
        self._codec = link.codec
        self._can = link.codec.capabilities
        self._view = view
        self._after = after
        self._cuts: list[str] = []
        """Items of which the caller heard less than the model said, where it can't be told by a truncation."""
        self._asked: dict[str, turn.StartTool] = {}
        self._typed = 0
        self._offers = 0

    # --- responses ----------------------------------------------------------------------------------------------------

    def request_response(self, command: turn.RequestResponse) -> None:
        """Ask for a response."""
        metadata = {"purpose": command.purpose.value}
        tools = () if command.instructions is not None else None  # words that are given leave nothing to call
        request = base.ResponseRequest(instructions=command.instructions, metadata=metadata, tools=tools)
        if command.purpose is turn.Purpose.TOOL_RESULT and (own := self._after.take()) is not None:
            request = replace(request, tools=own[0], remote=own[1])
        self._send(self._codec.create_response(request))

    def request_filler(self, command: turn.SpeakFiller) -> None:
        """Ask for a filler, beside the conversation."""
        text = say_exactly(command.text)
        request = base.ResponseRequest(
            instructions=text, input_text=text, out_of_band=True, metadata=command.metadata, tools=()
        )
        self._link.send(self._codec.create_response(request))

    def cancel_response(self, command: turn.CancelResponse) -> None:
        """Cancel a response of the provider's. Where that can't be done it ends unheard."""
        if self._can.cancel and not is_canned(command.response_id):
            self._link.send(self._codec.cancel_response(command.response_id))

    # --- tools --------------------------------------------------------------------------------------------------------

    def tool_asked(self, command: turn.StartTool) -> None:
        """The model called a tool: kept, for the history takes it with its answer."""
        self._asked[command.tool_call_id] = command

    def answer(self, command: turn.SendOutput) -> None:
        """Give a tool call its output. Of a placeholder, and of a call that was not run, nothing is said."""
        told = command.output != PLACEHOLDER and command.tool_call_id in self._asked
        self._send(self._codec.tool_output(command.tool_call_id, command.output, told=told))
        if command.output != PLACEHOLDER:
            self._keep(command.tool_call_id, command.output)

    def tell_result(self, command: turn.SendResult) -> None:
        """Tell the outcomes of calls that were answered with a placeholder, in one message."""
        results = [(command.tool_call_id, command.name, command.output), *command.also]
        for tool_call_id, _, output in results:
            self._keep(tool_call_id, output)
        texts = [f"The result of {name}, which was pending ({key}): {output}" for key, name, output in results]
        self._send(self._codec.message("system", "\n".join(texts)))

    def _keep(self, tool_call_id: str, output: str) -> None:
        """Keep a tool's answer for a session that is to come."""
        asked = self._asked.pop(tool_call_id, None)
        if asked is not None:
            self.history.tool_answered(tool_call_id, asked.name, asked.arguments, output)
            self._after.answered(asked.name, output)

    def approve(self, command: turn.AnswerApproval) -> None:
        """Answer a request of the provider's for an approval."""
        self._link.send(self._codec.approve(command.approval_id, command.approve, command.reason))

    def tell_model(self, command: turn.TellModel) -> None:
        """Tell the model something, and the sessions that follow."""
        self.history.noted(command.key, command.text)
        self._send(self._codec.message("system", command.text))

    # --- what was said ------------------------------------------------------------------------------------------------

    def typed(self, digits: str) -> None:
        """The caller typed digits: one item."""
        text = f"The caller typed on the keypad: {digits}"
        self._typed += 1
        self.history.caller_said(f"keypad:{self._typed}", text)  # a session that is to come is told of it then
        self._send(self._codec.message("user", text))

    def wrote(self, text: str) -> str:
        """The caller wrote in place of speaking: one item, whose key is returned."""
        self._typed += 1
        key = f"written:{self._typed}"
        self.history.caller_said(key, text)
        self._send(self._codec.message("user", text))
        return key

    def offered(self, command: turn.OfferSpoken) -> None:
        """The caller was asked something beside the conversation, and will answer in it."""
        self._offers += 1
        self.history.agent_said(f"offer:{self._offers}", command.text)
        self._send(self._codec.message("assistant", command.text))

    def not_heard(self, item_id: str) -> None:
        """Take an item out of which the caller heard nothing."""
        if self._can.truncate:
            self._link.send(self._codec.delete_item(item_id))
        else:
            self._cuts.append(item_id)

    def heard_until(self, item_id: str, heard_ms: int) -> None:
        """Cut an item of the agent's at what was heard (ms of its own audio)."""
        if self._can.truncate:
            self._link.send(self._codec.truncate(item_id, heard_ms))
        else:
            self._cuts.append(item_id)

    def _send(self, frames: list[base.Frame]) -> None:
        """Send what the model goes by; before it, what it has to know of its own words and was not told yet."""
        cuts, self._cuts = self._cuts, []
        notes = [frame for item_id in cuts for frame in self._codec.message("system", self._cut_note(item_id))]
        self._link.send([*notes, *frames])

    def _cut_note(self, item_id: str) -> str:
        heard = self.history.heard(item_id)
        return CUT.format(heard=heard) if heard else NOT_HEARD

    def replay(self, open_calls: Iterable[PendingTool]) -> list[base.Frame]:
        """Return what a new session has to be told: the conversation so far as text, and the calls that are open."""
        view = self._view.now
        self._cuts.clear()  # the history has what was heard
        wrapped = [base.OpenCall(one.tool_call_id, *view.wrap(one.name, one.arguments)) for one in open_calls]
        return self._codec.history(self.history.entries(), wrapped)
