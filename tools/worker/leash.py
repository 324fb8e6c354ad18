"""Stops a tool in the middle, from outside its own code: when it is to be cancelled, or its tool worker has died.

A job's fork whose tool worker is dead could not be stopped any more, and nobody would look after it. It is told of the
death (Linux: prctl(2), PR_SET_PDEATHSIG; elsewhere a thread looks each second whose child it is) and raises
`ToolStopped` in the tool's own code, so that RQ writes the job down as failed and whoever waits for it knows at once.
Outside the tool's code nothing is raised: a result that is being written is written to its end.

A coroutine is not interrupted but cancelled, so that it can take leave of whom it speaks with: raised between two of
its loop's callbacks, `ToolStopped` could hit any task of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h
SIGNAL = signal.SIGUSR1
ASK = signal.SIGUSR2
"""Its tool worker's wish that a fork stops its tool by itself, and soon: the tool has something to undo elsewhere."""
GRACE_S = 5.0
"""A tool that swallows `ToolStopped`, or does not come back from somebody's library, has so long."""
LOOK_S = 1.0
DIED = "its tool worker died"
STOPPED = "stopped by user"
"""RQ's words for it where it kills a fork, by which whoever waits for the job knows that it was cancelled."""


class ToolStopped(BaseException):
    """What the tool was about to do is not to be done any more. No `Exception`, which tools like to catch."""


def kill_group() -> None:
    """SIGKILL this process, and what the tool has started: RQ gives each fork a process group."""
    os.killpg(os.getpgrp(), signal.SIGKILL)


class Leash:
    """What the tools of this process are held by. `overdue`: what is done about one that does not stop in time."""

    def __init__(self) -> None:
        """Begin with nothing installed: then nothing is ever raised."""
        self.cut = False
        """The tool worker that forked this process is dead."""
        self.overdue: Callable[[], None] = kill_group
        self.asked = False
        """The tool worker wants the job stopped."""
        self._tied = False
        self._awaited: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self._runs = 0
        self._in_tool = False
        self._stopping = False

    def install(self) -> None:
        """Take the signals. For the main thread, which is where tools run."""
        signal.signal(SIGNAL, self._pulled)
        signal.signal(ASK, self._is_asked)

    def tie(self, worker: int) -> None:
        """Tie this process, a fork of process `worker`, to it. For the main thread."""
        self._tied = True
        self.install()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(SIGNAL))
        else:
            threading.Thread(target=self._look, args=(worker,), daemon=True).start()
        self.cut = os.getppid() != worker  # it died before the wish

    def pull(self) -> None:
        """Stop the tool that runs, if one does. For any thread."""
        os.kill(os.getpid(), SIGNAL)

    @contextlib.contextmanager
    def around_tool(self) -> Iterator[None]:
        """Around the tool's own code: here, and only here, `ToolStopped` is raised."""
        if self.cut or self.asked:
            raise ToolStopped(self._why)
        self._runs += 1
        self._in_tool = True
        try:
            yield
        finally:
            self._in_tool = False

    def run(self, tool: Coroutine[Any, Any, Any]) -> Any:
        """Run an async tool to its end and return its result. Raises `ToolStopped` where it was stopped."""

        async def body() -> Any:
            task = asyncio.current_task()
            assert task is not None
            self._awaited = asyncio.get_running_loop(), task
            try:
                return await tool
            finally:
                self._awaited = None

        self._stopping = False
        try:
            return asyncio.run(body())
        except BaseException:
            if self._stopping:
                raise ToolStopped(self._why) from None
            raise

    def _pulled(self, _number: int, _frame: FrameType | None) -> None:
        # Not by the parent's id: the wish is granted when the thread that forked dies, and for a moment the process may
        # have other threads left.
        self.cut = self._tied
        self._stop()

    def _is_asked(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        self._stop()

    @property
    def _why(self) -> str:
        return DIED if self.cut else STOPPED

    def _stop(self) -> None:
        if not self._in_tool:
            return
        threading.Thread(target=self._insist, args=(self._runs,), daemon=True).start()
        if self._awaited is None:
            raise ToolStopped(self._why)
        loop, task = self._awaited
        self._stopping = True
        loop.call_soon_threadsafe(task.cancel)

    def _insist(self, run: int) -> None:
        time.sleep(GRACE_S)
        if self._in_tool and self._runs == run:
            self.overdue()

    def _look(self, worker: int) -> None:
        while os.getppid() == worker:
            time.sleep(LOOK_S)
        self.pull()


leash = Leash()
"""This process'."""
