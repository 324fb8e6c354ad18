"""MCP servers whose tools the provider runs: real calls, the local realtime server, a real MCP server of the SDK."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from parts.caller import ROUGHLY, Call
from parts.mcp_server import TOKEN, McpDesk
from parts.program import until
from parts.services import RealtimeServer, RedisServer, Worker

from worker.local.dialogue import DEFAULT

QUESTION = "what is the status of order four two seven"
RESULT = "Order four two seven is shipped with DHL, and arrives on Thursday."
FILLER = "Let me ask the warehouse."
SORRY = "I am sorry, I could not look up order four two seven. Please try again later."
UNABLE = "I am sorry, I can't do that here."
LEFT = "All right, then I leave it at that."
GREETING = "Hello, this is the order desk. How can I help you?"
AGENT = """
greeting = "{greeting}"
instructions = "You are the order desk."

[[mcp]]
label = "desk"
run_by = "provider"
url = "{url}"
authorization = "DESK_TOKEN"
{more}

[mcp.tools.order_status]
filler = "{filler}"
timeout = 60
{end}
"""
SECRETS = {"OFFHOOK_TOOL_SECRETS": "DESK_TOKEN", "DESK_TOKEN": TOKEN}


@dataclass
class Desk:
    """A worker, the realtime server that is its provider, and the MCP server that this one asks."""

    mcp: McpDesk
    worker: Worker
    provider: RealtimeServer
    dialogue: Path

    def provider_again(self) -> None:
        """The provider is killed, and starts anew."""
        port = self.provider.url.rpartition(":")[2].partition("/")[0]
        self.provider.kill()
        self.provider = RealtimeServer(self.dialogue, "--port", port).ready()


@pytest.fixture
def start(redis: RedisServer, tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Start all three. faults: of the provider. more: further keys of the server's definition. end: the file's end."""
    running: list[Desk] = []

    def begin(faults: str = "", more: str = "", *, end: str = "", mcp: bool = True) -> Desk:
        server = McpDesk(tmp_path)
        if mcp:
            server.start()
        dialogue = tmp_path / "dialogue.toml"
        dialogue.write_text(DEFAULT.read_text() + f"\n[faults]\n{faults}\n")
        provider = RealtimeServer(dialogue).ready()
        agent = tmp_path / "agent.toml"
        agent.write_text(AGENT.format(greeting=GREETING, url=server.url, filler=FILLER, more=more, end=end))
        own = {"REDIS_URL": redis.url, "OFFHOOK_AGENT": agent, "OFFHOOK_LOG_LEVEL": "debug", **SECRETS}
        own |= {"OFFHOOK_REALTIME": "gateway", "OFFHOOK_REALTIME_URL": provider.url, "OPENAI_API_KEY": "any"}
        worker = Worker(tmp_path / "records", **own)
        running.append(Desk(server, worker, provider, dialogue))
        worker.ready()
        return running[-1]

    yield begin
    for desk in running:
        desk.worker.stop()
        assert TOKEN not in desk.worker.text(100_000), "a secret in the log"
        desk.provider.stop()
        desk.mcp.stop()


def greeted(dial: Callable[[str], Call], desk: Desk) -> tuple[Call, str]:
    call = dial(desk.worker.uri)
    call_id = desk.worker.next_call()
    call.hears_said(GREETING, likeness=ROUGHLY)
    return call, call_id


def ask(call: Call, happens: Callable[[], Any]) -> float:
    """Ask until it is understood: a loaded machine's ears are no matter of these scenes. Returns when (ms)."""
    for last in (False, False, True):
        asked = call.say(QUESTION).now_ms
        try:
            until(happens, "what was asked is done", 45.0 if last else 12.0)
            break
        except AssertionError:
            if last:
                raise
    return asked


def ended(call: Call, desk: Desk, call_id: str) -> dict[str, Any]:
    call.hang_up()
    record = desk.worker.record(call_id)
    assert TOKEN not in json.dumps(record)
    return record


def calls_of(record: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one["tool"], one["mode"], one["status"]) for one in record["tool_calls"]]


@pytest.mark.parametrize(
    "faults",
    ["", pytest.param("remote_done_first = true", marks=pytest.mark.spoken)],
    ids=["within its response", "after its response"],
)
def test_a_slow_call_is_covered_by_a_filler_and_told(
    start: Callable[..., Desk], dial: Callable[[str], Call], faults: str
) -> None:
    desk = start(faults)
    desk.mcp.be("slow 5")
    call, call_id = greeted(dial, desk)
    asked = ask(call, lambda: desk.mcp.lines("calls"))
    call.hears_said(RESULT, after=asked, likeness=ROUGHLY)
    record = ended(call, desk, call_id)
    late = {one["expected"] for one in record["unmet"]}
    said = [turn["text"] for turn in record["turns"] if turn["who"] == "filler"]
    assert said and late <= {"filler begun"} and (said[0] == FILLER or late), "a loaded provider owes it: words of ours"
    assert calls_of(record) == [("desk__order_status", "provider", "ok")]
    [tool] = record["tool_calls"]
    assert tool["fillers"] >= 1 and tool["run_ms"] >= 4500
    assert desk.mcp.lines("calls") == ["427"], "it ran once"
    told = [turn["text"] for turn in record["turns"] if turn["who"] == "agent"]
    assert told.count(RESULT) == 1 and record["errors"] == []
    metric = r'offhook_tool_calls_total\{status="ok",tool="desk__order_status"\}'
    assert desk.worker.metric(metric) == 1


