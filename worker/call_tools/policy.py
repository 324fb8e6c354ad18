"""Which of the agent's tools a call may have, and how often. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from tools.define.approval import Approval
from worker.call_tools.exposure import Exposure

__all__ = ["Quota", "ToolPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPolicy:
    """An agent's rules for its tools. Patterns match names as in file names: `*`, `?`, `[...]`."""

    exposure: Exposure = "direct"
    most_tokens: int = 3000
    """With `auto`: tools larger than this stand in a catalog."""
    allow: tuple[str, ...] = ("*",)
    """Patterns of the tools that the agent has."""
    deny: tuple[str, ...] = ()
    """Patterns of those that it has not, whatever `allow` says."""
    max_runs: int | None = None
    """Tool calls of one phone call; None: no limit."""
    max_runs_of: Mapping[str, int] = field(default_factory=dict)
    """Runs of one tool in one phone call, by a pattern of its name; the first that fits counts."""

    approval: Mapping[str, Approval] = field(default_factory=dict)
    """Who has to approve a tool's calls, by patterns of its name: all that fit count, beside the tool's own."""
    questions: Mapping[str, str] = field(default_factory=dict)
    """What is asked then, by a pattern; the first that fits counts."""
    approval_s: float = 60.0
    """So long an approval is waited for; then it is a no."""

    def permits(self, name: str) -> bool:
        """Whether the agent may have a tool of this name."""
        return _fits(name, self.allow) and not _fits(name, self.deny)

    def limit_of(self, name: str) -> int | None:
        """How often a tool may run in one call; None: no limit."""
        return next((most for pattern, most in self.max_runs_of.items() if fnmatchcase(name, pattern)), None)

    def approvals_of(self, name: str) -> list[Approval]:
        """Who has to approve the calls of a tool, by the agent: each of these counts."""
        return [approval for pattern, approval in self.approval.items() if fnmatchcase(name, pattern)]

    def question_of(self, name: str) -> str | None:
        """What is asked before a call of a tool, by the agent; None where it is the tool's own question."""
        return next((text for pattern, text in self.questions.items() if fnmatchcase(name, pattern)), None)


class Quota:
    """How often the tools of one call were run."""

    def __init__(self, policy: ToolPolicy) -> None:
        """Begin with none."""
        self._policy = policy
        self._asked = 0
        self._runs: Counter[str] = Counter()

    def take(self, name: str) -> str | None:
        """Count a run; where there is none left it does not count, and the words for it are returned."""
        most, of_tool = self._policy.max_runs, self._policy.limit_of(name)
        if most is not None and self._asked >= most:
            return f"No more tools can be used in this call: {most} were. Go on without, and say so where it matters."
        if of_tool is not None and self._runs[name] >= of_tool:
            times = "once" if of_tool == 1 else f"{of_tool} times"
            why = f"can be used {times} in a call, and was" if of_tool else "can't be used in this call"
            return f"'{name}' {why}. Don't try it again, and say so where it matters."
        self._asked += 1
        self._runs[name] += 1
        return None

    def give_back(self, name: str) -> None:
        """The run that was counted never began. It goes on counting against the call's own limit, which ends loops."""
        self._runs[name] -= 1


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
