"""A tool call that may want somebody's approval, and what came of that. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tools.define.approval import Approval, fingerprint

__all__ = ["Decide", "Decision", "Wanted", "nobody", "words_for_model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A tool call that may want somebody's approval.

    tool_call_id: the provider's id of the call, or of its request for approval. arguments: as they will run.
    policies: the tool's own, and of whatever else runs with it. tools: the names that the agent file's patterns are
    held against, the tool's first. question: its words, with {parameter} places; "": of the summary and all arguments.
    """

    tool_call_id: str
    tools: tuple[str, ...]
    arguments: Mapping[str, Any] = field(repr=False)
    policies: tuple[Approval, ...] = ()
    summary: str = ""
    question: str = ""

    @property
    def tool(self) -> str:
        """The name of the tool that is called."""
        return self.tools[0]

    @property
    def fingerprint(self) -> str:
        """What is approved, exactly."""
        return fingerprint(self.tool, self.arguments)


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of it. by: never (nobody had to be asked), rule, voice, key, operator, nobody, or hang-up."""

    approved: bool
    by: str
    why: str = ""
    who: str = ""
    """The operator's name, where one was given."""


Decide = Callable[[Wanted], Awaitable[Decision]]


async def nobody(wanted: Wanted) -> Decision:
    """Where nobody can be asked: what wants nobody's approval may run."""
    named = any(not isinstance(one, str) or one not in ("never", "approve") for one in wanted.policies)
    return Decision(not named, "never", "nobody can be asked")


def words_for_model(decision: Decision) -> str:
    """Return what the model is told of a call that was declined."""
    if decision.by in ("voice", "key"):
        return "The caller declined: nothing was done. Don't call it again unless the caller asks for it anew."
    if decision.by == "operator":
        return "An operator declined: nothing was done. Say that it can't be done, and don't call it again."
    if decision.by in ("rule", "never"):
        return "It is not permitted here: nothing was done. Say so, and don't call it again."
    if decision.why == "the same call waits already":
        return "The same call is waiting for an approval already. Don't call it again."
    return (
        "Nobody approved it, so nothing was done. Say so, and don't call it again unless the caller asks for it anew."
    )
