"""MCP as the realtime protocol has it: servers that a session imports tools from, approvals, calls. Pure.

What has to be asked of an MCP server is a job for the shell (`Import`, `RunTool`); its result comes back as tools, as a
text, or as a `Fault`. Secrets of a definition go into the job and are never shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from worker.local.conversation import Conversation, Item
from worker.local.errors import RequestError

__all__ = ["Fault", "Import", "RemoteTools", "RunTool", "check_tools", "shown"]

PLACES = ("server_url", "connector_id", "tunnel_id")


@dataclass(frozen=True, slots=True)
class Import:
    """A job for the shell: list a server's tools. Its result goes to `Session.imported`."""

    item_id: str
    server: Mapping[str, Any] = field(repr=False)
    """The definition as the client has it."""


@dataclass(frozen=True, slots=True)
class RunTool:
    """A job for the shell: run a tool. Its result goes to `Session.ran`. arguments: JSON text."""

    item_id: str
    server: Mapping[str, Any] = field(repr=False)
    name: str = ""
    arguments: str = "{}"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a job came to nothing. kind: protocol_error, tool_execution_error or http_error, as in the protocol."""

    kind: str
    message: str
    code: int | None = None

    def wire(self) -> dict[str, Any]:
        """The error as an item has it."""
        return {"type": self.kind, "message": self.message, **({} if self.code is None else {"code": self.code})}


@dataclass(slots=True)
class _Server:
    definition: Mapping[str, Any]
    tools: list[dict[str, Any]] | None = None
    """None: not imported yet, or it failed."""
    pending: bool = False


def check_tools(tools: Sequence[Mapping[str, Any]], param: str, known: Mapping[str, Any]) -> None:
    """Check the MCP definitions among the tools of a session or a response. known: labels of the session.

    Raises RequestError for a label twice, for none or several of the places where a server is, for a server that was
    never defined, and for Authorization twice or where it must not be.
    """
    labels: set[str] = set()
    for place, tool in enumerate(tools):
        if tool["type"] == "mcp":
            _check(tool, f"{param}[{place}]", known)
            if tool["server_label"] in labels:
                message = f"Duplicate MCP server label '{tool['server_label']}' in '{param}': labels must be unique."
                raise RequestError(message, code="duplicate_server_label", param=f"{param}[{place}].server_label")
            labels.add(tool["server_label"])


def _check(tool: Mapping[str, Any], where: str, known: Mapping[str, Any]) -> None:
    places = [name for name in PLACES if tool.get(name) is not None]
    if not places and tool["server_label"] not in known:
        message = f"'{where}' needs one of 'server_url', 'connector_id' or 'tunnel_id': the label is not known yet."
        raise RequestError(message, code="missing_required_parameter", param=f"{where}.server_url")
    if len(places) > 1:
        message = (
            f"'{where}' takes one of 'server_url', 'connector_id' and 'tunnel_id', and has {' and '.join(places)}."
        )
        raise RequestError(message, code="mutually_exclusive_parameters", param=f"{where}.{places[1]}")
    url = tool.get("server_url")
    if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
        raise RequestError(
            f"Invalid '{where}.server_url': expected a URL.", code="invalid_url", param=f"{where}.server_url"
        )
    in_headers = any(name.lower() == "authorization" for name in tool.get("headers") or {})
    if in_headers and (tool.get("authorization") is not None or tool.get("connector_id") is not None):
        message = f"'{where}.headers' can't have Authorization beside 'authorization', nor for a connector."
        raise RequestError(message, code="invalid_value", param=f"{where}.headers")


def shown(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return tools as session.updated shows them: without the secrets."""
    found = deepcopy([dict(tool) for tool in tools])
    for tool in found:
        if tool.get("authorization") is not None:
            tool["authorization"] = "<redacted>"
        if tool.get("headers"):
            tool["headers"] = dict.fromkeys(tool["headers"], "<redacted>")
    return found


