"""What the agent file says of approvals: by pattern, for tools of ours, of MCP servers, and of the provider's."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.agent.agent import Agent
from worker.agent.agent_file import parse_agent_file
from worker.agent.tool_rules import approval_words
from worker.call.config import written_down
from worker.call.remote_servers import remote_servers, servers_of, wanted_of
from worker.errors import AgentFileError
from worker.turns.events import AskApproval

SERVER = {"label": "crm", "url": "https://crm.example.com/mcp", "run_by": "provider"}


def agent(**keys: object) -> Agent:
    return parse_agent_file(keys, Path("/agents/agent.toml")).default


def test_the_strictest_of_all_that_fit_counts() -> None:
    one = agent(tools={"approval": {"pay_*": "caller", "*_all": "operator", "look": "never"}})
    assert approval_words(one, "pay_one", "never") == "caller"
    assert approval_words(one, "pay_all", "caller or key") == "operator"
    assert approval_words(one, "look", "key") == "key", "the agent file takes nothing back"
    assert approval_words(one, "other", "never") == "never"


@pytest.mark.parametrize("text", ["callers", "caller, key", ""])
def test_a_wrong_policy_is_one_line(text: str) -> None:
    with pytest.raises(AgentFileError, match=r"tools\.approval.*never, caller, key, operator"):
        agent(tools={"approval": {"pay": text}})


def test_a_rule_is_loaded_beside_the_agent_file(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text("def may(call, facts):\n    return 'operator'\n\ndef wrong():\n    return ''\n")
    keys = {"tools": {"approval": {"pay": "rules.py:may"}}}
    assert approval_words(parse_agent_file(keys, tmp_path / "a.toml").default, "pay", "never") == "by rule"
    keys = {"tools": {"approval": {"pay": "rules.py:wrong"}}}
    with pytest.raises(AgentFileError, match=r"it has to take \(call, facts\)"):
        approval_words(parse_agent_file(keys, tmp_path / "a.toml").default, "pay", "never")


def test_words_are_not_written_down_where_that_is_switched_off() -> None:
    assert written_down(agent())
    assert not written_down(agent(provider={"audio": {"input": {"transcription": False}}}))


@pytest.mark.parametrize(
    ("pattern", "text", "asked"),
    [
        ("crm__*", "caller", "always"),
        ("crm__delete", "caller", "always"),
        ("*", "caller", "always"),
        ("c*_delete", "operator", "always"),
        ("mail__*", "caller", "never"),
        ("crm__*", "never", "never"),
    ],
)
def test_a_pattern_that_may_fit_has_the_provider_ask(pattern: str, text: str, asked: str) -> None:
    one = agent(mcp=[SERVER], tools={"approval": {pattern: text}})
    [server] = servers_of(one, remote_servers(one.mcp, {}))
    assert server.require_approval == asked


def test_who_answers_the_provider() -> None:
    asks = {**SERVER, "require_approval": "always", "tools": {"pay": {"approval": "operator"}}}
    one = agent(mcp=[asks])

    def policies(label: str, tool: str) -> tuple[str, ...]:
        return tuple(map(str, wanted_of(one, AskApproval("a1", label, tool, "{}")).policies))

    assert policies("crm", "pay") == ("operator",)
    assert policies("crm", "find") == ("always",), "the caller, where nobody else is named"
    assert policies("unknown", "find") == ("always",)