def test_a_server_that_can_not_be_had_costs_its_tools_and_nothing_else(
    start: Callable[..., Desk], dial: Callable[[str], Call]
) -> None:
    desk = start(mcp=False)
    call, call_id = greeted(dial, desk)
    asked = call.say(QUESTION).now_ms
    call.hears_said(UNABLE, after=asked, likeness=ROUGHLY)
    desk.worker.wait_log("mcp_tools_failed", label="desk", call_id=call_id)
    record = ended(call, desk, call_id)
    assert [(one["expected"], one["reason"]) for one in record["unmet"]] == [
        ("provider's tools listed", "desk: the provider could not list them")
    ]
    assert record["outcome"] == "completed"


@pytest.mark.spoken
def test_a_call_that_fails_is_told(start: Callable[..., Desk], dial: Callable[[str], Call]) -> None:
    desk = start()
    desk.mcp.be("fail")
    call, call_id = greeted(dial, desk)
    asked = ask(call, lambda: desk.mcp.lines("calls"))
    call.hears_said(SORRY, after=asked, likeness=ROUGHLY)
    error = desk.worker.wait_log("tool_error", call_id=call_id)
    assert "tool_execution_error" in error["reason"] and "burnt down" in error["reason"]
    assert calls_of(ended(call, desk, call_id)) == [("desk__order_status", "provider", "failed")]


ASKS = """
[tools.approval]
"desk__*" = "caller"
[tools.questions]
"desk__*" = "Shall I ask the warehouse for you?"
"""


@pytest.mark.spoken
def test_an_approval_that_nobody_gives_is_a_no(start: Callable[..., Desk], dial: Callable[[str], Call]) -> None:
    desk = start(more='require_approval = "always"')
    call, call_id = greeted(dial, desk)
    asked = ask(call, lambda: desk.worker.logged("mcp_approval_wanted"))
    call.hears_said(LEFT, after=asked, likeness=ROUGHLY, within=60)
    record = ended(call, desk, call_id)
    assert calls_of(record) == [("desk__order_status", "provider", "declined")]
    assert [(one["tool"], one["approved"], one["by"]) for one in record["approvals"]] == [
        ("desk__order_status", False, "nobody")
    ]
    asked_for = [turn["text"] for turn in record["turns"] if "Shall I do this: order status, order" in turn["text"]]
    assert len(asked_for) == 2 and FILLER not in [turn["text"] for turn in record["turns"]]
    assert desk.mcp.lines("calls") == [], "it never ran"


@pytest.mark.parametrize(
    ("answer", "approved"), [("yes please", True), pytest.param("no thank you", False, marks=pytest.mark.spoken)]
)
def test_the_caller_approves_what_the_provider_runs(
    start: Callable[..., Desk], dial: Callable[[str], Call], answer: str, approved: bool
) -> None:
    """A pattern of the agent's alone has the provider ask for each call."""
    desk = start(end=ASKS)
    call, call_id = greeted(dial, desk)
    asked = ask(call, lambda: desk.worker.logged("mcp_approval_wanted"))
    call.hears_said("Shall I ask the warehouse for you?", after=asked, likeness=ROUGHLY)
    assert desk.mcp.lines("calls") == []
    call.waits(800)
    answered = call.say(answer).now_ms
    call.hears_said(RESULT if approved else LEFT, after=answered, likeness=ROUGHLY, within=60)
    record = ended(call, desk, call_id)
    assert [(one["approved"], one["by"]) for one in record["approvals"]] == [(approved, "voice")]
    assert len(desk.mcp.lines("calls")) == approved


@pytest.mark.spoken
def test_a_session_lost_in_mid_call_is_told_everything_anew(
    start: Callable[..., Desk], dial: Callable[[str], Call]
) -> None:
    desk = start()
    desk.mcp.be("slow 40")
    call, call_id = greeted(dial, desk)
    ask(call, lambda: desk.mcp.lines("calls"))
    lists = desk.mcp.lines("asked").count("tools/list")
    desk.mcp.be("fine")
    desk.provider_again()
    desk.worker.wait_log("realtime_session_ready", within=40, count=2, call_id=call_id)
    until(lambda: desk.mcp.lines("asked").count("tools/list") > lists, "its tools are listed anew")
    desk.worker.wait_log("mcp_tools_listed", count=2, call_id=call_id)
    asked = ask(call, lambda: len(desk.mcp.lines("calls")) > 1)
    call.hears_said(RESULT, after=asked, likeness=ROUGHLY)
    record = ended(call, desk, call_id)
    assert calls_of(record) == [("desk__order_status", "provider", "unknown"), ("desk__order_status", "provider", "ok")]


def test_a_provider_that_runs_none_is_refused_at_the_start(offhook: Callable[..., Any], tmp_path: Path) -> None:
    agent = tmp_path / "agent.toml"
    agent.write_text(AGENT.format(greeting="", url="http://127.0.0.1:9/mcp", filler=FILLER, more="", end=""))
    settings = {"OFFHOOK_AGENT": agent, "OFFHOOK_REALTIME": "gemini", "GEMINI_API_KEY": "any", **SECRETS}
    code, out, err = offhook("serve", **settings)
    wanted = 'mcp desk: run_by = "provider", but gemini runs no MCP servers; write run_by = "offhook"'
    assert code == 2 and wanted in err and "Traceback" not in err + out
