"""Runs a worker as the command line asks: `serve` until a signal, `dial` until the call ends.

The agent file is read before the rest is imported, which takes two seconds: who has mistyped a key waits for none.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import structlog
import uvloop

from worker.agent.agent_file import load_agent_file
from worker.settings.settings import Settings

if TYPE_CHECKING:
    from worker.service.app import App

__all__ = ["dial", "run_loop", "serve", "until_stopped"]

log = structlog.get_logger(__name__)


def run_loop(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on the loop that a worker uses."""
    return uvloop.run(main)


def serve(settings: Settings) -> None:
    """Answer calls until SIGTERM or SIGINT. Raises OffhookError or SipStartError when it can't start."""
    run_loop(until_stopped(_app(settings, calls_back=True), _say_address))


def _app(settings: Settings, *, calls_back: bool = False, takes_calls: bool = True) -> App:
    agents = load_agent_file(settings.agent)
    from worker.service.app import App

    return App(settings, agents, calls_back=calls_back, takes_calls=takes_calls)


def _say_address(app: App) -> None:
    assert app.info is not None
    for address in app.info.addresses:
        print(f"dial {address.replace('sip:', 'sip:agent@', 1)}", flush=True)
    if app.http is not None:
        http = app.settings.http
        print(f"status http://{http.host if http else ''}:{app.http.port}/readyz", flush=True)


def dial(settings: Settings, uri: str) -> None:
    """Call `uri`; ends with the call, or drains it at a signal."""
    app = _app(settings, takes_calls=False)

    async def one_call() -> None:
        await app.start()
        try:
            session = await app.dial(uri)
            print(f"calling {uri}", flush=True)
            await session.ended.wait()
        finally:
            await app.stop()

    run_loop(one_call())


async def until_stopped(app: App, on_ready: Callable[[App], None] = lambda app: None) -> None:
    """Run a worker until a signal, then drain it; a second signal ends it at once."""
    stop, at_once = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: (at_once if stop.is_set() else stop).set())
    await app.start()
    try:
        on_ready(app)
        await stop.wait()
        if sys.stderr.isatty():
            print("draining; once more to end at once", file=sys.stderr, flush=True)
        tasks = {asyncio.create_task(at_once.wait()), asyncio.create_task(app.drain(app.settings.drain_seconds))}
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
    finally:
        await app.stop()
