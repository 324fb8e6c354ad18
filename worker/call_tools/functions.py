"""The functions of a call itself, which are no tools: what is pending, stop it, tell of it later, transfer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tools.run.catalog import Catalog
from worker.call_tools.later import Way
from worker.records.telemetry import Telemetry
from worker.turns.events import StartTool
from worker.turns.pending import PendingTool, PendingTools

__all__ = [
    "CALL_FUNCTIONS",
    "CANCEL_JOB",
    "PENDING_JOBS",
    "TELL_LATER",
    "CallFunctions",
    "OwnFunction",
    "tell_later_function",
]

PENDING_JOBS = "pending_jobs"
CANCEL_JOB = "cancel_job"
TELL_LATER = "tell_later"
_NOTHING: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
_JOB: Mapping[str, Any] = {"type": "string", "description": "Its id or name, as pending_jobs gives it."}
CALL_FUNCTIONS: tuple[Mapping[str, Any], ...] = (
    {
        "type": "function",
        "name": PENDING_JOBS,
        "description": "Tell which of this call's tools are still at work, and for how long. For when the caller asks.",
        "parameters": _NOTHING,
    },
    {
        "type": "function",
        "name": CANCEL_JOB,
        "description": "Stop a tool that is still at work. Only when the caller asks for it.",
        "parameters": {
            "type": "object",
            "properties": {"job": _JOB},
            "required": ["job"],
            "additionalProperties": False,
        },
    },
)
"""What the model can be offered beside the agent's tools."""

HOW: Mapping[Way, str] = {
    "call_back": "the caller will be called back with the result",
    "send": "the result will be sent to the caller",
}


def tell_later_function(ways: Mapping[Way, str]) -> Mapping[str, Any]:
    """Return the function by which the model promises a result for later, by one of the ways that are possible."""
    how = {"type": "string", "enum": list(ways), "description": "; ".join(f"{way}: {HOW[way]}" for way in ways)}
    return {
        "type": "function",
        "name": TELL_LATER,
        "description": "Promise the caller the result of a tool that is still at work for after the call, so that they"
        " need not wait. Only when the caller wants it.",
        "parameters": {
            "type": "object",
            "properties": {"how": how, "job": {**_JOB, "description": f"{_JOB['description']} Left out: all of them."}},
            "required": ["how"],
            "additionalProperties": False,
        },
    }


OwnFunction = Callable[[StartTool], Awaitable[dict[str, Any] | None]]
"""Answers a call of a function of the call's own; None: nobody is there any more who would hear the answer."""


class CallFunctions:
    """Answers them. stop: stops a tool call. later: the ways that this caller has, each with its channel.

    own: further functions, by name.
    """

    def __init__(
        self,
        call: Telemetry,
        stop: Callable[[str], Awaitable[bool]],
        catalog: Catalog,
        pending: PendingTools,
        later: Mapping[Way, str],
        own: Mapping[str, OwnFunction] | None = None,
    ) -> None:
        self._call = call
        self._own = own or {}
        self._call_id = call.info.call_id
        self._stop = stop
        self._catalog = catalog
        self._pending = pending
        self._later = later
        self._functions = {PENDING_JOBS: self._pending_jobs, CANCEL_JOB: self._cancel_job}
        if later:
            self._functions[TELL_LATER] = self._tell_later

    def __contains__(self, name: str) -> bool:
        return name in self._functions or name in self._own

    async def answer(self, command: StartTool) -> dict[str, Any] | None:
        """Return the output of a call of one of these; None where none is due any more."""
        if (own := self._own.get(command.name)) is not None:
            return await own(command)
        return await self._functions[command.name](_object(command.arguments))

    async def _pending_jobs(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {"pending": [self._described(tool) for tool in self._at_work()]}

    async def _cancel_job(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        found = self._named(arguments.get("job", ""))
        if not found:
            return self._nothing_found()
        stopped = [tool.name for tool in found if await self._stop(tool.tool_call_id)]
        return {"status": "cancelled" if stopped else "too_late", "cancelled": stopped}

    async def _tell_later(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        way = next((way for way in self._later if way == arguments.get("how")), None)
        if way is None:
            return {"status": "invalid", "error": f"'how' has to be one of: {', '.join(self._later)}."}
        found = self._named(arguments["job"]) if arguments.get("job") else self._at_work()
        if not found:
            return self._nothing_found()
        went = {tool.tool_call_id: await self._promise(tool, way) for tool in found}
        promised = [self._what(tool) for tool in found if went[tool.tool_call_id] == "promised"]
        if promised:
            note = f"Tell the caller that {HOW[way]} as soon as it is there, and that they need not wait for it."
            return {"status": "promised", "how": way, "promised": promised, "note": note}
        if "unavailable" in went.values():
            words = "This can't be promised at the moment. The caller may wait, or call again later."
            return {"status": "unavailable", "error": words}
        return {"status": "too_late", "error": "It is over, or will be in a moment: its result comes in this call."}

    async def _promise(self, tool: PendingTool, way: Way) -> str:
        went = await self._catalog.promise(self._call_id, tool.tool_call_id, self._later[way])
        self._call.log.info("tell_later", tool=tool.name, tool_call_id=tool.tool_call_id, how=way, went=went)
        if went == "promised":
            tool.offered = True  # nothing more to offer
            self._call.recorder.promised(tool.tool_call_id, way)
        return went

    def _named(self, wanted: object) -> list[PendingTool]:
        return [tool for tool in self._at_work() if str(wanted) in (tool.tool_call_id, tool.name)]

    def _nothing_found(self) -> dict[str, Any]:
        known = [self._described(tool) for tool in self._at_work()]
        return {"status": "not_found", "error": "Nothing of that id or name is at work.", "pending": known}

    def _at_work(self) -> list[PendingTool]:
        return [tool for tool in self._pending.ours() if tool.name not in self]

    def _described(self, tool: PendingTool) -> dict[str, Any]:
        return {
            "job": tool.tool_call_id,
            "tool": tool.name,
            "what": self._what(tool),
            "seconds": round(self._call.clock() - tool.started_at),
            "progress": "it waits for an approval" if tool.awaits else tool.progress,
        }

    def _what(self, tool: PendingTool) -> str:
        spec = self._catalog.spec(tool.name)
        return (spec.summary if spec is not None else None) or tool.name


def _object(arguments: str) -> dict[str, Any]:
    try:
        value = json.loads(arguments)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
