"""The tools of one phone call: a view of the worker's catalog that may change in mid call, and its quota."""

from __future__ import annotations

from collections.abc import Iterable

from tools.define.spec import ToolSpec
from tools.run import more
from tools.run.catalog import Catalog, OnProgress, OnStarted, Promised, ToolRequest
from tools.tool_call.outcome import Outcome, failure
from worker.call_tools.exposure import ToolView, view_of
from worker.call_tools.policy import Quota, ToolPolicy

__all__ = ["CallCatalog"]

NOT_BEGUN = ("invalid", "unknown_tool", "unavailable")
"""Outcomes of tools that were not run, and don't count."""


class CallCatalog:
    """Runs tools as `Catalog` does, but only those that this call is offered, and only so often.

    The tool that reads on in a large answer goes with any offer and counts for nothing.
    """

    def __init__(self, catalog: Catalog, policy: ToolPolicy = ToolPolicy()) -> None:  # noqa: B008
        """Offer every tool that the agent may have."""
        self._catalog = catalog
        self._policy = policy
        self._quota = Quota(policy)
        self._counted: set[str] = set()
        self._apart = frozenset(spec.name for spec in catalog.specs() if spec.function.__module__ == more.__name__)
        permitted = (spec for spec in catalog.specs() if policy.permits(spec.name) or spec.name in self._apart)
        self._permitted = {spec.name: spec for spec in permitted}
        self.view = self._view(self._permitted.values(), 1)

    def offer(self, names: Iterable[str] | None) -> bool:
        """Offer these of the agent's tools from now on, None: all of them. True if that is a change.

        A name that the agent does not have is left out. What runs already goes on.
        """
        wanted = set(self._permitted) if names is None else {*names, *self._apart}
        if wanted & set(self._permitted) == set(self.view.specs):
            return False
        chosen = [spec for name, spec in self._permitted.items() if name in wanted]
        self.view = self._view(chosen, self.view.version + 1)
        return True

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those of the names that are no tool of the agent's."""
        return [name for name in names if name not in self._permitted]

    def spec(self, name: str) -> ToolSpec | None:
        """A tool's recipe, whether it is offered at the moment or not."""
        return self._catalog.spec(name)

    def mode_of(self, spec: ToolSpec) -> str:
        """How a tool is run here: inline or queued."""
        return self._catalog.mode_of(spec)

    async def run(
        self, request: ToolRequest, on_started: OnStarted | None = None, on_progress: OnProgress | None = None
    ) -> Outcome:
        """Run a tool call and return its outcome; see `Catalog.run`."""
        name = request.name
        if name not in self.view.specs:
            return failure("unknown_tool", self.view.no_such(name), detail="no tool of that name is offered")
        if (
            request.tool_call_id not in self._counted and name not in self._apart
        ):  # one that comes again is run once, and counts once
            refused = self._quota.take(name)
            if refused is not None:
                return failure("unavailable", refused, detail="the quota is used up")
            self._counted.add(request.tool_call_id)
        outcome = await self._catalog.run(request, on_started, on_progress)
        if outcome.status in NOT_BEGUN and name not in self._apart:
            self._quota.give_back(name)
        return outcome

    async def cancel(self, call_id: str, tool_call_id: str) -> bool:
        """Stop a tool call that runs; see `Catalog.cancel`."""
        return await self._catalog.cancel(call_id, tool_call_id)

    async def promise(self, call_id: str, tool_call_id: str, channel: str) -> Promised:
        """Promise that a tool's end will be told after the call; see `Catalog.promise`."""
        return await self._catalog.promise(call_id, tool_call_id, channel)

    async def told(self, call_id: str, tool_call_id: str) -> None:
        """The caller has heard how a tool ended; see `Catalog.told`."""
        await self._catalog.told(call_id, tool_call_id)

    def outliving(self, call_id: str) -> tuple[ToolRequest, ...]:
        """Return the tool calls that would go on after a hang-up; see `Catalog.outliving`."""
        return self._catalog.outliving(call_id)

    async def hang_up(self, call_id: str) -> tuple[ToolRequest, ...]:
        """Do with the running tools what each declares for a hang-up; see `Catalog.hang_up`."""
        return await self._catalog.hang_up(call_id)

    def _view(self, specs: Iterable[ToolSpec], version: int) -> ToolView:
        return view_of(
            specs, self._policy.exposure, most_tokens=self._policy.most_tokens, version=version, apart=self._apart
        )
