"""Programs that a scene runs with: started, read line by line, waited for, ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from parts import forked
from parts.forked import Forked

ROOT = Path(__file__).parents[3]
OFFHOOK = (sys.executable, "-P", "-m", "worker")
BOUND_S = 25.0
"""For what takes a moment on an idle machine. A loaded one takes its time, and only a failure waits it out."""
STEP_S = 0.02

T = TypeVar("T")


def until(
    condition: Callable[[], T], what: str | Callable[[], str], within: float = BOUND_S, *, step_s: float = STEP_S
) -> T:
    """Ask again until the condition holds; returns what it returned."""
    give_up = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > give_up:
            raise AssertionError(f"not within {within:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(step_s)
    return found


def environment(**own: Any) -> dict[str, str]:
    """The environment without any setting of offhook's, and with these."""
    ours = re.compile(r"(OFFHOOK|OPENAI|AZURE_OPENAI|GEMINI)_|REDIS_URL$")
    kept = {name: value for name, value in os.environ.items() if not ours.match(name)}
    return {**kept, **{name: str(value) for name, value in own.items()}}


def started(command: list[str], env: Mapping[str, str], cwd: Path) -> subprocess.Popen[str] | Forked:
    """Start a command with pipes for all that it reads and writes."""
    if tuple(command[: len(OFFHOOK)]) == OFFHOOK and forked.wanted(env):
        return Forked(command[len(OFFHOOK) :], env, cwd)
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, errors="replace", cwd=cwd, env=dict(env)
    )


class Program:
    """A process whose lines are kept as they come, those of stdout and of stderr apart."""

    def __init__(self, command: Sequence[str | Path], env: Mapping[str, str], *, cwd: Path = ROOT) -> None:
        self.out: list[str] = []
        self.err: list[str] = []
        self.process = started([str(word) for word in command], env, cwd)
        pipes = ((self.process.stdout, self.out), (self.process.stderr, self.err))
        self._readers = [threading.Thread(target=self._read, args=pipe, daemon=True) for pipe in pipes]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe: Any, lines: list[str]) -> None:
        for line in pipe:
            lines.append(line.rstrip("\n"))

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def text(self, last: int = 40) -> str:
        """The last lines of both, for a failure's message."""
        return "\n".join([*self.out[-last:], "-- stderr", *self.err[-last:]])

    def line(self, pattern: str, within: float = BOUND_S) -> re.Match[str]:
        """Wait for a line on stdout that fits."""

        def found() -> re.Match[str] | None:
            hits = (re.search(pattern, line) for line in list(self.out))
            hit = next(filter(None, hits), None)
            assert hit or self.alive, f"ended with {self.process.poll()} before {pattern!r}:\n{self.text()}"
            return hit

        hit = until(found, lambda: f"{pattern!r}; got\n{self.text()}", within)
        assert hit is not None
        return hit

    def signal(self, number: int) -> None:
        if self.alive:
            self.process.send_signal(number)

    def wait(self, within: float = BOUND_S) -> int:
        """Wait for its end; returns the exit code."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within:g} s:\n{self.text()}") from None
        for reader in self._readers:
            reader.join(5)
        return code

    def kill(self) -> None:
        """SIGKILL it and everything below it, at once."""
        if self.alive:  # once it is waited for, its id may be another's
            for pid in [self.pid, *descendants(self.pid)]:
                kill(pid)
        self._close()

    def stop(self, within: float = BOUND_S) -> int:
        """SIGTERM; SIGKILL if that does not end it. Returns the exit code."""
        self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL
        self._close()
        return code

    def _close(self) -> None:
        self.process.wait(BOUND_S)
        for reader in self._readers:
            reader.join(5)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def run(*words: str | Path, within: float = BOUND_S, cwd: Path = ROOT, **env: Any) -> tuple[int, str, str]:
    """Run `offhook WORDS` to its end: exit code, stdout, stderr."""
    process = started([*OFFHOOK, *map(str, words)], environment(**env), cwd)
    try:
        out, err = process.communicate(timeout=within)
    finally:
        process.kill()
        code = process.wait(BOUND_S)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    return code, out, err


def kill(pid: int) -> None:
    """SIGKILL, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def descendants(pid: int) -> list[int]:
    """Every process below this one."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(word) for word in path.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def command_line(pid: int) -> str:
    """The command line of a process; "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
