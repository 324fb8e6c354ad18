"""MCP in OpenAI's protocol: a server's definition on the wire, and what a session tells of its tools and calls. Pure.

The names are those of `openai.types.realtime`: RealtimeToolsConfigUnion (Mcp), RealtimeMcpListTools,
RealtimeMcpToolCall, RealtimeMcpApprovalRequest and their events. An event of a call names its item alone; what stands
in the item came before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from worker.realtime.base import SessionConfig
from worker.realtime.call_ids import CallIds
from worker.realtime.events import RealtimeEvent
from worker.realtime.openai.decode import MESSAGE_CHARS, Json, json_text, part, word
from worker.realtime.remote import (
    ApprovalWanted,
    RemoteServer,
    RemoteToolEnded,
    RemoteToolOutput,
    RemoteToolsFailed,
    RemoteToolsListed,
    RemoteToolStarted,
    hidden,
)

__all__ = ["RemoteTools", "definition"]

LIST, CALL, REQUEST = "mcp_list_tools", "mcp_call", "mcp_approval_request"
REMEMBERED = 256
"""Items kept in mind: a session has few in flight."""


def definition(server: RemoteServer) -> dict[str, Any]:
    """Return the whole definition of a server, as it stands among a session's tools."""
    whole: dict[str, Any] = {"type": "mcp", "server_label": server.label}
    places = {"server_url": server.url, "connector_id": server.connector_id, "tunnel_id": server.tunnel_id}
    whole.update({key: value for key, value in places.items() if value is not None})
    if server.authorization is not None:
        whole["authorization"] = server.authorization
    if server.headers:
        whole["headers"] = dict(server.headers)
    allowed = None if server.allowed_tools is None else list(server.allowed_tools)
    if server.read_only:
        whole["allowed_tools"] = {"read_only": True, **({} if allowed is None else {"tool_names": allowed})}
    elif allowed is not None:
        whole["allowed_tools"] = allowed
    whole["require_approval"] = server.require_approval  # left out it means always
    if server.description is not None:
        whole["server_description"] = server.description
    return whole


@dataclass(slots=True)
class _Call:
    response_id: str
    label: str = ""
    name: str = ""
    arguments: str = ""
    approval_id: str = ""
    tool_call_id: str = ""
    """Ours, once it has started."""
    ended: bool = False
    told: bool = False
    """Its output was."""


