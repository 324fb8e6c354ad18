"""A process of the bench's own beside it: commands over a pipe, a core to stay on."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing as mp
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

PR_SET_TIMERSLACK = 29


class Child:
    """Runs `main(pipe, *arguments)` in a new process; `main` answers each command with `answer`."""

    def __init__(self, main: Callable[..., None], *arguments: Any, core: int | None = None, first: int = 0) -> None:
        """`core`: where it stays. `first`: 1 or more: it goes before all others there, the higher before the
        lower, where the system allows that (man 7 sched: SCHED_FIFO)."""
        context = mp.get_context("spawn")
        self._pipe, child = context.Pipe()
        whole = (main, child, core, first, arguments)
        self.process = context.Process(target=_main, args=whole, daemon=True)
        self.process.start()
        child.close()

    def ask(self, name: str, **arguments: Any) -> Any:
        """Run a command there (a function `do_NAME`) and wait for what it returns."""
        self._pipe.send((name, arguments))
        return self._pipe.recv()

    def cpu_s(self) -> float:
        """What it has used so far."""
        return cpu_s(self.process.pid or 0)

    def stop(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self._pipe.send(("stop", {}))
        self.process.join(3)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def answer(pipe: Connection, target: object) -> bool:
    """In the child: carry out the commands that wait, on `target`'s functions. False when it is to end."""
    while pipe.poll():
        try:
            name, arguments = pipe.recv()
        except EOFError:
            return False
        if name == "stop":
            return False
        pipe.send(getattr(target, "do_" + name)(**arguments))
    return True


def cpu_s(pid: int) -> float:
    """The CPU time of a process and all its threads, ended ones too, to the nanosecond (man 3 clock_getcpuclockid)."""
    return time.clock_gettime(~pid << 3 | 2)


def _main(
    main: Callable[..., None], pipe: Connection, core: int | None, first: int, arguments: tuple[Any, ...]
) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    if first:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(first))
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0)
    main(pipe, *arguments)
