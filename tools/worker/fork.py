"""The fork that runs one job, as its tool worker holds it: it leads a process group, with what the tool starts in it.

RQ asks the system for the group of a fork that may be gone (or 0, or not yet a group's leader), gets its own, and sends
SIGKILL to that: to the tool worker, and to what its shell started beside it. Here the group's number is the fork's own,
the fork stays a zombie for as long as it may be signalled, so that nobody else gets its number, and who was killed once
isn't killed again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Left:
    """How a fork has left. killed: we did it."""

    status: int
    killed: bool

    @property
    def by_itself(self) -> bool:
        """Whether it called exit with 0: RQ's way to end a job, and a tool's way around that."""
        return self.status == 0

    def __str__(self) -> str:
        """Say it in a log's words."""
        if os.WIFSIGNALED(self.status):
            return f"signal {os.WTERMSIG(self.status)}"
        return f"exit code {os.waitstatus_to_exitcode(self.status)}"


class Fork:
    """One job's process. Its methods are for any thread, and for signal handlers."""

    def __init__(self, pid: int) -> None:
        """Take a child that has just been forked."""
        self.pid = pid
        self._lock = threading.RLock()  # a signal handler may come in between
        self._over = False
        self._killed = False
        with contextlib.suppress(OSError):  # it does so itself: whoever is first
            os.setpgid(pid, pid)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> bool:
        """Signal it and what its tool has started, once. False where it is over, or was killed already."""
        with self._lock:
            if self._over or self._killed:
                return False
            self._killed = True
            self._signal(number)
            return True

    def ask(self, number: signal.Signals) -> bool:
        """Signal it alone, not what its tool has started; it may be killed afterwards. False where it is over."""
        with self._lock:
            if self._over or self._killed:
                return False
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            return True

    def wait(self) -> None:
        """Block until it is over; what a signal handler raises comes through, and nothing is lost by that."""
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def reap(self) -> Left:
        """Take note of its end, after `wait`. What its tool has started ends with one that did not end as it should."""
        with self._lock:
            look = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            if look is not None and (look.si_code != os.CLD_EXITED or look.si_status != 0):
                self._signal(signal.SIGKILL)
            self._over = True
            return Left(os.waitpid(self.pid, 0)[1], self._killed)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
