"""Tools that run in the worker's own process: async ones on the event loop, the others in threads.

A thread can't be stopped. One that outlives its tool's time-out keeps its place in the pool until it ends, so that
hanging tools exhaust the pool and not the machine; the threads are daemons, so that they don't keep the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from tools.define.context import ToolContext
from tools.define.spec import ToolSpec
from tools.errors import ToolError
from tools.foreign import is_our_stop
from tools.tool_call.outcome import Outcome, failure, raised, returned

log = structlog.get_logger(__name__)

THREADS = 32

Call = Callable[[], Any]
Encode = Callable[[object], Outcome]
Ended = Outcome | BaseException


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
        encode: Callable[[object], Outcome] = returned,
    ) -> Outcome:
        """Run the tool with its bound arguments until it ends or its time is up. Never raises for the tool's fault.

        encode: makes the outcome of what it returned; called in a thread.

        Cancelling stops an async tool; a sync one runs on, unheard.
        """
        limit = timeout_s if timeout_s is not None else spec.timeout_s
        call = _bound(spec, arguments, context)
        loop = asyncio.get_running_loop()
        began = loop.time()
        started: list[float] = []
        way = self._on_loop if spec.is_async else self._in_thread
        body = _with_retries(spec, lambda: way(spec, call, encode, started), log.bind(call_id=context.call_id))
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

    async def _on_loop(self, spec: ToolSpec, call: Call, encode: Encode, started: list[float]) -> Ended:
        started.append(asyncio.get_running_loop().time())
        try:
            value = await call()
        except BaseException as error:  # SystemExit would end the loop, and every call on it
            if is_our_stop(error):
                raise
            return error
        return await asyncio.to_thread(_encoded, encode, value)  # encoding a large result takes ms

    async def _in_thread(self, spec: ToolSpec, call: Call, encode: Encode, started: list[float]) -> Ended:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Ended] = loop.create_future()
        await self._slots.acquire()

        def deliver(end: Ended) -> None:
            self._slots.release()
            if not future.done():
                future.set_result(end)

        def body() -> None:
            end: Ended
            try:
                value = call()
            except BaseException as error:  # SystemExit too: it must not be lost with the thread
                end = error
            else:
                end = _encoded(encode, value)
            with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
                loop.call_soon_threadsafe(deliver, end)

        started.append(loop.time())
        inside = contextvars.copy_context()
        thread = threading.Thread(target=inside.run, args=(body,), name=f"tool-{spec.name}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no more threads
            self._slots.release()
            return error
        return await future


def _encoded(encode: Encode, value: object) -> Ended:
    """Make the outcome of what a tool returned. A value of its author's own kind may raise anything at that, too."""
    try:
        return encode(value)
    except BaseException as error:
        return error


def _bound(spec: ToolSpec, arguments: Mapping[str, Any], context: ToolContext) -> Callable[[], Any]:
    extra = {spec.signature.context: context} if spec.signature.context else {}
    return lambda: spec.function(**arguments, **extra)


async def _with_retries(spec: ToolSpec, attempt: Callable[[], Awaitable[Ended]], log: Any) -> Outcome:
    """Run an idempotent tool again after its pauses; a `ToolError` is an answer and no reason to."""
    for pause_s in spec.delays_s:
        end = await attempt()
        if isinstance(end, Outcome):
            return end
        if isinstance(end, ToolError) or not isinstance(end, Exception | SystemExit):
            break
        log.warning("tool_raised", tool=spec.name, error=type(end).__name__, again=True, exc_info=_told(spec, end))
        await asyncio.sleep(pause_s)
    else:
        end = await attempt()
    return end if isinstance(end, Outcome) else _report(spec, end, log)


def _report(spec: ToolSpec, error: BaseException, log: Any) -> Outcome:
    """Make an outcome of what a tool raised; the log gets all of it, the model only what `raised` lets through."""
    log.warning("tool_raised", tool=spec.name, error=type(error).__name__, exc_info=_told(spec, error))
    return raised(error)


def _told(spec: ToolSpec, error: BaseException) -> BaseException | None:
    """What the log has of an error: of a tool that takes what a caller types nothing of its words."""
    return None if spec.signature.digits else error


def _overdue(spec: ToolSpec, started: bool) -> Outcome:
    if started and spec.effects == "once":
        return failure("unknown", detail="time-out in the middle of a tool whose effect must happen once")
    return failure("timeout", detail="time-out" if started else "time-out while waiting for a free thread")
