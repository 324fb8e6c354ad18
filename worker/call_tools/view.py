"""The tools of one phone call: what it is offered, which may change in mid call, and how much of its quota is left.

The one door for tool calls (`tools.run.catalog`) asks it before it runs one, and tells it how that went.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tools.define.spec import ToolSpec
from tools.run import more
from tools.run.catalog import Catalog
from tools.tool_call.outcome import Outcome, failure
from tools.tool_call.request import ToolRequest
from worker.call_tools.approval import Decide, Wanted, nobody, words_for_model
from worker.call_tools.entries import Enter, nobody_types
from worker.call_tools.exposure import ToolView, view_of
from worker.call_tools.policy import Quota, ToolPolicy

__all__ = ["CallView"]

NOT_BEGUN = ("invalid", "unknown_tool", "unavailable", "declined")
"""Outcomes of tools that were not run, and don't count."""


class CallView:
    """What of a catalog one call may use, and how often. A `tools.run.catalog.Permit`.

    The tool that reads on in a large answer goes with any offer and counts for nothing.
    """

    def __init__(self, catalog: Catalog, policy: ToolPolicy = ToolPolicy()) -> None:  # noqa: B008
        """Offer every tool that the agent may have."""
        self._catalog = catalog
        self.policy = policy
        self.decide: Decide = nobody
        """Who is asked whether a tool call may run (`approvals.Approvals`)."""
        self.enter: Enter = nobody_types
        """Who has the caller type what is for a tool alone (`entries.Entries`)."""
        self._wanted: frozenset[str] | None = None
        self._quota = Quota(policy)
        self._counted: set[str] = set()
        self._apart = frozenset(spec.name for spec in catalog.specs() if spec.function.__module__ == more.__name__)
        self._permitted = self._permitted_now()
        self.now = self._view(self._permitted.values(), 1)
        """What is offered at the moment."""

    def offer(self, names: Iterable[str] | None) -> bool:
        """Offer these of the agent's tools from now on, None: all of them. True if that is a change.

        A name that the agent does not have is left out. What runs already goes on.
        """
        self._wanted = None if names is None else frozenset((*names, *self._apart))
        return self._change()

    def renew(self) -> bool:
        """Take in that the catalog's tools have changed: of the new ones, those that are wanted are offered.

        True if that changes the offer.
        """
        self._permitted = self._permitted_now()
        return self._change()

    @property
    def catalog(self) -> Catalog:
        """What it is a view of."""
        return self._catalog

    def _permitted_now(self) -> dict[str, ToolSpec]:
        specs = self._catalog.specs()
        return {spec.name: spec for spec in specs if self.policy.permits(spec.name) or spec.name in self._apart}

    def _change(self) -> bool:
        wanted = self._permitted if self._wanted is None else self._wanted
        chosen = {name: spec for name, spec in self._permitted.items() if name in wanted}
        if _versions(chosen) == _versions(self.now.specs):
            return False
        self.now = self._view(chosen.values(), self.now.version + 1)
        return True

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those of the names that are no tool of the agent's."""
        return [name for name in names if name not in self._permitted]

    def refusal(self, request: ToolRequest) -> Outcome | None:
        """Why a tool call is not to be run; None where it may be, and counts from now on."""
        name = request.name
        if name not in self.now.specs:
            return failure("unknown_tool", self.now.no_such(name), detail="no tool of that name is offered")
        if name in self._apart or request.tool_call_id in self._counted:  # one that comes again counts once
            return None
        refused = self._quota.take(name)
        if refused is not None:
            return failure("unavailable", refused, detail="the quota is used up")
        self._counted.add(request.tool_call_id)
        return None

    async def approve(
        self, request: ToolRequest, specs: Sequence[ToolSpec], arguments: Mapping[str, Any]
    ) -> Outcome | None:
        """Wait until a tool call is approved: None then, else its outcome."""
        decision = await self.decide(_wanted(request, specs, arguments))
        if decision.approved:
            return None
        detail = f"by {decision.by}" + (f": {decision.why}" if decision.why else "")
        return failure("declined", words_for_model(decision), detail=detail)

    async def typed(self, request: ToolRequest, spec: ToolSpec) -> Mapping[str, str] | Outcome:
        """Have the caller type what the tool takes of them; else return the tool call's outcome."""
        return await self.enter(request.tool_call_id, spec)

    def ended(self, request: ToolRequest, outcome: Outcome) -> None:
        """A tool call that was not refused has come back."""
        if outcome.status in NOT_BEGUN and request.name not in self._apart:
            self._quota.give_back(request.name)

    def _view(self, specs: Iterable[ToolSpec], version: int) -> ToolView:
        return view_of(
            specs, self.policy.exposure, most_tokens=self.policy.most_tokens, version=version, apart=self._apart
        )


def _wanted(request: ToolRequest, specs: Sequence[ToolSpec], arguments: Mapping[str, Any]) -> Wanted:
    """What is to be approved: a tool with its defaults filled in, and whatever it needs of others."""
    spec = specs[0]
    properties = spec.signature.parameters.get("properties", {})
    left_out = {name: one["default"] for name, one in properties.items() if isinstance(one, dict) and "default" in one}
    return Wanted(
        tool_call_id=request.tool_call_id,
        tools=tuple(one.name for one in specs),
        arguments={**left_out, **arguments},
        policies=tuple(one.approval for one in specs),
        summary=spec.summary,
        question=spec.question,
    )


def _versions(specs: Mapping[str, ToolSpec]) -> dict[str, str]:
    return {name: spec.version for name, spec in specs.items()}
