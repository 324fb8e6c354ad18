"""The demo's caller: a process of its own with a SIP endpoint, a voice and ears.

It dials, listens with its own recogniser, speaks the lines of the script, and tells what happens as JSON lines on
stdout: {"event": "heard"|"said"|"ended", ...}. It shares nothing with the worker but the telephone line.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from telephony import events as phone
from telephony.bridge import Bridge
from telephony.endpoint import Endpoint
from telephony.settings import SipSettings
from tools.define.loading import load_tools
from worker.agent.agent_file import load_agent_file
from worker.demo.agent_lines import grammar
from worker.demo.ears import Started, Stopped
from worker.demo.recognising import recogniser_of, understand
from worker.demo.script import CallerScript, Finish, Line, Say
from worker.demo.simulated import FRAME_BYTES, POLL_S, Hearing, spoken, tell
from worker.log import setup_logging

__all__ = ["main"]


def _grammar() -> str:
    """What the caller understands: the shipped agent's sentences."""
    agent = load_agent_file(None).default
    own = [text for spec in load_tools(agent.tools.modules) for text in spec.filler]
    return grammar((*agent.fillers.texts, *own))


@dataclass(slots=True)
class Caller:
    """One outbound call, driven by the script."""

    endpoint: Endpoint
    call_id: str
    bridge: Bridge
    lines: dict[Line, bytes]
    ears: ProcessPoolExecutor
    script: CallerScript = field(default_factory=CallerScript)
    hearing: Hearing = field(default_factory=Hearing)
    up: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _saying: str | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def on_phone(self, event: phone.CallEvent) -> None:
        """Take an event of the endpoint."""
        match event:
            case phone.CallConfirmed():
                self.up = True
                self.bridge.take()
                self.script.begin(time.monotonic())
            case phone.CallEnded():
                tell("ended", by=event.by, status=event.status, reason=event.reason)
                self.ended.set()
            case _:
                pass

    def step(self, now: float) -> None:
        """Listen to what came in, and do what the script says."""
        if not self.up:
            return
        for edge in self.hearing.hear(self.bridge.take()):
            self._edge(edge, now)
        if self._saying is not None and self.bridge.playing() is None:
            self._saying = None
            self.script.said(now)
        action = self.script.tick(now)
        if isinstance(action, Say):
            self._say(action.line)
        elif isinstance(action, Finish):
            tell("gave_up", reason=action.reason)
            self.endpoint.hang_up(self.call_id)

    def _edge(self, edge: Started | Stopped, now: float) -> None:
        if isinstance(edge, Started):
            self.script.agent_speaks(now)
        else:
            self.script.agent_quiet(now)
            task = asyncio.get_running_loop().create_task(self._listen(edge.pcm))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _listen(self, pcm: bytes) -> None:
        text = await asyncio.get_running_loop().run_in_executor(self.ears, understand, pcm)
        tell("heard", text=text)
        self.script.understood(text, time.monotonic())

    def _say(self, line: Line) -> None:
        self._saying = line.text
        tell("said", text=line.text)
        self.bridge.play(line.text, self.lines[line])
        self.bridge.end_item(line.text)

    async def finish(self) -> None:
        """Wait for what is still being understood."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5.0)


def _voices(script: CallerScript) -> dict[Line, bytes]:
    """Every line as 16-bit PCM at the telephone's rate."""
    return {line: spoken(line.text) for line in script.lines}


async def call(uri: str) -> None:
    """Dial `uri` and go through the script; returns when the call is over."""
    loop = asyncio.get_running_loop()
    script = CallerScript()
    with recogniser_of(_grammar()) as ears:
        ready = loop.run_in_executor(ears, understand, bytes(FRAME_BYTES * 20))
        lines = await asyncio.to_thread(_voices, script)
        await ready
        events: asyncio.Queue[phone.CallEvent] = asyncio.Queue()
        settings = SipSettings(host="127.0.0.1", port=0, transports=("udp",), rtp_ports=(0, 0), display_name="caller")
        endpoint = Endpoint(settings, lambda event: _post(loop, events, event))
        await asyncio.to_thread(endpoint.start)
        try:
            call_id = await asyncio.wrap_future(endpoint.invite(uri))
            bridge = endpoint.bridge(call_id)
            assert bridge is not None
            caller = Caller(endpoint, call_id, bridge, lines, ears, script)
            while not caller.ended.is_set():
                while not events.empty():
                    caller.on_phone(events.get_nowait())
                caller.step(time.monotonic())
                await asyncio.sleep(POLL_S)
            await caller.finish()
        finally:
            await asyncio.to_thread(endpoint.stop)


def _post(loop: asyncio.AbstractEventLoop, events: asyncio.Queue[phone.CallEvent], event: phone.CallEvent) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(events.put_nowait, event)


def main() -> None:
    """Run the caller: `python -m worker.demo.caller URI`."""
    setup_logging("error", "auto", process="caller")
    sys.setswitchinterval(0.0001)
    asyncio.run(call(sys.argv[1]))


if __name__ == "__main__":
    main()
