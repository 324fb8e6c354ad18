"""A conversation by typing, through a pipe, with all that `offhook console` brings: Redis, tool worker, server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker import cli
from worker.agent.agent_file import parse_agent_file
from worker.console.run import patient

ROOT = Path(cli.__file__).parents[1]


def console(typed: str, *options: str, **own: str) -> tuple[int, str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OFFHOOK_", "OPENAI_", "REDIS_"))}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "worker", "console", *options],
        input=typed,
        env={**kept, **own},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=140,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.timeout(150)
def test_each_line_is_answered_and_tools_run_as_in_a_call() -> None:
    typed = ("what is the status of order four two seven", "/keys 5#", "/dance", "what time is it", "goodbye")
    code, out, errors = console("\n".join(typed) + "\n")
    assert (code, errors) == (0, "")
    said = [" ".join(line.split()) for line in out.splitlines()]
    expected = (
        "agent Hello, this is the order desk. How can I help you?",
        "caller what is the status of order four two seven",
        "tool order_status (queued), job ",
        "filler Let me look that order up.",
        "agent Order four two seven is shipped with DHL, and arrives on Thursday.",
        "there is /keys 427# and /hangup; any other line is said to the agent",
        "caller what time is it",
        "tool current_time (inline)",
        "agent It is",
        "caller goodbye",
        "agent Thank you for calling. Goodbye.",
        "call completed after",
    )
    at = 0
    for words in expected:
        found = [number for number, line in enumerate(said[at:], at) if words in line]
        assert found, f"no {words!r} after line {at} of\n{out}"
        at = found[0] + 1


def test_what_is_wrong_with_the_agent_is_told_at_once(tmp_path: Path) -> None:
    agent = tmp_path / "agent.toml"
    agent.write_text('greting = "Hello."\n')
    code, out, errors = console("", "--agent", str(agent))
    assert (code, out) == (
        2,
        "",
    ) and errors == f"offhook: {agent}: greting: there is no such key; did you mean greeting?\n"


def test_who_thinks_for_long_is_not_asked_whether_they_are_there() -> None:
    raw = {"greeting": "Hi", "limits": {"silence_seconds": 5.0}, "route": [{"dialled": "1", "greeting": "Ho"}]}
    agents = patient(parse_agent_file(raw, Path("agent.toml")))
    assert [agent.limits.silence_seconds for agent in agents.agents()] == [None, None]
    assert agents.agent_for("1").greeting == "Ho" and agents.default.limits.max_call_seconds == 1800