class RemoteTools:
    """What one session knows of MCP. Its decoders return events, and raise for what a peer sends as `decode` does."""

    def __init__(self, calls: CallIds) -> None:
        """calls: gives names that are unique in the phone call."""
        self._ids = calls
        self._secrets: tuple[str, ...] = ()
        self.reset()

    def reset(self) -> None:
        """A new session begins: it has to be told everything anew."""
        self._defined: dict[str, RemoteServer] = {}
        self._listed: set[str] = set()
        self._lists: OrderedDict[str, str] = OrderedDict()
        self._failed: OrderedDict[str, None] = OrderedDict()
        """Items of lists that could not be had."""
        self._calls: OrderedDict[str, _Call] = OrderedDict()
        self._approvals: OrderedDict[str, None] = OrderedDict()

    # --- encoding

    def definitions(self, config: SessionConfig) -> list[dict[str, Any]]:
        """Return the servers of a session.update: whole, or by their label alone where this session has their tools."""
        found = [self._of(server) for server in config.remote]
        self._secrets = tuple(secret for server in config.remote for secret in server.secrets)
        return found

    def for_response(self, servers: Iterable[RemoteServer | str]) -> list[dict[str, Any]]:
        """Return the servers of one response; a str is the label of one that the session knows.

        Raises:
            ValueError: it knows none of that label.
        """
        found = []
        for server in servers:
            if isinstance(server, RemoteServer):
                found.append(self._of(server))
                self._secrets = (*self._secrets, *server.secrets)
            elif server in self._defined:
                found.append(self.by_label(server))
            else:
                raise ValueError(f"this session has no MCP server {server!r}: define it, or name one of its own")
        return found

    def _of(self, server: RemoteServer) -> dict[str, Any]:
        known = server.label in self._listed and self._defined.get(server.label) == server
        self._defined[server.label] = server
        return self.by_label(server.label) if known else definition(server)

    @staticmethod
    def by_label(label: str) -> dict[str, Any]:
        """Return what stands for a server that the session knows."""
        return {"type": "mcp", "server_label": label}

    def hide(self, text: str) -> str:
        """Return the provider's words without the secrets of the definitions."""
        return hidden(text, self._secrets)

    # --- lists

    def list_failed(self, message: Json) -> list[RealtimeEvent]:
        """mcp_list_tools.failed: of an item whose server we may have been told."""
        item_id = word(message, "item_id")
        label = self._lists.get(item_id, "")
        self._listed.discard(label)
        _keep(self._failed, item_id, None)
        return [RemoteToolsFailed(label, self._error(message))]

    # --- items

    def item_added(self, item: Json, response_id: str = "") -> None:
        """An item began: keep what later events don't repeat."""
        item_id, kind = word(item, "id"), word(item, "type")
        if kind == LIST:
            _keep(self._lists, item_id, word(item, "server_label"))
        elif kind == CALL:
            self._learn(item, response_id)

    def item_done(self, item: Json, response_id: str = "") -> list[RealtimeEvent]:
        """An item is whole: a list, a request for an approval, or a call with its outcome."""
        kind = word(item, "type")
        if kind == LIST:
            return self._list(item)
        if kind == REQUEST:
            return self._request(item, response_id)
        return self._call_done(item, response_id) if kind == CALL else []

    def _list(self, item: Json) -> list[RealtimeEvent]:
        label, tools = word(item, "server_label"), item.get("tools")
        _keep(self._lists, word(item, "id"), label)
        if not isinstance(tools, list) or word(item, "id") in self._failed:
            return []
        self._listed.add(label)
        names = (word(tool, "name") for tool in tools if isinstance(tool, dict))
        return [RemoteToolsListed(label, tuple(name for name in names if name))]

    def _request(self, item: Json, response_id: str) -> list[RealtimeEvent]:
        approval_id = word(item, "id")
        if not approval_id or approval_id in self._approvals:
            return []
        _keep(self._approvals, approval_id, None)
        label, name = word(item, "server_label"), word(item, "name")
        return [ApprovalWanted(response_id, approval_id, label, name, json_text(item, "arguments"))]

    # --- calls

    def arguments_done(self, message: Json) -> list[RealtimeEvent]:
        """response.mcp_call_arguments.done."""
        call = self._call(word(message, "item_id"), word(message, "response_id"))
        call.arguments = json_text(message, "arguments") or call.arguments
        return []

    def in_progress(self, message: Json) -> list[RealtimeEvent]:
        """response.mcp_call.in_progress."""
        return self._started(word(message, "item_id"))

    def completed(self, message: Json) -> list[RealtimeEvent]:
        """response.mcp_call.completed: the output comes with the item."""
        return self._ended(word(message, "item_id"), ok=True)

    def failed(self, message: Json) -> list[RealtimeEvent]:
        """response.mcp_call.failed: the error comes with the item."""
        return self._ended(word(message, "item_id"), ok=False)

    def _call(self, item_id: str, response_id: str = "") -> _Call:
        call = self._calls.get(item_id)
        if call is None:
            call = _Call(response_id)
            _keep(self._calls, item_id, call)
        call.response_id = call.response_id or response_id
        return call

    def _learn(self, item: Json, response_id: str) -> _Call:
        call = self._call(word(item, "id"), response_id)
        call.label = word(item, "server_label") or call.label
        call.name = word(item, "name") or call.name
        call.arguments = json_text(item, "arguments") or call.arguments
        call.approval_id = word(item, "approval_request_id") or call.approval_id
        return call

    def _started(self, item_id: str) -> list[RealtimeEvent]:
        call = self._call(item_id)
        if call.tool_call_id or not item_id:
            return []
        call.tool_call_id = self._ids.name(call.response_id, item_id) or item_id
        where = (call.response_id, call.tool_call_id, call.label, call.name)
        return [RemoteToolStarted(*where, call.arguments, call.approval_id)]

    def _ended(self, item_id: str, *, ok: bool) -> list[RealtimeEvent]:
        events = self._started(item_id)
        call = self._call(item_id)
        if call.ended or not item_id:
            return events
        call.ended = True
        return [*events, RemoteToolEnded(call.tool_call_id, ok)]

    def _call_done(self, item: Json, response_id: str) -> list[RealtimeEvent]:
        item_id, call = word(item, "id"), self._learn(item, response_id)
        error, output = self._error(item), item.get("output")
        if (output is None and not error) or call.told:
            return []  # closed with its response, while it runs on; or told before, by another event
        call.told = True
        events = self._ended(item_id, ok=not error)
        return [*events, RemoteToolOutput(call.tool_call_id, json_text(item, "output"), error)]

    def _error(self, source: Json) -> str:
        error = source.get("error")
        if not error:
            return ""
        if not isinstance(error, dict):
            return self.hide(str(error))[:MESSAGE_CHARS]
        code = part(source, "error").get("code")
        kind = " ".join(str(one) for one in (word(error, "type"), code) if one)
        return self.hide(f"{kind}: {word(error, 'message')}")[:MESSAGE_CHARS]


def _keep(kept: OrderedDict[str, Any], key: str, value: Any) -> None:
    kept[key] = value
    if len(kept) > REMEMBERED:
        kept.popitem(last=False)
