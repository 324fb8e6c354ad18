"""What a caller is promised where nobody took their transfer: kept in Redis, and done once, whoever lives to do it.

It goes the way of what is promised of a slow tool (`tools.queue.promises`): the outcome is written down while the call
is on, and told after it: the caller is called back and may be put through then, or a note of them is sent.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tools.queue.store.late import Orphan
from tools.run.catalog import Catalog
from tools.tool_call.outcome import returned
from tools.tool_call.request import job_id
from worker.call_tools.later import Way
from worker.call_tools.transfer import OFFERS, PROMISED, TRANSFER_CALL, Target, Wanted
from worker.records.telemetry import Telemetry
from worker.turns.events import StartTool

__all__ = ["TransferPromises"]


@dataclass(frozen=True, slots=True)
class _Missed:
    """A transfer that nobody took."""

    tool_call_id: str
    target: Target
    summary: str
    way: Way
    output: Mapping[str, Any]


class TransferPromises:
    """One call's. ways: what this caller may be offered, each with its channel."""

    def __init__(self, call: Telemetry, catalog: Catalog, ways: Mapping[Way, str]) -> None:
        self._call = call
        self._catalog = catalog
        self._ways = ways
        self._missed: dict[str, _Missed] = {}
        self._promised: dict[str, str] = {}
        """Jobs by label."""

    def offers_for(self, target: Target) -> bool:
        """Whether anything may be promised of this target."""
        return target.unanswered in self._ways

    def missed(self, tool_call_id: str, found: Wanted, output: dict[str, Any]) -> dict[str, Any]:
        """Nobody took it: return the model's output, with what it may offer the caller."""
        target = found.target
        if target is None or target.unanswered == "tell" or not self.offers_for(target):
            return output
        if target.label in self._promised:
            return output
        way: Way = target.unanswered
        self._missed[target.label] = _Missed(tool_call_id, target, found.summary, way, output)
        return {**output, "note": f"{output['note']} {OFFERS[way]}"}

    async def taken(self) -> None:
        """The caller was put through after all: nothing is owed any more."""
        self._missed.clear()
        promised, self._promised = self._promised, {}
        for job in promised.values():
            await self._catalog.unpromise(job)

    async def answer(self, command: StartTool) -> dict[str, Any]:
        """Return the output of a call of `promise_transfer`."""
        try:
            values = json.loads(command.arguments or "{}")
        except (ValueError, RecursionError):
            values = None
        label = values.get("to") if isinstance(values, dict) else None
        if isinstance(label, str) and label in self._promised:
            return {"status": "promised", "note": "It is promised already."}
        missed = self._missed.get(label) if isinstance(label, str) else None
        if missed is None:
            return {"status": "invalid", "error": "Nobody of that label was tried in vain. Use transfer_call first."}
        orphan = self._orphan(missed)
        self._promised[missed.target.label] = orphan.job_id  # before it is written: a second call finds it
        if not await self._catalog.promise_known(orphan, returned({**missed.output, "summary": missed.summary})):
            del self._promised[missed.target.label]
            return {
                "status": "unavailable",
                "error": "This can't be promised at the moment. The caller may call again.",
            }
        self._call.log.info("transfer_promised", to=missed.target.label, how=missed.way)
        return {"status": "promised", "how": missed.way, "note": PROMISED[missed.way]}

    def _orphan(self, missed: _Missed) -> Orphan:
        info, now = self._call.info, time.time()
        arguments = json.dumps({"to": missed.target.label, "summary": missed.summary})
        return Orphan(
            call_id=info.call_id,
            tool_call_id=missed.tool_call_id,
            job_id=job_id(info.call_id, missed.tool_call_id),
            tool=TRANSFER_CALL,
            summary=f"a call for {missed.target.label}",
            caller=info.caller,
            dialled=info.dialled,
            hung_up_at=now,
            channel=self._ways[missed.way],
            arguments=arguments,
            facts=info.facts.as_json() if missed.way == "call_back" else {},
            not_before=now + missed.target.call_back_s if missed.way == "call_back" else 0.0,
        )
