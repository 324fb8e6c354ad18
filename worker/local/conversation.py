"""The conversation: items in their order, and what a client may do to them. Pure.

Audio itself is not kept, only its length: a retrieved item has its transcript and no sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.local.errors import RequestError

__all__ = ["Conversation", "Item"]


@dataclass(slots=True, eq=False)
class Item:
    """One item of a conversation.

    kind: message, function_call, function_call_output, or MCP's: mcp_list_tools, mcp_call, mcp_approval_request and
    mcp_approval_response. audio_ms: the length of an assistant's audio, as far as it
    was sent; after a truncation, as far as it was kept. answered: whether the brain has dealt with it.
    """

    id: str
    kind: str
    role: str | None = None
    status: str = "completed"
    content: list[dict[str, Any]] = field(default_factory=list)
    name: str = ""
    call_id: str = ""
    arguments: str = ""
    output: str = ""
    audio_ms: float = 0.0
    answered: bool = False
    heard: bool = True
    """False while what was said is still being recognised."""
    label: str = ""
    """The MCP server of an item of MCP's."""
    tools: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None
    ran: bool = False
    """An MCP call has its outcome."""
    approval_request_id: str = ""
    approve: bool | None = None
    """The answer to a request for an approval; None where there is none yet."""
    reason: str | None = None

    @classmethod
    def of_client(cls, item: Mapping[str, Any], new_id: str, new_call_id: str) -> Item:
        """An item from a checked `conversation.item.create`."""
        made = cls(item.get("id") or new_id, item["type"], item.get("role"))
        made.content = [dict(part) for part in item.get("content", ())]
        for part in made.content:
            part.pop("audio", None)
        made.name, made.arguments = item.get("name", ""), item.get("arguments", "")
        made.output = item.get("output", "")
        if made.kind == "mcp_approval_response":
            made.approval_request_id, made.approve = item["approval_request_id"], item["approve"]
            made.reason = item.get("reason")
        elif made.kind != "message":
            made.call_id = item.get("call_id") or new_call_id
        return made

    def wire(self) -> dict[str, Any]:
        """The item as the client sees it."""
        if self.kind.startswith("mcp_"):
            return self._mcp_wire()
        head: dict[str, Any] = {"id": self.id, "object": "realtime.item", "type": self.kind, "status": self.status}
        if self.kind == "message":
            return {**head, "role": self.role, "content": [dict(part) for part in self.content]}
        if self.kind == "function_call":
            return {**head, "name": self.name, "call_id": self.call_id, "arguments": self.arguments}
        return {**head, "call_id": self.call_id, "output": self.output}

    def _mcp_wire(self) -> dict[str, Any]:
        head: dict[str, Any] = {"id": self.id, "type": self.kind}
        if self.kind == "mcp_list_tools":
            return {**head, "server_label": self.label, "tools": list(self.tools)}
        if self.kind == "mcp_approval_response":
            answer = {"approval_request_id": self.approval_request_id, "approve": self.approve}
            return {**head, **answer, "reason": self.reason}
        head |= {"server_label": self.label, "name": self.name, "arguments": self.arguments}
        if self.kind == "mcp_approval_request":
            return head
        approval = self.approval_request_id or None
        output = self.output if self.ran and self.error is None else None
        return {**head, "approval_request_id": approval, "output": output, "error": self.error}

    @property
    def text(self) -> str:
        """What the message says, in words."""
        return " ".join(part.get("text") or part.get("transcript") or "" for part in self.content).strip()


class Conversation:
    """The items in order."""

    def __init__(self) -> None:
        self.items: list[Item] = []

    def find(self, item_id: str, doing: str) -> Item:
        """The item with this id; raises RequestError `item_<doing>_invalid_item_id`."""
        for item in self.items:
            if item.id == item_id:
                return item
        verb = {"delete": "deleting", "truncate": "truncating", "retrieve": "retrieving"}[doing]
        message = f"Error {verb} item: the item with id '{item_id}' does not exist."
        raise RequestError(message, code=f"item_{doing}_invalid_item_id", param="item_id")

    def call(self, call_id: str) -> Item | None:
        """The function call with this call_id."""
        return next((item for item in self.items if item.kind == "function_call" and item.call_id == call_id), None)

    def output(self, call_id: str) -> Item | None:
        """The output of this call."""
        outputs = (item for item in self.items if item.kind == "function_call_output")
        return next((item for item in outputs if item.call_id == call_id), None)

    def open_calls(self) -> list[Item]:
        """Function calls that were made and have no output yet."""
        calls = (item for item in self.items if item.kind == "function_call" and item.status == "completed")
        return [item for item in calls if self.output(item.call_id) is None]

    def add(self, item: Item, previous_item_id: str | None = None) -> str | None:
        """Put an item at the end, or after `previous_item_id` ("root": at the beginning).

        Returns the id of the item before it. Raises RequestError for an id that is taken, an unknown
        `previous_item_id`, an output without its call, and a second output for one call.
        """
        if any(other.id == item.id for other in self.items):
            message = f"Error adding item: an item with id '{item.id}' already exists in the conversation."
            raise RequestError(message, code="item_create_duplicate_item_id", param="item.id")
        if item.kind == "function_call_output":
            self._check_output(item)
        place = self._place(previous_item_id)
        self.items.insert(place, item)
        return self.items[place - 1].id if place else None

    def _check_output(self, item: Item) -> None:
        if self.call(item.call_id) is None:
            message = f"Tool call ID '{item.call_id}' not found in conversation."
            raise RequestError(message, code="invalid_tool_call_id", param=None)
        if self.output(item.call_id) is not None:
            message = f"Tool call ID '{item.call_id}' already has an output in the conversation."
            raise RequestError(message, code="duplicate_tool_call_output", param="item.call_id")

    def _place(self, previous_item_id: str | None) -> int:
        if previous_item_id is None:
            return len(self.items)
        if previous_item_id == "root":
            return 0
        for index, other in enumerate(self.items):
            if other.id == previous_item_id:
                return index + 1
        message = f"Error adding item: the previous item with id '{previous_item_id}' does not exist."
        raise RequestError(message, code="item_create_invalid_previous_item_id", param="previous_item_id")

    def delete(self, item_id: str) -> None:
        """Take an item away."""
        self.items.remove(self.find(item_id, "delete"))

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> None:
        """Cut an assistant's audio; its transcript goes, since no text may stay that was not heard."""
        item = self.find(item_id, "truncate")
        if item.kind != "message" or item.role != "assistant" or not item.audio_ms:
            message = "Only model output audio messages can be truncated"
            raise RequestError(message, code="unsupported_content_type", param="item_id")
        if content_index >= len(item.content):
            message = f"Content index {content_index} does not exist in item '{item_id}'."
            raise RequestError(message, code="invalid_content_index", param="content_index")
        if audio_end_ms > item.audio_ms:
            message = f"Audio content of {int(item.audio_ms)}ms is already shorter than {audio_end_ms}ms"
            raise RequestError(message, code="invalid_value", param="audio_end_ms")
        item.audio_ms = audio_end_ms
        item.content[content_index]["transcript"] = ""
