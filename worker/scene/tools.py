"""A scene's tools: their functions run for real, and take as much of the scene's time as the scene says."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tools.define.context import ToolContext
from tools.define.spec import ToolSpec
from worker.scene.script import Run

__all__ = ["StagedTools"]


class StagedTools:
    """Puts tools on the scene's time. `began`, `ended` are told each run of a function."""

    def __init__(self, clock: Callable[[], float], began: Callable[[Run], None], ended: Callable[[Run], None]) -> None:
        self.runs: list[Run] = []
        self._clock = clock
        self._began = began
        self._ended = ended
        self._takes: dict[str, tuple[float, ...]] = {}

    def takes(self, name: str, seconds: tuple[float, ...]) -> None:
        """Let every further run of a tool take so long: see `Scene.takes`."""
        self._takes[name] = seconds

    def staged(self, spec: ToolSpec) -> ToolSpec:
        """Return the same tool, on the scene's time."""
        function = spec.function

        @functools.wraps(function)
        async def on_stage(**arguments: Any) -> Any:
            shown = {name: value for name, value in arguments.items() if not isinstance(value, ToolContext)}
            run = Run(spec.name, shown, self._clock())
            self.runs.append(run)
            self._began(run)
            try:
                value = await self._body(spec, arguments)
                run.how = "returned"
                return value
            except asyncio.CancelledError:
                run.how = "cancelled"
                raise
            except BaseException as error:
                run.how = f"raised {error!r}"
                if isinstance(error, Exception):
                    raise
                raise RuntimeError(f"the tool raised {error!r}") from error  # SystemExit is a tool's fault, too
            finally:
                run.until = self._clock()
                self._ended(run)

        return replace(spec, function=on_stage)

    async def _body(self, spec: ToolSpec, arguments: dict[str, Any]) -> Any:
        parts = deque(self._takes.get(spec.name, ()))
        if inspect.iscoroutinefunction(spec.function):
            value = await spec.function(**arguments)
            await asyncio.sleep(sum(parts))
            return value
        thread = _Paused(lambda pause: spec.function(**_with_pauses(arguments, pause)))
        try:
            while not thread.go_on():
                await asyncio.sleep(parts.popleft() if len(parts) > 1 else 0)
            await asyncio.sleep(sum(parts))
        finally:
            thread.give_up()
        return thread.result()


def _with_pauses(arguments: dict[str, Any], pause: Callable[[], None]) -> dict[str, Any]:
    """Let the tool wait before each of its reports."""

    def paused(context: ToolContext) -> ToolContext:
        def report(text: str) -> None:
            pause()
            context.report(text)

        return replace(context, report=report)

    return {name: paused(value) if isinstance(value, ToolContext) else value for name, value in arguments.items()}


class _Paused:
    """A function in a thread that runs only while the loop waits for it: they take turns."""

    def __init__(self, body: Callable[[Callable[[], None]], Any]) -> None:
        self._body = body
        self._turn = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._ended = False
        self._given_up = False
        self._value: Any = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def go_on(self) -> bool:
        """Let it run until it pauses or ends; True when it has ended."""
        self._turn.release()
        self._back.acquire()
        return self._ended

    def give_up(self) -> None:
        """Nobody wants its end any more: at its pause it ends."""
        if not self._ended:
            self._given_up = True
            self._turn.release()

    def result(self) -> Any:
        """Return what it returned. Raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._value

    def _pause(self) -> None:
        self._back.release()
        self._turn.acquire()
        if self._given_up:
            raise SystemExit

    def _run(self) -> None:
        self._turn.acquire()
        try:
            self._value = self._body(self._pause)
        except BaseException as error:  # handed over
            self._error = error
        self._ended = True
        self._back.release()
