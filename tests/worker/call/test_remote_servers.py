"""The agent file's servers that the provider runs: as a session has them, and what is refused before a start."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tools.mcp.server import McpServer
from worker.agent.agent import Agent
from worker.agent.agent_file import parse_agent_file
from worker.call.config import turn_config
from worker.call.remote_servers import (
    ServersAfter,
    check_after,
    check_remote,
    named_tools,
    remote_servers,
    servers_of,
    time_limit,
    wanted_of,
)
from worker.errors import AgentFileError
from worker.realtime.base import SessionConfig
from worker.realtime.choose import codec_for
from worker.realtime.dialect import GEMINI
from worker.realtime.provider import Provider
from worker.service.checks.finding import Site
from worker.service.checks.first import check_connectors
from worker.settings.settings import Settings
from worker.turns.events import AskApproval

URL = "https://crm.example.com/mcp"
SECRETS = {"CRM_TOKEN": "t0ken-4711", "CRM_KEY": "k3y-4711"}
OPENAI = Provider(name="openai", url="wss://x/v1", model="m", key="k")
LIVE = Provider(name="gemini", url="wss://x", model="gemini-3.8-live", key="k", dialect=GEMINI)


def server(**more: Any) -> McpServer:
    return McpServer.model_validate({"label": "crm", "run_by": "provider", "url": URL, **more})


def agent(**more: Any) -> Agent:
    return Agent.model_validate({"mcp": [server(**more)]})


def test_a_definition_with_its_secrets() -> None:
    headers = {"X-Key": {"secret": "CRM_KEY", "prefix": "Key "}, "X-Tenant": "seven"}
    given = server(
        authorization="CRM_TOKEN",
        headers=headers,
        allowed_tools=["find"],
        read_only=True,
        require_approval={"always": ["find"], "never": {"read_only": True}},
        description="Customers.",
    )
    found = remote_servers([given], SECRETS)["crm"]
    assert found.authorization == "t0ken-4711" and found.headers == {"X-Key": "Key k3y-4711", "X-Tenant": "seven"}
    assert (found.allowed_tools, found.read_only, found.description) == (("find",), True, "Customers.")
    assert found.require_approval == {"always": {"tool_names": ["find"]}, "never": {"read_only": True}}
    assert "4711" not in repr(found)


def test_all_tools_and_those_that_we_run_ourselves() -> None:
    ours = McpServer.model_validate({"label": "shop", "url": URL})
    found = remote_servers([server(), ours], {})
    assert list(found) == ["crm"] and found["crm"].allowed_tools is None


@pytest.mark.parametrize(
    ("given", "asked", "policy"),
    [
        ({}, "never", "never"),
        ({"tools": {"pay*": {"approval": "caller"}}}, "always", "never"),
        ({"tools": {"*": {"approval": "operator"}}}, "always", "operator"),
        ({"require_approval": "always"}, "always", "always"),
        ({"require_approval": "always", "tools": {"find": {"approval": "key"}}}, "always", "key"),
    ],
)
def test_who_is_asked_for_an_approval(given: dict[str, Any], asked: str, policy: str) -> None:
    assert remote_servers([server(**given)], {})["crm"].require_approval == asked
    wanted = wanted_of(agent(**given), AskApproval("a1", "crm", "find", '{"name": "Ada"}'))
    assert (wanted.policies, wanted.tools, wanted.arguments) == ((policy,), ("crm__find",), {"name": "Ada"})


@pytest.mark.parametrize("arguments", ["", "[1]", "{", "7"])
def test_arguments_that_are_no_object_are_asked_about_as_they_are(arguments: str) -> None:
    assert wanted_of(agent(), AskApproval("a1", "crm", "find", arguments)).arguments == {"arguments": arguments}


@pytest.mark.parametrize(
    ("pattern", "asked"),
    [
        ("crm__pay", "always"),
        ("crm__*", "always"),
        ("*", "always"),
        ("c*", "always"),
        ("shop__*", "never"),
        ("cr", "never"),
    ],
)
def test_an_agents_own_patterns_have_the_provider_ask(pattern: str, asked: str) -> None:
    one = Agent.model_validate({"mcp": [server()], "tools": {"approval": {pattern: "caller"}}})
    assert [found.require_approval for found in servers_of(one, remote_servers(one.mcp, {}))] == [asked]


TOOL = {"type": "function", "name": "order_status"}


def test_one_that_comes_after_a_tool_is_in_the_one_response_that_follows_its_good_outcome() -> None:
    mail = {"label": "mail", "run_by": "provider", "url": "https://mail.example.com/mcp"}
    both = Agent.model_validate({"mcp": [server(after="identify_*"), mail], "tools": {"approval": {"crm__*": "key"}}})
    remote = remote_servers(both.mcp, {})
    assert [one.label for one in servers_of(both, remote)] == ["mail"]
    after = ServersAfter(both, remote, lambda: SessionConfig(tools=(TOOL,), remote=servers_of(both, remote)))
    after.answered("order_status", "{}")
    for bad in ("failed", "timeout", "unknown", "declined", "cancelled"):
        after.answered("identify_caller", f'{{"status":"{bad}","error":"x"}}')
    after.answered("identify_caller", '{"status":"not_started","reason":"x"}')
    assert after.take() is None
    after.answered("identify_caller", '{"status":"ok","name":"Ada"}')
    after.answered("order_status", "{}")
    assert after.take() == ((TOOL,), ("mail", replace(remote["crm"], require_approval="always")))
    assert after.take() is None


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ("identify", "no tool of ours is called 'identify'; did you mean 'identify_caller'?"),
        ("z", "there are identify"),
    ],
)
def test_a_server_comes_after_a_tool_that_there_is(after: str, words: str) -> None:
    with pytest.raises(AgentFileError, match=re.escape(words)):
        check_after(Path("a.toml"), agent(after=after), ["identify_caller"])
    check_after(Path("a.toml"), agent(after=["ident*", "identify_caller"]), ["identify_caller"])
    ours = {"label": "shop", "url": URL}
    check_after(Path("a.toml"), Agent.model_validate({"mcp": [server(after="shop__find"), ours]}), [])


def test_names_and_time_limits() -> None:
    given = agent(tools={"find": {"timeout": 7}, "slow_*": {"timeout": 3600}}, allowed_tools=["find", "slow_one"])
    assert sorted(named_tools(given)) == ["crm__find", "crm__slow_one"]
    assert time_limit(given, "crm__find") == 7 and time_limit(given, "crm__slow_x") == given.limits.tool_seconds
    assert time_limit(given, "crm__other") == 20


def test_a_provider_that_runs_none_is_refused_before_a_start() -> None:
    raw = {"mcp": [server().model_dump(exclude_defaults=True)]}
    agents = parse_agent_file(raw, Path("agent.toml"))
    with pytest.raises(AgentFileError) as refused:
        check_remote(agents, "gemini", codec_for(LIVE).capabilities)
    assert str(refused.value) == (
        'agent.toml: mcp crm: run_by = "provider", but gemini runs no MCP servers; write run_by = "offhook", or choose'
        " another OFFHOOK_REALTIME"
    )
    check_remote(agents, "openai", codec_for(OPENAI).capabilities)


def test_a_label_that_stands_in_the_providers_options_too_is_refused() -> None:
    tools = [{"type": "mcp", "server_label": "crm", "server_url": URL}]
    raw = {"mcp": [server().model_dump(exclude_defaults=True)], "provider": {"tools": tools}}
    with pytest.raises(AgentFileError, match=r"mcp crm: the label stands in \[provider\] tools, too"):
        check_remote(parse_agent_file(raw, Path("agent.toml")), "openai", codec_for(OPENAI).capabilities)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"run_by": "offhook", "after": "find"}, 'after goes with run_by = "provider"'),
        ({"url": None, "tunnel_id": "t1", "run_by": "offhook"}, 'tunnel_id goes with run_by = "provider"'),
        ({"tunnel_id": "t1"}, "there is url and tunnel_id"),
    ],
)
def test_tunnels_are_the_providers(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        server(**given)
    assert remote_servers([server(url=None, tunnel_id="t1")], {})["crm"].tunnel_id == "t1"


def test_a_provider_without_them_waits_for_no_lists() -> None:
    from tools.run.catalog import Catalog
    from tools.run.inline import InlineRunner

    catalog = Catalog([], inline=InlineRunner())
    assert turn_config(agent(), catalog, codec_for(OPENAI)).remote == ("crm",)
    assert turn_config(agent(), catalog, codec_for(LIVE)).remote == ()


def test_a_connector_is_told_to_be_of_the_past(tmp_path: Path) -> None:
    raw = {"mcp": [server(url=None, connector_id="connector_gmail").model_dump(exclude_defaults=True)]}
    site = Site(Settings(), parse_agent_file(raw, tmp_path / "agent.toml"))
    [found] = check_connectors(site)
    assert (found.level, found.mend) == ("note", "write url or tunnel_id") and "mcp crm" in found.text
    site.agents = parse_agent_file({"mcp": [server().model_dump(exclude_defaults=True)]}, tmp_path / "agent.toml")
    assert check_connectors(site) == []