class RemoteTools:
    """The MCP servers of one session, and the calls of their tools that run.

    emit, new_id, order: as the session's. ended: called with a call's item once its outcome is there, and the time.
    """

    def __init__(
        self,
        conversation: Conversation,
        emit: Callable[[str, Mapping[str, Any]], None],
        new_id: Callable[[str], str],
        order: Callable[[Import | RunTool], None],
    ) -> None:
        self.servers: dict[str, _Server] = {}
        self._conversation = conversation
        self._emit, self._new_id, self._order = emit, new_id, order
        self._imports: dict[str, tuple[Item, str]] = {}
        self._calls: dict[str, tuple[Item, str, int]] = {}
        """Running calls: the item, its response, its place there."""

    # --- servers

    def define(self, tools: Sequence[Mapping[str, Any]]) -> None:
        """Take checked definitions: a whole one is imported, also anew; a label alone stands for the one before."""
        for tool in tools:
            if tool["type"] == "mcp" and any(tool.get(name) is not None for name in PLACES):
                self._import(tool)

    def _import(self, tool: Mapping[str, Any]) -> None:
        label = tool["server_label"]
        self.servers[label] = _Server(deepcopy(dict(tool)), pending=True)
        item = Item(self._new_id("mcpl"), "mcp_list_tools", label=label, status="in_progress")
        previous = self._conversation.add(item)
        self._emit("conversation.item.added", {"previous_item_id": previous, "item": item.wire()})
        self._emit("mcp_list_tools.in_progress", {"item_id": item.id})
        self._imports[item.id] = (item, label)
        self._order(Import(item.id, self.servers[label].definition))

    def imported(self, item_id: str, result: list[dict[str, Any]] | Fault) -> None:
        """Take the result of an import."""
        item, label = self._imports.pop(item_id)
        server = self.servers[label]
        later = any(other == label for _, other in self._imports.values())  # it was defined anew meanwhile
        if not later:
            server.pending = False
        if isinstance(result, Fault):
            item.status = "incomplete"
            self._emit("mcp_list_tools.failed", {"item_id": item.id})
            return
        tools = [tool for tool in result if _allowed(server.definition.get("allowed_tools"), tool)]
        item.tools, item.status = tools, "completed"
        if not later:
            server.tools = tools
        self._emit("mcp_list_tools.completed", {"item_id": item.id})
        self._emit_done(item)

    def pending(self, labels: Sequence[str]) -> bool:
        """Whether an import of one of these runs still."""
        return any(self.servers[label].pending for label in labels if label in self.servers)

    def offered(self, tools: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Return the tools that may be called where these are offered, each with its server's label."""
        found: dict[str, str] = {}
        for tool in tools:
            server = self.servers.get(tool["server_label"]) if tool["type"] == "mcp" else None
            for one in (server.tools or ()) if server is not None else ():
                found.setdefault(one["name"], tool["server_label"])
        return found

    def asks(self, label: str, name: str) -> bool:
        """Whether a call of this tool waits for an approval: the default is that each does."""
        rule = self.servers[label].definition.get("require_approval") or "always"
        if isinstance(rule, str):
            return rule == "always"
        tool = next((one for one in self.servers[label].tools or () if one["name"] == name), {"name": name})
        if rule.get("never") is not None and _allowed(rule["never"], tool):
            return False
        return rule.get("always") is None or _allowed(rule["always"], tool)

    # --- calls

    def run(self, item: Item, response_id: str, index: int) -> None:
        """Begin a call."""
        self._calls[item.id] = (item, response_id, index)
        self._emit("response.mcp_call.in_progress", {"item_id": item.id, "output_index": index})
        self._order(RunTool(item.id, self.servers[item.label].definition, item.name, item.arguments))

    def ran(self, item_id: str, result: str | Fault) -> None:
        """Take the result of a call: it goes into the conversation whatever has become of its response."""
        item, response_id, index = self._calls.pop(item_id)
        item.status = "completed"
        if isinstance(result, Fault):
            item.error, kind = result.wire(), "failed"
        else:
            item.output, kind = result, "completed"
        item.ran = True
        self._emit(f"response.mcp_call.{kind}", {"item_id": item.id, "output_index": index})
        where = {"response_id": response_id, "output_index": index}
        if item in self._conversation.items:
            self._emit_done(item)
        self._emit("response.output_item.done", {**where, "item": item.wire()})

    def running(self) -> list[Item]:
        """The calls that run."""
        return [item for item, _, _ in self._calls.values()]

    # --- approvals

    def request_of(self, answer: Item) -> Item:
        """Return the request that an answer is to. Raises RequestError where there is none, or it has one."""
        wanted = answer.approval_request_id
        items = self._conversation.items
        found = next((one for one in items if one.kind == "mcp_approval_request" and one.id == wanted), None)
        if found is None:
            message = f"Approval request '{wanted}' not found in conversation."
            raise RequestError(message, code="invalid_approval_request_id", param="item.approval_request_id")
        if found.approve is not None:
            message = f"Approval request '{wanted}' already has a response in the conversation."
            raise RequestError(message, code="duplicate_approval_response", param="item.approval_request_id")
        return found

    def approved(self) -> Item | None:
        """Return the first request whose call is approved and was not made yet."""
        items = (one for one in self._conversation.items if one.kind == "mcp_approval_request")
        return next((one for one in items if one.approve and not one.answered), None)

    def _emit_done(self, item: Item) -> None:
        place = self._conversation.items.index(item) if item in self._conversation.items else 0
        previous = self._conversation.items[place - 1].id if place else None
        self._emit("conversation.item.done", {"previous_item_id": previous, "item": item.wire()})


def _allowed(rule: Any, tool: Mapping[str, Any]) -> bool:
    """Whether a filter has a tool: a list of names, or {tool_names, read_only}."""
    if rule is None:
        return True
    if isinstance(rule, list):
        return tool["name"] in rule
    if rule.get("tool_names") is not None and tool["name"] not in rule["tool_names"]:
        return False
    read_only = bool((tool.get("annotations") or {}).get("readOnlyHint"))
    return rule.get("read_only") is None or read_only == rule["read_only"]
