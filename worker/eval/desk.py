"""The processes of an evaluation: Redis, tool worker, realtime server and the worker, and what breaks them on purpose.

Nothing of it is the operator's own: of the settings only the provider's and the tools' count, so that no registrar, no
Redis in use, no webhook and no call back is touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from worker.embedded.children import Child, ChildSpec
from worker.embedded.services import Embedded
from worker.errors import HostError, OperatorError
from worker.eval.eval_file import Fault
from worker.eval.judge import ToolSeen
from worker.records.record import CallRecord
from worker.settings.environment import child_environment
from worker.settings.settings import Settings, variable_of

__all__ = ["Desk", "find_record", "own_settings", "worker_environment"]

OURS = ("realtime", "openai", "azure", "xai", "gemini", "google", "agent", "tool_secrets")
"""How the settings begin that an evaluation takes over."""
ANSWERS = r"^answers at (\S+)$"
RECORD_S = 10.0
"""So long after its call a record may be on its way."""
CHILD_OF = {
    "tool_worker_killed": "tool-worker",
    "redis_away": "redis",
    "provider_killed": "realtime-server",
    "provider_hangs": "realtime-server",
}


def own_settings(settings: Settings, agent: Path | None) -> Settings:
    """Return what of the operator's settings an evaluation uses. agent: the file, in place of the settings'."""
    kept = {name: getattr(settings, name) for name in settings.model_fields_set if name.startswith(OURS)}
    return Settings.model_construct(**{**kept, **({"agent": agent} if agent is not None else {})}, log_level="error")


def worker_environment(
    settings: Settings, folder: Path, redis_url: str | None, realtime_url: str | None
) -> dict[str, str]:
    """Return what the worker is started with. settings: as of `own_settings`. folder: for its records."""
    unset = {variable_of(name) for name in Settings.model_fields if name not in settings.model_fields_set}
    kept = {name: value for name, value in child_environment(keep_secrets=True).items() if name.upper() not in unset}
    own = {
        "OFFHOOK_SIP_HOST": "127.0.0.1",
        "OFFHOOK_SIP_PORT": "0",
        "OFFHOOK_SIP_TRANSPORTS": "udp",
        "OFFHOOK_RTP_PORTS": "0-0",
        "OFFHOOK_HTTP": "off",
        "OFFHOOK_OVERLOAD": "accept",
        "OFFHOOK_RECORDINGS": str(folder),
        "OFFHOOK_LOG_FORMAT": "json",
        "OFFHOOK_LOG_LEVEL": "error",
        "REDIS_URL": redis_url or "",
    }
    if settings.agent is not None:
        own["OFFHOOK_AGENT"] = str(settings.agent)
    if settings.needs_local_realtime():
        own["OFFHOOK_REALTIME_URL"] = realtime_url or ""
    return {**kept, **own}


class Desk:
    """A worker that can be called, and all that it stands on."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """settings: as of `own_settings`. folder: for the records."""
        self._settings = settings
        self.folder = folder
        self.address = ""
        self.tools: dict[str, list[ToolSeen]] = defaultdict(list)
        """The tool calls by call id, with their arguments."""
        self.tool_called = asyncio.Event()
        self._embedded = Embedded(settings, sink=_errors_only, extra_environment={"OFFHOOK_LOG_LEVEL": "error"})
        self._worker: Child | None = None

    async def start(self) -> None:
        """Start all of it. Raises HostError; then nothing is left running."""
        try:
            await self._embedded.start()
            command = (sys.executable, "-P", "-m", "worker.eval.answering")
            children = self._embedded
            environment = worker_environment(self._settings, self.folder, children.redis_url, children.realtime_url)
            spec = ChildSpec(name="worker", command=command, environment=environment, ready=ANSWERS, ready_s=60.0)
            self._worker = Child(spec, sink=self._told)
            found = await self._worker.start()
        except BaseException:
            await self.stop()
            raise
        assert found is not None
        self.address = found[1]

    async def stop(self) -> None:
        """End all of it; the worker first."""
        if self._worker is not None:
            await self._worker.stop()
        await self._embedded.stop()

    async def breaks(self, fault: Fault) -> None:
        """Do what the fault says, when it says so. Raises OffhookError where it can't be done."""
        child = self._embedded.children.get(CHILD_OF[fault.kind])
        if child is None:
            raise OperatorError(f"{fault.kind}: that needs the local realtime server: unset OFFHOOK_REALTIME")
        if fault.on == "tool":
            await self.tool_called.wait()
        await asyncio.sleep(fault.after)
        if fault.kind in ("tool_worker_killed", "provider_killed"):
            _signal(child, signal.SIGKILL)  # its keeper starts it again
            return
        _signal(child, signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            _signal(child, signal.SIGCONT)

    def _told(self, name: str, line: str) -> None:
        """Take a line of the worker's."""
        if not line.startswith('{"event": "tool"'):
            _errors_only(name, line)
            return
        told: dict[str, Any] = json.loads(line)
        self.tools[told["call_id"]].append(ToolSeen(told["tool"], told["arguments"]))
        self.tool_called.set()


def _signal(child: Child, number: signal.Signals) -> None:
    """To the child and what it has forked: it leads a group of its own. Raises HostError where it is not up."""
    pid = child.pid
    if pid is None:
        raise HostError(f"{child.spec.name} is not up at the moment")
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


async def find_record(folder: Path, display_name: str) -> CallRecord | None:
    """Wait for the record of the call whose INVITE had this display name; None where none comes."""
    loop = asyncio.get_running_loop()
    until = loop.time() + RECORD_S
    while True:
        found = await asyncio.to_thread(_read_record, folder, display_name)
        if found is not None or loop.time() >= until:
            return found
        await asyncio.sleep(0.2)


def _read_record(folder: Path, display_name: str) -> CallRecord | None:
    for path in folder.glob("*.json"):
        with contextlib.suppress(OSError, ValueError):
            record = CallRecord.model_validate_json(path.read_bytes())
            if record.display_name == display_name:
                return record
    return None


def _errors_only(name: str, line: str) -> None:
    """Only what went wrong in a way that nobody has designed is of interest here.

    A worker that starts looks whether its provider is there, and asks for nothing: that is no error of the server's.
    """
    if re.search(r'Traceback|"exception"', line) and "opening handshake failed" not in line:
        print(f"[{name}] {line}", file=sys.stderr, flush=True)
