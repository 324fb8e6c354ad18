from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tools import ToolContext, ToolError, tool
from tools.define.spec import spec_of
from tools.run.inline import InlineRunner
from tools.tool_call.outcome import Outcome

CONTEXT = ToolContext(call_id="c", tool_call_id="t")


async def run(runner: InlineRunner, function: Callable[..., Any], timeout_s: float = 5.0, **arguments: Any) -> Outcome:
    spec = spec_of(function, description="For a test.", mode="inline")
    return await runner.run(spec, arguments, CONTEXT, timeout_s=timeout_s)


async def test_a_sync_tool_runs_in_a_thread_and_an_async_one_on_the_loop() -> None:
    def sync() -> str:
        return threading.current_thread().name

    async def on_loop() -> str:
        return threading.current_thread().name

    runner = InlineRunner()
    assert json.loads((await run(runner, sync)).output) == {"result": "tool-sync"}
    outcome = await run(runner, on_loop)
    assert json.loads(outcome.output) == {"result": "MainThread"}
    assert outcome.job_id is None and outcome.wait_ms is not None and outcome.run_ms is not None


async def test_a_tool_gets_its_context_and_the_context_variables() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("seen")

    def look(context: ToolContext) -> list[str]:
        return [context.call_id, variable.get()]

    assert json.loads((await run(InlineRunner(), look)).output) == {"result": ["c", "seen"]}


async def test_whatever_a_tool_raises_is_an_outcome() -> None:
    def wrong() -> None:
        raise KeyError("sk-secret")

    async def wrong_later() -> None:
        raise KeyError("sk-secret")

    def leave() -> None:
        raise SystemExit(3)

    def words() -> None:
        raise ToolError("We are closed.")

    runner = InlineRunner()
    for function in (wrong, wrong_later, leave):
        outcome = await run(runner, function)
        assert outcome.status == "failed" and "sk-secret" not in outcome.output + outcome.detail
    assert json.loads((await run(runner, words)).output)["error"] == "We are closed."


async def test_a_sync_tool_that_hangs_times_out_and_keeps_its_place() -> None:
    release = threading.Event()

    def hang() -> None:
        release.wait(20)

    def quick() -> int:
        return 1

    runner = InlineRunner(threads=1)
    try:
        assert (await run(runner, hang, timeout_s=0.1)).status == "timeout"
        full = await run(runner, quick, timeout_s=0.1)
        assert full.status == "timeout" and "waiting for a free thread" in full.detail
    finally:
        release.set()
    assert (await run(runner, quick)).status == "ok"


async def test_an_async_tool_that_hangs_is_cancelled() -> None:
    stopped = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    assert (await run(InlineRunner(), hang, timeout_s=0.1)).status == "timeout"
    await asyncio.wait_for(stopped.wait(), 5)


async def test_an_async_tool_that_swallows_its_cancel_does_not_hold_the_call() -> None:
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                pass

    runner = InlineRunner()
    assert (await run(runner, stubborn, timeout_s=0.1)).status == "timeout"
    release.set()
    await runner.aclose()


async def test_a_tool_whose_effect_counts_is_unknown_after_a_time_out() -> None:
    release = threading.Event()

    @tool(effects="once")
    def pay() -> None:
        """Pay."""
        release.wait(20)

    runner = InlineRunner()
    try:
        outcome = await runner.run(pay.__tool__, {}, CONTEXT, timeout_s=0.1)  # type: ignore[attr-defined]
    finally:
        release.set()
    assert outcome.status == "unknown"


class Odd(BaseException):
    """What no library raises."""


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, Odd])
@pytest.mark.parametrize("retries", [0, 1])
async def test_what_leaves_a_loop_is_a_failed_tool(kind: type[BaseException], retries: int) -> None:
    async def leave_later() -> None:
        await asyncio.sleep(0)
        raise kind

    def leave() -> None:
        raise kind

    async def left_when_read() -> int:
        return 1

    def encode(_value: object) -> Outcome:
        raise kind

    runner = InlineRunner()
    for function in (leave_later, leave, left_when_read):
        spec = spec_of(function, description="x", mode="inline", effects="idempotent", retries=retries, backoff=0.01)
        outcome = await runner.run(spec, {}, CONTEXT, encode=encode)
        assert (outcome.status, outcome.detail.partition(" ")[0]) == ("failed", kind.__name__)
    await runner.aclose()


async def test_a_machine_without_threads_fails_the_tool_and_keeps_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    runner = InlineRunner(threads=1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_more)
        assert (await run(runner, lambda_tool)).status == "failed"
    assert (await run(runner, lambda_tool)).status == "ok"


def lambda_tool() -> None:
    """Do nothing."""
