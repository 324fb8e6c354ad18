"""The provider's conversation as this call writes it: responses, outputs, messages; what a next session is told.

Writes and asks; what, and when, is the turn machine's decision.
"""

from __future__ import annotations

from collections.abc import Iterable

from worker.call.canned import is_canned
from worker.call_tools.catalog import CallCatalog
from worker.realtime import base
from worker.realtime.history import History
from worker.realtime.link import Link
from worker.turns import events as turn
from worker.turns.owed import say_exactly
from worker.turns.pending import PendingTool
from worker.turns.tools import PLACEHOLDER

__all__ = ["Conversation"]


class Conversation:
    """One call's side of it. Without a session nothing is sent; what a later one has to know stands in `history`."""

    def __init__(self, link: Link, catalog: CallCatalog) -> None:
        """Take the link to the provider and the call's tools, whose calls may stand under another function's name."""
        self.history = History()
        self._link = link
        self._catalog = catalog
        self._asked: dict[str, turn.StartTool] = {}
        self._typed = 0
        self._offers = 0

    # --- responses ----------------------------------------------------------------------------------------------------

    def request_response(self, command: turn.RequestResponse) -> None:
        """Ask for a response."""
        metadata = {"purpose": command.purpose.value}
        tools = () if command.instructions is not None else None  # words that are given leave nothing to call
        request = base.ResponseRequest(instructions=command.instructions, metadata=metadata, tools=tools)
        self._link.send(self._link.codec.create_response(request))

    def request_filler(self, command: turn.SpeakFiller) -> None:
        """Ask for a filler, beside the conversation."""
        text = say_exactly(command.text)
        request = base.ResponseRequest(
            instructions=text, input_text=text, out_of_band=True, metadata=command.metadata, tools=()
        )
        self._link.send(self._link.codec.create_response(request))

    def cancel_response(self, command: turn.CancelResponse) -> None:
        """Cancel a response of the provider's."""
        if not is_canned(command.response_id):
            self._link.send(self._link.codec.cancel_response(command.response_id))

    # --- tools --------------------------------------------------------------------------------------------------------

    def tool_asked(self, command: turn.StartTool) -> None:
        """The model called a tool: kept, for the history takes it with its answer."""
        self._asked[command.tool_call_id] = command

    def answer(self, command: turn.SendOutput) -> None:
        """Give a tool call its output."""
        self._link.send(self._link.codec.tool_output(command.tool_call_id, command.output))
        if command.output != PLACEHOLDER:
            self._keep(command.tool_call_id, command.output)

    def tell_result(self, command: turn.SendResult) -> None:
        """Tell the outcome of a call that was answered with a placeholder."""
        text = f"The result of {command.name}, which was pending ({command.tool_call_id}): {command.output}"
        self._keep(command.tool_call_id, command.output)
        self._link.send(self._link.codec.message("system", text))

    def _keep(self, tool_call_id: str, output: str) -> None:
        """Keep a tool's answer for a session that is to come."""
        asked = self._asked.pop(tool_call_id, None)
        if asked is not None:
            self.history.tool_answered(tool_call_id, asked.name, asked.arguments, output)

    # --- what was said ------------------------------------------------------------------------------------------------

    def typed(self, digits: str) -> None:
        """The caller typed digits: one item."""
        text = f"The caller typed on the keypad: {digits}"
        self._typed += 1
        self.history.caller_said(f"keypad:{self._typed}", text)  # a session that is to come is told of it then
        self._link.send(self._link.codec.message("user", text))

    def offered(self, command: turn.OfferSpoken) -> None:
        """The caller was asked something beside the conversation, and will answer in it."""
        self._offers += 1
        self.history.agent_said(f"offer:{self._offers}", command.text)
        self._link.send(self._link.codec.message("assistant", command.text))

    def not_heard(self, item_id: str) -> None:
        """Take an item out of which the caller heard nothing."""
        self._link.send(self._link.codec.delete_item(item_id))

    def heard_until(self, item_id: str, heard_ms: int) -> None:
        """Cut an item of the agent's at what was heard (ms of its own audio)."""
        self._link.send(self._link.codec.truncate(item_id, heard_ms))

    def replay(self, open_calls: Iterable[PendingTool]) -> list[base.Frame]:
        """Return what a new session has to be told: the conversation so far as text, and the calls that are open."""
        codec, view = self._link.codec, self._catalog.view
        frames = [codec.message(entry.role, entry.text) for entry in self.history.entries()]
        wrapped = [(call.tool_call_id, *view.wrap(call.name, call.arguments)) for call in open_calls]
        return frames + [codec.tool_call_item(*call) for call in wrapped]
