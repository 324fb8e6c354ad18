"""`offhook` in a process of its own that is forked from one which has imported everything: no start costs its imports.

Of a start's 4 s of CPU 3.5 are imports, and the scenes start some hundreds of processes. What comes after them is the
same: its own environment, working directory, pipes, signals and exit code. `OFFHOOK_TEST_FORKED=off` starts each anew.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["worker.cli.main", "worker.service.app", "worker.service.run", "worker.local.server", "tools.worker.tool_worker"]
)
TESTS = str(Path(__file__).parents[2])


def wanted(env: Mapping[str, str]) -> bool:
    """Whether a start with this environment may be forked: not where another pjsua2 is to be imported."""
    path = env.get("PYTHONPATH", "").split(os.pathsep)
    other_build = any(any(Path(folder).glob("*pjsua2*")) for folder in path if folder)
    return os.environ.get("OFFHOOK_TEST_FORKED", "on") != "off" and not other_build


class Pipe:
    """An end that goes along to the process; there it is a number again."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (DupFd(self._fd),)


def _arrived(handle: Any) -> int:
    fd: int = handle.detach()
    return fd


def _main(words: Sequence[str], env: Mapping[str, str], cwd: str, pipes: Sequence[int]) -> None:
    """`python -P -m worker WORDS`."""
    for number, fd in enumerate(pipes):
        os.dup2(fd, number)
        os.close(fd)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, buffering=1, encoding="utf-8", closefd=False)
        for number, mode in ((0, "r"), (1, "w"), (2, "w"))
    )
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # It has no parent, and may have children of its own.
    multiprocessing.process._parent_process = None  # type: ignore[attr-defined]
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    sys.path[:] = [one for one in sys.path if one and not one.startswith(TESTS)]
    sys.argv[:] = [str(Path(TESTS).parent / "worker" / "__main__.py"), *words]
    from worker.cli.main import main

    try:
        main()
    finally:
        atexit._run_exitfuncs()


class Forked:
    """Such a process, with the ways of a Popen."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        ours, theirs = [], []
        for number in range(3):
            reads, writes = os.pipe()
            ours.append(writes if number == 0 else reads)
            theirs.append(reads if number == 0 else writes)
        self._process = FORKS.Process(
            target=_main, args=(tuple(words), dict(env), str(cwd), [Pipe(fd) for fd in theirs]), daemon=True
        )
        self._process.start()
        for fd in theirs:
            os.close(fd)
        modes = ("w", "r", "r")
        self.stdin, self.stdout, self.stderr = (
            open(fd, mode, encoding="utf-8", errors="replace") for fd, mode in zip(ours, modes, strict=True)
        )

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("offhook", timeout or 0.0)
        return self._process.exitcode

    def communicate(self, *, timeout: float) -> tuple[str, str]:
        """Read all that it writes until it ends; it gets no input."""
        self.stdin.close()
        with ThreadPoolExecutor(2) as readers:
            out, err = (readers.submit(pipe.read) for pipe in (self.stdout, self.stderr))
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            return out.result(), err.result()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
