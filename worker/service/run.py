"""Runs a worker as the command line asks: `serve` until a signal, `dial` until the call ends.

The agent file is read before the rest is imported, which takes two seconds: who has mistyped a key waits for none.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import structlog
import uvloop

from telephony.sip.target import fault_of
from worker.agent.agent_file import load_agent_file
from worker.errors import OperatorError
from worker.service.ending import STOP_S, THREADS_S, Asked, LastResort, end_at_once_on_sigterm
from worker.settings.settings import Settings
from worker.tasks import end_tasks

if TYPE_CHECKING:
    from worker.service.app import App

__all__ = ["dial", "run_loop", "serve", "until_stopped"]

log = structlog.get_logger(__name__)

GOODBYES_S = 25.0
"""What a drain may take beyond its bound: the spoken goodbyes, and the cut."""


def run_loop(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on the loop that a worker uses, to its own end.

    A task that some tool's library began may raise SystemExit, or a callback of it stop the loop: that ends nothing
    here. It is logged, and the loop goes on where it was.
    """
    running: list[asyncio.Task[Any]] = []

    async def end() -> Any:
        # It begins below whoever is cancelled by Ctrl-C: begun beside it, the first ms of it would miss that.
        if not running:
            running.append(asyncio.get_running_loop().create_task(main))
        return await running[0]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        while True:
            try:
                return runner.run(end())
            except (SystemExit, KeyboardInterrupt, RuntimeError) as error:
                if not running:
                    main.close()
                    raise
                if running[0].done() or running[0].cancelling():  # its own end, or Ctrl-C
                    raise
                log.error("loop_goes_on", error=type(error).__name__, exc_info=error)


def serve(settings: Settings, *, reload: bool = False) -> None:
    """Answer calls until SIGTERM or SIGINT. Raises OffhookError or TelephonyError when it can't start.

    reload: agents and tools are read again when their files change.
    """

    async def work(app: App) -> None:
        _say_address(app)
        await asyncio.Event().wait()

    _run(settings, work, calls_back=True, reload=reload)


def dial(settings: Settings, uri: str, context: str = "", agent: str | None = None, account: str | None = None) -> None:
    """Call `uri`; ends with the call, or drains it at a signal. context: what the agent is told of it.

    account: the one to call by; None: that of the URI's host. Raises OperatorError at once for what is no URI to dial.
    """
    if (fault := fault_of(uri)) is not None:
        raise OperatorError(f"{uri}: {fault}")

    async def work(app: App) -> None:
        session = await app.dial(uri, context, agent, account)
        print(f"calling {uri}", flush=True)
        await session.ended.wait()

    _run(settings, work, takes_calls=False)


def _run(
    settings: Settings,
    work: Callable[[App], Awaitable[None]],
    *,
    calls_back: bool = False,
    takes_calls: bool = True,
    reload: bool = False,
) -> None:
    end_at_once_on_sigterm()
    agents = load_agent_file(settings.agent)
    from worker.service.app import App
    from worker.service.checks.look import load

    app = App(settings, load(settings, agents), calls_back=calls_back, takes_calls=takes_calls, reload=reload)
    run_loop(until_stopped(app, work))


def _say_address(app: App) -> None:
    assert app.info is not None
    for address in app.info.addresses:
        print(f"dial {address.replace('sip:', 'sip:agent@', 1)}", flush=True)
    if app.http is not None:
        http = app.settings.http
        print(f"status http://{http.host if http else ''}:{app.http.port}/readyz", flush=True)


async def until_stopped(app: App, work: Callable[[App], Awaitable[None]]) -> None:
    """Start a worker and do `work` with it until that is done, or a signal comes: then drain it; the next ends it.

    A signal during the start undoes what was started. Raises what the start or `work` raises.
    """
    last = LastResort(lambda: app.at)
    asked = Asked(last, app.settings.drain_seconds + GOODBYES_S)
    try:
        if not await _unless(asked.to_end, app.start(), cancel=False):
            log.info("stopped_while_starting", step=app.at)  # the stop below ends the start
        elif not await _unless(asked.to_end, work(app)):
            if sys.stderr.isatty():
                print("draining; once more to end at once", file=sys.stderr, flush=True)
            await _unless(asked.at_once, app.drain(app.settings.drain_seconds))
    finally:
        last.arm(STOP_S)
        await app.stop()
    last.arm(THREADS_S, over=True)


async def _unless(event: asyncio.Event, doing: Awaitable[object], *, cancel: bool = True) -> bool:
    """Wait for the one or the other; returns whether it was done. cancel: else it is cancelled, and has ended."""

    async def do() -> None:
        await doing

    task, asked = asyncio.create_task(do()), asyncio.create_task(event.wait())
    await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if task.done():
        task.result()
        return True
    if cancel:
        await end_tasks({task})
    return False
