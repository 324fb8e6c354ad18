"""`offhook eval`: simulated callers over real SIP, with all that it starts by itself."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from parts.program import OFFHOOK, Program, command_line, descendants, environment, until

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


def evaluate(folder: Path, text: str) -> tuple[int, Program, ElementTree.Element]:
    """Run it; returns the exit code, the program and JUnit's test case."""
    file, report = folder / "e.toml", folder / "junit.xml"
    file.write_text(text)
    command = [*OFFHOOK, "eval", file, "--junit", report, "--out", folder / "out"]
    program = Program(command, environment())
    try:
        code = program.wait(140)
    finally:
        program.kill()
    (case,) = ElementTree.parse(report).iter("testcase")
    return code, program, case


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
