"""Tools that run in the worker's own process: async ones on the event loop, the others in threads.

A thread can't be stopped. One that outlives its tool's time-out keeps its place in the pool until it ends, so that
hanging tools exhaust the pool and not the machine; the threads are daemons, so that they don't keep the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from tools.context import ToolContext
from tools.outcome import Outcome, failure, raised, returned
from tools.spec import ToolSpec

log = structlog.get_logger(__name__)

THREADS = 32


class InlineRunner:
    """Runs inline tools, at most `threads` sync ones at once; further ones wait, within their time-out."""

    def __init__(self, *, threads: int = THREADS) -> None:
        """Start nothing: threads come with the first sync tool."""
        self._slots = asyncio.Semaphore(threads)
        self._tasks: set[asyncio.Task[Outcome]] = set()

    async def run(
        self,
        spec: ToolSpec,
        arguments: Mapping[str, Any],
        context: ToolContext,
        *,
        timeout_s: float | None = None,
    ) -> Outcome:
        """Run the tool with its bound arguments until it ends or its time is up. Never raises for the tool's fault.

        Cancelling stops an async tool; a sync one runs on, unheard.
        """
        limit = timeout_s if timeout_s is not None else spec.timeout_s
        call = _bound(spec, arguments, context)
        loop = asyncio.get_running_loop()
        began = loop.time()
        started: list[float] = []
        body = self._on_loop(spec, call, started) if spec.is_async else self._in_thread(spec, call, started)
        task = loop.create_task(body, name=f"tool-{spec.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            done, _ = await asyncio.wait({task}, timeout=limit)
        finally:
            task.cancel()  # no effect on one that is done; not awaited: a tool that swallows it must not hold us
        outcome = task.result() if done else _overdue(spec, bool(started))
        start = started[0] if started else None
        return outcome.with_times(
            wait_ms=round((start - began) * 1000) if start is not None else None,
            run_ms=round((loop.time() - start) * 1000) if start is not None else None,
        )

    async def aclose(self) -> None:
        """Stop the async tools that still run. Threads end by themselves or with the process."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    async def _on_loop(self, spec: ToolSpec, call: Callable[[], Any], started: list[float]) -> Outcome:
        started.append(asyncio.get_running_loop().time())
        try:
            value = await call()
        except Exception as error:
            return _report(spec, error)
        return await asyncio.to_thread(returned, value)  # encoding a large result takes ms

    async def _in_thread(self, spec: ToolSpec, call: Callable[[], Any], started: list[float]) -> Outcome:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        await self._slots.acquire()

        def deliver(outcome: Outcome) -> None:
            self._slots.release()
            if not future.done():
                future.set_result(outcome)

        def body() -> None:
            try:
                outcome = returned(call())
            except BaseException as error:  # SystemExit too: it must not be lost with the thread
                outcome = _report(spec, error)
            with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
                loop.call_soon_threadsafe(deliver, outcome)

        started.append(loop.time())
        inside = contextvars.copy_context()
        threading.Thread(target=inside.run, args=(body,), name=f"tool-{spec.name}", daemon=True).start()
        return await future


def _bound(spec: ToolSpec, arguments: Mapping[str, Any], context: ToolContext) -> Callable[[], Any]:
    extra = {spec.signature.context: context} if spec.signature.context else {}
    return lambda: spec.function(**arguments, **extra)


def _report(spec: ToolSpec, error: BaseException) -> Outcome:
    """Make an outcome of what a tool raised; the log gets all of it, the model only what `raised` lets through."""
    log.warning("tool_raised", tool=spec.name, error=type(error).__name__, exc_info=error)
    return raised(error)


def _overdue(spec: ToolSpec, started: bool) -> Outcome:
    if started and spec.effects == "once":
        return failure("unknown", detail="time-out in the middle of a tool whose effect must happen once")
    return failure("timeout", detail="time-out" if started else "time-out while waiting for a free thread")
