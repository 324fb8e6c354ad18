"""Child processes: start and wait for a ready line, restart with back-off, stop, and let them die with the parent.

A child runs in a session of its own, so that Ctrl-C reaches only the worker, which then drains; on Linux the kernel
ends the child when the worker dies in whatever way (see `worker.tether`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from worker.errors import ChildFailed
from worker.tasks import end_tasks

log = structlog.get_logger(__name__)

TETHER = Path(__file__).with_name("tether.py")
LINE_LIMIT = 64 * 1024
LAST_LINES = 5
STEADY_S = 30.0

LineSink = Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A recipe for a child process.

    name: for logs. command: program (its path, or a name on the environment's PATH) and arguments.
    environment: the whole of it, nothing is inherited.
    ready: a regular expression; the child is ready when a line of its output has it. None: ready at once.
    ready_s, stop_s: bounds for becoming ready, and for ending after SIGTERM (then SIGKILL). restart: whether it is
    started again when it ends by itself.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ready: str | None = None
    ready_s: float = 20.0
    stop_s: float = 5.0
    restart: bool = True


def restart_delays(first_s: float = 0.2, most_s: float = 10.0) -> Iterator[float]:
    """Yield the seconds to wait before each further restart: doubling, up to a bound."""
    delay = first_s
    while True:
        yield delay
        delay = min(delay * 2, most_s)


def to_stderr(name: str, line: str) -> None:
    """Pass a child's line on: a JSON log line as it is, others with the child's name, so that logs stay JSON lines."""
    if line.startswith("{"):
        print(line, file=sys.stderr, flush=True)
    elif sys.stderr.isatty():
        print(f"[{name}] {line}", file=sys.stderr, flush=True)
    else:
        log.info("child_said", child=name, line=line)


@dataclass(slots=True)
class Child:
    """One child process, started again whenever it ends by itself. Belongs to one event loop.

    ready: whether it said so since its last start. restarts: how often it was started again.
    """

    spec: ChildSpec
    sink: LineSink = to_stderr
    ready: bool = False
    restarts: int = 0
    _process: asyncio.subprocess.Process | None = None
    _watch: asyncio.Task[None] | None = None
    _readers: list[asyncio.Task[None]] = field(default_factory=list)
    _found: asyncio.Future[re.Match[str] | None] | None = None
    _last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> re.Match[str] | None:
        """Start the child, and from then on keep it running; return the match of its ready line.

        Raises `ChildFailed` with its last words if it ends or says nothing within `ready_s`.
        """
        found = await self._start()
        self._watch = asyncio.create_task(self._keep_running(), name=f"child {self.spec.name}")
        return found

    async def ended(self) -> None:
        """Wait until a child that is not started again has ended, and its last line was passed on."""
        if self._watch is not None:
            await asyncio.wait({self._watch})

    def use(self, *command: str) -> None:
        """Use another command from the next restart on, such as one with the port that was found."""
        self.spec = replace(self.spec, command=command)

    def renew(self) -> None:
        """Ask the child to end (SIGTERM) as soon as it has done what it is at; it is started again then."""
        if self._process is not None and self._process.returncode is None:
            _signal(self._process, signal.SIGTERM)

    async def stop(self) -> None:
        """End the child: SIGTERM, and SIGKILL when `stop_s` has passed. May be called at any time."""
        if self._watch is not None:
            await end_tasks({self._watch})
            self._watch = None
        await self._end()

    async def _start(self) -> re.Match[str] | None:
        spec = self.spec
        self.ready, self._process = False, None
        self._last.clear()
        if shutil.which(spec.command[0], path=spec.environment.get("PATH", os.defpath)) is None:
            raise ChildFailed(f"{spec.name}: can't start {spec.command[0]}: there is no such program")
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(TETHER), str(os.getpid())),
                *spec.command,
                env=dict(spec.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise ChildFailed(f"{spec.name}: can't start {sys.executable}: {error.strerror}") from None
        self._found = asyncio.get_running_loop().create_future()
        streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
        self._readers = [asyncio.create_task(self._read(stream)) for stream in streams]
        found = await self._until_ready(process) if spec.ready else None
        self.ready = True
        log.info("child_ready", child=spec.name, pid=process.pid, restarts=self.restarts)
        return found

    async def _until_ready(self, process: asyncio.subprocess.Process) -> re.Match[str] | None:
        assert self._found is not None
        ended = asyncio.create_task(process.wait())
        try:
            waited: set[asyncio.Future[Any]] = {self._found, ended}
            await asyncio.wait(waited, timeout=self.spec.ready_s, return_when=asyncio.FIRST_COMPLETED)
            if not self._found.done() and ended.done():
                await asyncio.wait(self._readers, timeout=1.0)  # its last words
            if self._found.done():
                return self._found.result()
        except asyncio.CancelledError:
            await self._end()
            raise
        finally:
            ended.cancel()
        code = process.returncode
        how = f"was not ready within {self.spec.ready_s:g} s" if code is None else _how_it_ended(code)
        await self._end()
        said = "; its last words: " + " | ".join(self._last) if self._last else ""
        raise ChildFailed(f"{self.spec.name} {how}{said}")

    async def _read(self, stream: asyncio.StreamReader) -> None:
        """Split the output into lines ourselves: a line may be longer than StreamReader's limit."""
        rest = b""
        while chunk := await stream.read(LINE_LIMIT):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._line(line)
            if len(rest) > LINE_LIMIT:
                self._line(rest)
                rest = b""
        if rest:
            self._line(rest)

    def _line(self, raw: bytes) -> None:
        line = raw[:LINE_LIMIT].decode("utf-8", "replace").rstrip()
        if not line:
            return
        self._last.append(line[:300])
        self.sink(self.spec.name, line)
        if self._found is not None and not self._found.done() and self.spec.ready:
            if match := re.search(self.spec.ready, line):
                self._found.set_result(match)

    async def _keep_running(self) -> None:
        delays, loop = restart_delays(), asyncio.get_running_loop()
        while True:
            since = loop.time()
            if self._process is not None:
                code = await self._process.wait()
                self.ready = False
                _signal_group(self._process.pid, signal.SIGKILL)
                if not self.spec.restart:
                    await asyncio.wait(self._readers, timeout=1.0)  # its last words
                    return
                last = self._last[-1] if self._last else ""
                log.warning("child_ended", child=self.spec.name, how=_how_it_ended(code), last_words=last)
            if loop.time() - since > STEADY_S:
                delays = restart_delays()
            await asyncio.sleep(next(delays))
            self.restarts += 1
            try:
                await self._start()
            except ChildFailed as error:
                log.error("child_failed", child=self.spec.name, reason=str(error))

    async def _end(self) -> None:
        process, self.ready = self._process, False
        if process is not None and process.returncode is None:
            _signal(process, signal.SIGTERM)
            try:
                async with asyncio.timeout(self.spec.stop_s):
                    await process.wait()
            except TimeoutError:
                log.warning("child_killed", child=self.spec.name, after_s=self.spec.stop_s)
            _signal_group(process.pid, signal.SIGKILL)
            await process.wait()
        self._process = None
        await end_tasks(self._readers)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _signal_group(pid: int, number: signal.Signals) -> None:
    """The child leads its own group: what it forked and left behind goes with it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
