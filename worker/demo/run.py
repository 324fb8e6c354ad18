"""Runs the demo: a worker with nothing configured in this process, its caller in another."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from worker.agent.agent_file import AgentFile, load_agent_file
from worker.call.session import CallSession
from worker.demo.show import Show
from worker.demo.verdict import understood_answer
from worker.embedded.children import Child, ChildSpec
from worker.embedded.services import Embedded
from worker.log import setup_logging
from worker.pages.timeline import draw
from worker.records.record import CallRecord, Observer, RecordEvent, write_record
from worker.service.app import App
from worker.service.checks.look import load
from worker.service.run import run_loop
from worker.settings.environment import child_environment
from worker.settings.settings import Settings

__all__ = ["run_demo"]

CALL_BOUND_S = 120.0
"""The whole call takes some 40 s; one that takes so long is stuck."""
LAST_WORDS_S = 5.0
"""After the call the caller's recogniser may still be at the last utterance."""


def run_demo(out: Path, as_json: bool, protocol: Literal["openai", "gemini"] = "openai") -> int:
    """Play the call; write call.wav, call.json and call.svg into `out`. Returns the exit code.

    protocol: what the worker and the local realtime server speak with each other.
    """
    setup_logging("error", "auto", process="demo")
    show = Show(Console(file=sys.stdout, soft_wrap=True), quiet=as_json)
    record = run_loop(_Demo(out, show, protocol).run())
    if as_json:
        print(record.model_dump_json(indent=2))
        return 0 if understood_answer(record) else 1
    return _verdict(record, out, show)


def _verdict(record: CallRecord, out: Path, show: Show) -> int:
    understood = understood_answer(record)
    show.step(f"longest silence while a tool ran: {record.longest_tool_silence_ms} ms")
    show.step(f"left: {out / 'call.wav'}, {out / 'call.json'}, {out / 'call.svg'}")
    if understood:
        show.step("the caller understood the answer")
    else:
        show.step("the caller did NOT understand the answer: listen to call.wav, and read heard_by_caller in call.json")
    return 0 if understood else 1


class _Demo:
    """One run of the demo."""

    def __init__(self, out: Path, show: Show, protocol: Literal["openai", "gemini"]) -> None:
        self._out = out
        self._protocol = protocol
        self._show = show
        self._session: CallSession | None = None
        self._heard: list[str] = []
        self._errors: list[str] = []

    async def run(self) -> CallRecord:
        """Start the worker, let the caller call, wait for the end; returns the record as it was written."""
        await asyncio.to_thread(self._out.mkdir, parents=True, exist_ok=True)
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="offhook-demo-"))
        try:
            return await self._run(folder)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _run(self, folder: Path) -> CallRecord:
        settings = _settings(folder, self._protocol)
        agents: AgentFile = load_agent_file(None)
        embedded = Embedded(settings, sink=_errors_only, extra_environment={"OFFHOOK_LOG_LEVEL": "error"})
        app = App(settings, load(settings, agents), observe=self._observe, embedded=embedded)
        self._show.step("starting: Redis, a tool worker, the local realtime server, the SIP endpoint")
        info = await app.start()
        caller: Child | None = None
        try:
            uri = f"sip:agent@{info.host}:{info.port}"
            self._show.step(f"a caller dials {uri}")
            caller = Child(_caller_spec(uri), sink=self._caller_says)
            await caller.start()
            async with asyncio.timeout(CALL_BOUND_S):
                await caller.ended()
            await app.drain(LAST_WORDS_S)
        except TimeoutError:
            self._errors.append(f"the call was not over after {CALL_BOUND_S:g} s")
        finally:
            if caller is not None:
                await caller.stop()
            await app.stop()
        return await asyncio.to_thread(self._keep, folder)

    def _observe(self, session: CallSession) -> Observer:
        self._session = session

        def observer(event: RecordEvent) -> None:
            self._show.observe(event)

        return observer

    def _caller_says(self, name: str, line: str) -> None:
        """Take a line of the caller's process."""
        try:
            said: dict[str, Any] = json.loads(line)
        except ValueError:
            print(f"[{name}] {line}", file=sys.stderr)
            return
        match said.get("event"):
            case "heard":
                self._heard.append(said["text"])
                self._show.heard(said["text"])
            case "gave_up":
                self._errors.append(f"the caller gave up: {said['reason']}")
            case _:
                pass

    def _keep(self, folder: Path) -> CallRecord:
        """Move the recording, complete the record and write both."""
        if self._session is None:
            return CallRecord(call_id="", reason="the caller never reached the worker", errors=self._errors)
        record = self._session.recorder.ended(0.0, "failed")
        wav = self._out / "call.wav"
        if record.recording is not None and Path(record.recording).exists():
            shutil.move(record.recording, wav)
        record = record.model_copy(
            update={
                "heard_by_caller": self._heard,
                "recording": str(wav) if wav.exists() else None,
                "errors": [*record.errors, *self._errors],
            }
        )
        write_record(record, self._out / "call.json")
        (self._out / "call.svg").write_text(draw(record), "utf-8")
        return record


def _settings(recordings: Path, protocol: Literal["openai", "gemini"]) -> Settings:
    """Nothing configured, whatever the environment says: free ports on loopback, everything embedded."""
    return Settings.model_construct(
        sip_host=("127.0.0.1",),
        sip_port=0,
        rtp_ports=(0, 0),
        http=None,
        recordings=recordings,
        realtime_protocol=protocol,
    )


def _caller_spec(uri: str) -> ChildSpec:
    return ChildSpec(
        name="caller",
        command=(sys.executable, "-P", "-m", "worker.demo.caller", uri),
        environment=child_environment(keep_secrets=False),
        restart=False,
    )


def _errors_only(name: str, line: str) -> None:
    """Of the embedded services only what went wrong is of interest here."""
    if re.search(r'"level": ?"(error|critical)"|Traceback|Error', line):
        print(f"[{name}] {line}", file=sys.stderr, flush=True)
