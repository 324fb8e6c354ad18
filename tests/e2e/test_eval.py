"""`offhook eval`: simulated callers over real SIP, with all that it starts by itself."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from parts.program import OFFHOOK, Program, command_line, descendants, environment, until

from tests.worker.eval.chat_server import KEY, ChatServer

EARS = """
[ears]
lines = [
    "hello this is the order desk how can i help you",
    "order {order:digits:3} is {status} with {carrier} and arrives on {day}",
    "i am sorry i could not look up order {order:digits:3} please try again later",
]
before = ["Let me look that order up.", "I am still looking for it.", "One moment, please.", "I am still looking."]
phrases = { status = ["shipped", "delivered"], carrier = ["d h l", "u p s"], day = ["monday", "thursday", "friday"] }
"""
SCRIPTED = (
    EARS
    + """
[[scenario]]
name = "scripted"
noise = 40
turns = [
    { say = "what is the status of order four two seven" },
    { wait_for = "order four two seven is shipped", say = "thank you goodbye", within = 60 },
]
[scenario.expect]
outcome = "completed"
no_errors = true
tools = [{ name = "order_status", arguments = { order = "427" }, status = "ok" }]
said = [{ text = "427|four two seven", after = "order" }]
heard = ["order four two seven is shipped with d h l"]
"""
)
KILLED = (
    EARS
    + """
[[scenario]]
name = "killed"
turns = [
    { say = "what is the status of order four two seven" },
    { say = "thank you goodbye", pause = 10, within = 60 },
]
faults = [{ kind = "tool_worker_killed", on = "tool", after = 1 }]
[scenario.expect]
outcome = "completed"
tools = [{ name = "order_status", status = "ok" }]
"""
)

PLAYED = (
    EARS
    + """
[model]
url = "{url}"
name = "test-model"
key = "MY_MODEL_KEY"
[[scenario]]
name = "played"
persona = { who = "Anna, who wants to know where order 427 is", patience = 20 }
[scenario.expect]
outcome = "completed"
tools = [{ name = "order_status", arguments = { order = "427" }, status = "ok" }]
judged = ["The agent says with whom the order was shipped.", "The agent asks for the caller's name."]
"""
)


def anna(body: dict[str, Any]) -> str:
    """A model that plays, and judges, by what stands in its last message."""
    task, last = body["messages"][0]["content"], body["messages"][-1]["content"]
    if "You judge" in task:
        named = "DHL" in last or "D H L" in last or "d h l" in last
        reasons = [("It names DHL.", named), ("It asks for no name.", False)]
        verdicts = [{"number": n, "reason": why, "passed": ok} for n, (why, ok) in enumerate(reasons, 1)]
        return json.dumps({"verdicts": verdicts})
    if "is shipped with" in last:
        return json.dumps({"say": "Thank you, goodbye.", "keys": "", "hang_up": False})
    if "order desk" in last:
        return json.dumps({"say": "Where is my order four two seven?", "keys": "", "hang_up": False})
    return json.dumps({"say": "", "keys": "", "hang_up": "thank you" in str(body["messages"]).lower()})


@pytest.mark.spoken
def test_a_model_plays_the_caller_and_judges_the_call(tmp_path: Path) -> None:
    with served(ChatServer(anna)) as server:
        code, program, case = evaluate(tmp_path, PLAYED.replace("{url}", server.url), MY_MODEL_KEY=KEY)
    assert code == 1, program.text()
    failure = (case.findtext("failure") or "").splitlines()
    assert failure == ["judged: The agent asks for the caller's name.: It asks for no name."], program.text()
    out = "\n".join(program.out)
    assert "passed judged: The agent says with whom the order was shipped.: It names DHL." in out
    assert "the caller said: Where is my order four two seven?" in (case.findtext("system-out") or "")
    seeds = {body["seed"] for body in server.asked}
    assert len(seeds) == 1 and len(server.asked) >= 3
    assert KEY not in program.text() and program.err == []


@contextmanager
def served(server: ChatServer) -> Iterator[ChatServer]:
    """It runs on a thread of its own meanwhile."""
    loop, ready, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with server.running():
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


def evaluate(folder: Path, text: str, **more: str) -> tuple[int, Program, ElementTree.Element]:
    """Run it; returns the exit code, the program and JUnit's test case."""
    file, report = folder / "e.toml", folder / "junit.xml"
    file.write_text(text)
    command = [*OFFHOOK, "eval", file, "--junit", report, "--out", folder / "out"]
    program = Program(command, environment(**more))
    try:
        code = program.wait(140)
    finally:
        program.kill()
    (case,) = ElementTree.parse(report).iter("testcase")
    return code, program, case


@pytest.mark.spoken
def test_a_scripted_caller_gets_the_answer_of_a_tool(tmp_path: Path) -> None:
    code, program, case = evaluate(tmp_path, SCRIPTED)
    assert code == 0, program.text()
    assert program.out[-1] == "1 of 1 passed" and program.err == []
    assert case.find("failure") is None
    assert "the caller said: thank you goodbye" in (case.findtext("system-out") or "")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "1 of 1 calls passed" in page and "<svg" in page
    assert {path.suffix for path in (tmp_path / "out" / "calls").iterdir()} >= {".json", ".wav"}


@pytest.mark.spoken
def test_a_killed_tool_worker_is_felt_by_the_call_and_fails_what_expects_a_result(tmp_path: Path) -> None:
    code, program, case = evaluate(tmp_path, KILLED)
    assert code == 1, program.text()
    failure = case.find("failure")
    assert failure is not None, program.text()
    lines = (failure.text or "").splitlines()
    assert len(lines) == 1 and lines[0].startswith("order_status called 1 time, each ok: 1 in all;"), lines
    assert program.err == [] and descendants(program.pid) == []


def test_sigterm_ends_calls_and_processes(tmp_path: Path) -> None:
    file = tmp_path / "e.toml"
    file.write_text(SCRIPTED)
    program = Program([*OFFHOOK, "eval", file], environment())
    try:
        until(lambda: any("worker.eval.caller" in command_line(pid) for pid in descendants(program.pid)), "a call", 60)
        below = descendants(program.pid)
        assert program.stop() == 130
        until(lambda: not any("worker" in command_line(pid) for pid in below), "nothing is left of it")
        assert program.err == []
    finally:
        program.kill()
