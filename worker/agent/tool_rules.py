"""An agent's rules for its tools, out of the agent file: which it has, how often, and who approves a run. Pure.

A tool worker's image has no audio and no provider: nothing here imports what a call needs for these.
"""

from __future__ import annotations

from collections.abc import Iterable

from tools.define.approval import APPROVED, Approval, Approvers, approvers_of, strictest
from worker.agent.agent import Agent
from worker.call_tools.policy import ToolPolicy
from worker.call_tools.reference import policy_of

__all__ = ["approval_words", "approvals_of", "tool_policy"]


def tool_policy(agent: Agent) -> ToolPolicy:
    """Return the agent's rules for its tools."""
    tools = agent.tools
    return ToolPolicy(
        exposure=tools.exposure,
        most_tokens=tools.direct_tokens,
        allow=tools.allow,
        deny=tools.deny,
        max_runs=tools.max_runs,
        max_runs_of=tools.max_runs_of,
        approval={pattern: policy_of(text) for pattern, text in tools.approval.items()},
        questions=tools.questions,
        approval_s=tools.approval_seconds,
    )


def approvals_of(agent: Agent, own: Iterable[tuple[str, Approval]]) -> dict[str, Approvers | None]:
    """Return who approves the calls of an agent's tools, by the tool's name; None: a rule says so each time.

    own: the tools' names, with their own policies. Only tools that the agent has, and that want an approval.
    """
    policy, found = tool_policy(agent), {}
    for name, approval in own:
        if not policy.permits(name):
            continue
        given = [policy_of(approval), *policy.approvals_of(name)]
        fixed = strictest(approvers_of(one) for one in given if isinstance(one, str))
        if fixed != APPROVED or any(not isinstance(one, str) for one in given):
            found[name] = fixed if all(isinstance(one, str) for one in given) else None
    return found


def approval_words(agent: Agent, tool: str, approval: Approval) -> str:
    """Return who approves the calls of a tool with this policy of its own, as a list shows it."""
    found = approvals_of(agent, [(tool, approval)])
    if tool not in found:
        return "never"
    approvers = found[tool]
    return "by rule" if approvers is None else " or ".join(sorted(approvers))
