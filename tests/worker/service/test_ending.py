"""A process that does not end by itself is taken down, whatever it is at."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

BLOCKED = """
import asyncio, sys, threading, time
from worker.service import ending
from worker.service.ending import Asked, LastResort

ending.STOP_S = 0.5
async def main():
    last = LastResort(lambda: "SIP endpoint")
    asked = Asked(last, 0.0)
    print("ready", flush=True)
    {body}
    {end}

asyncio.run(main())
"""
BODIES = {
    "the loop is blocked": ("time.sleep(60)", ""),
    "a task is deaf": ("await asyncio.sleep(60)", ""),
    "a thread that Python waits for": (
        "asyncio.get_running_loop().run_in_executor(None, time.sleep, 60); await asked.to_end.wait()",
        "",
    ),
}


def run(body: str, end: str, *signals: int) -> tuple[int, str]:
    """Exit code and last words of a process that gets these signals."""
    process = subprocess.Popen(
        [sys.executable, "-c", BLOCKED.format(body=body, end=end)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        for number in signals:
            process.send_signal(number)
            time.sleep(0.1)
        _, words = process.communicate(timeout=40)
        return process.returncode, words
    finally:
        process.kill()


@pytest.mark.parametrize("what", BODIES)
def test_one_signal_ends_it_when_its_bound_has_passed_and_the_last_line_names_the_step(what: str) -> None:
    code, words = run(*BODIES[what], signal.SIGTERM)
    assert (code, words) == (1, "offhook: did not end in time (SIP endpoint): taken down\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_third_signal_ends_it_at_once(number: signal.Signals) -> None:
    code, words = run("ending.STOP_S = 60.0; time.sleep(60)", "", number, number, number)
    assert code == 128 + number and "taken down" in words


def test_threads_that_still_run_when_all_is_undone_keep_it_for_a_moment_only() -> None:
    body, _ = BODIES["a thread that Python waits for"]
    assert run(body, "last.arm(0.2, over=True)", signal.SIGTERM) == (0, "")
