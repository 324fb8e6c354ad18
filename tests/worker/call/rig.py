"""A call between a bridge whose clock the test moves and a provider whose words the test speaks."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from telephony.bridge import Bridge
from tools import tool
from tools.define.spec import ToolSpec
from tools.queue.queued import QueuedRunner
from tools.run.catalog import Catalog
from tools.run.inline import InlineRunner
from worker.agent.agent import Agent
from worker.call.factory import make_session
from worker.call.remote_servers import remote_servers
from worker.call.session import CallInfo, CallSession, PhoneLine, Services
from worker.realtime import events as realtime
from worker.records.metrics import Metrics
from worker.records.tracing import Tracing

Until = Callable[..., Awaitable[None]]
SILENCE = bytes(320)
SPEECH = b"\x00\x20\x00\xe0" * 80

SECRETS = {"CRM_TOKEN": "t0ken-4711"}
AGENT = Agent(
    greeting="",
    goodbye="We close now.",
    apology="I am sorry.",
    instructions="Be brief.",
    fillers={"texts": ("One moment.", "Still looking."), "grace_ms": 500, "interval_ms": 4000},
)


def sound(ms: int) -> str:
    """So much of a 24 kHz session's audio, in base64: 500 Hz."""
    return base64.b64encode((b"\x00\x20" * 24 + b"\x00\xe0" * 24) * (ms // 2)).decode()


class Shop:
    """Tools that wait for the test's word."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.gate = asyncio.Event()
        self.cancelled = 0

    def specs(self) -> list[Any]:
        shop = self

        @tool(mode="inline", timeout=30)
        async def order_status(order: str) -> dict[str, str]:
            """Look up an order."""
            shop.runs.append(order)
            try:
                await shop.gate.wait()
            except asyncio.CancelledError:
                shop.cancelled += 1
                raise
            return {"order": order, "status": "shipped"}

        @tool(mode="inline", timeout=0.05)
        async def stuck() -> str:
            """Never comes back."""
            await asyncio.Event().wait()
            return ""

        @tool(mode="inline", on_hangup="cancel", on_barge_in="cancel")
        async def quote() -> str:
            """Of no use without the caller."""
            shop.runs.append("quote")
            try:
                await shop.gate.wait()
            except asyncio.CancelledError:
                shop.cancelled += 1
                raise
            return "12"

        @tool(mode="inline")
        def breaks() -> str:
            """Crashes."""
            raise RuntimeError("secret 4711")

        return [function.__tool__ for function in (order_status, stuck, quote, breaks)]  # type: ignore[attr-defined]


class Rig:
    """A call between a bridge whose clock the test moves and a provider whose words the test speaks."""

    def __init__(
        self,
        service: Any,
        until: Until,
        agent: Agent = AGENT,
        tool_calls: Any = "open",
        *,
        outbound: bool = False,
        tracing: Tracing | None = None,
        queue: QueuedRunner | None = None,
        more: Sequence[ToolSpec] = (),
        call_id: str = "c0ffee",
        recordings: bool = False,
    ) -> None:
        self.service, self.until = service, until
        self.now = 1000.0
        self.shop = Shop()
        self.inline = InlineRunner()
        self.bridge = Bridge(8000)
        self.metrics = Metrics()
        self.hang_ups: list[str] = []
        self.heard = b""
        self.events: list[realtime.RealtimeEvent] = []
        self.syncs = 0
        self.faults: list[Exception] = []
        catalog = Catalog([*self.shop.specs(), *more], inline=self.inline, queued=queue)
        provider = replace(service.peer.provider, tool_calls=tool_calls)
        remote = remote_servers(agent.mcp, SECRETS)
        self.services = Services(
            catalog,
            self.metrics,
            provider,
            clock=lambda: self.now,
            remote=remote,
            tracing=tracing,
            recordings=recordings,
        )
        info = CallInfo(call_id, "alice", "427", outbound=outbound)
        line = PhoneLine(self.bridge, self.hang_ups.append)
        self.session: CallSession = make_session(info, agent, line, self.services)
        self.link = self.session._link
        self.link.attach(self._event, self.session._replay, self.session.fail)

    def _event(self, event: realtime.RealtimeEvent) -> None:
        try:
            self.session.on_provider_event(event)
        except Exception as error:  # the connection would log it and go on
            self.faults.append(error)
        self.events.append(event)

    async def answer(self) -> None:
        """Session, 200, media."""
        await self.session.open()
        self.session.answered()
        assert self.session.start_media()

    # --- time -------------------------------------------------------------------------------------------------------

    def run(self, ms: int, caller: bytes = SILENCE) -> bytes:
        """Let so much of the call's time pass; returns what the caller heard in it."""
        heard = b""
        for number in range(ms // 20):
            self.bridge.push(caller)
            heard += self.bridge.pull()
            self.now += 0.02
            if number % 2:
                if pcm := self.session.take():
                    self.session.append(self.session.uplink.convert(pcm))
            self.session.poll(self.now)
        self.heard += heard
        return heard

    # --- the provider -----------------------------------------------------------------------------------------------

    async def tell(self, kind: str, **message: Any) -> None:
        """Say something to the session, and wait until it has taken it."""
        await self.service.say(kind, **message)
        await self.taken()

    async def taken(self) -> None:
        """Wait until all that was said is taken."""
        self.syncs += 1
        mark = realtime.Unknown(f"test.sync.{self.syncs}")
        await self.service.say(mark.type)
        await self.until(lambda: mark in self.events, "the session takes what was said")

    async def arrived(self) -> list[dict[str, Any]]:
        """Wait until all that the session sent has come to the provider; returns it, audio aside."""
        self.syncs += 1
        text = f"sync {self.syncs}"
        assert self.link.send(self.link.codec.message("system", text))
        await self.until(lambda: self.service.heard[-1] and self._is_sync(self.service.heard[-1][-1], text), text)
        return [m for m in self.service.sent() if not self._is_sync(m, "sync ")]

    @staticmethod
    def _is_sync(message: dict[str, Any], text: str) -> bool:
        return message["type"] == "conversation.item.create" and str(
            message["item"].get("content", [{}])[0].get("text", "")
        ).startswith(text)

    async def kinds(self) -> list[str]:
        return [message["type"] for message in await self.arrived()]

    async def created(self, response: str, purpose: str | None = None, **metadata: str) -> None:
        known = {"purpose": purpose, **metadata} if purpose else {}
        await self.tell("response.created", response={"id": response, "status": "in_progress", "metadata": known})

    async def audio(self, response: str, ms: int, item: str | None = None) -> None:
        item = item or f"item-{response}"
        await self.tell("response.output_audio.delta", response_id=response, item_id=item, delta=sound(ms))

    async def done(self, response: str, status: str = "completed", **more: Any) -> None:
        await self.tell("response.done", response={"id": response, "status": status, **more})

    async def speaks(self, response: str, ms: int, purpose: str | None = None, text: str = "") -> None:
        """A whole response: generated at once, heard in its time."""
        item = f"item-{response}"
        await self.created(response, purpose)
        await self.audio(response, ms)
        await self.tell("response.output_audio.done", response_id=response, item_id=item)
        if text:
            await self.tell(
                "response.output_audio_transcript.done", response_id=response, item_id=item, transcript=text
            )
        await self.done(response, metadata={"purpose": purpose} if purpose else None)

    async def calls(self, response: str, call: str, name: str, **arguments: Any) -> None:
        item = {
            "id": f"fc-{call}",
            "type": "function_call",
            "status": "completed",
            "call_id": call,
            "name": name,
            "arguments": json.dumps(arguments),
        }
        await self.tell("response.output_item.done", response_id=response, item=item)

    async def asks(self, response: str, call: str, name: str, **arguments: Any) -> None:
        """The caller's turn, answered by the model with a tool call and no words."""
        await self.caller_starts()
        await self.caller_stops()
        await self.created(response)
        await self.calls(response, call, name, **arguments)
        await self.done(response)

    async def caller_starts(self, item: str = "c1") -> None:
        await self.tell("input_audio_buffer.speech_started", item_id=item, audio_start_ms=0)

    async def caller_stops(self, item: str = "c1") -> None:
        await self.tell("input_audio_buffer.speech_stopped", item_id=item, audio_end_ms=0)

    async def output(self, call: str) -> str:
        """Wait for the output of a tool call; acknowledges it as the service does."""

        def found() -> list[str]:
            items = [m["item"] for m in self.service.sent("conversation.item.create")]
            return [i["output"] for i in items if i.get("call_id") == call and i["type"] == "function_call_output"]

        await self.until(found, f"the output of {call}")
        await self.tell("conversation.item.added", item={"id": f"fo-{call}", "type": "function_call_output"})
        assert len(found()) == 1, "answered once"
        return found()[0]

    def record(self) -> Any:
        return self.session.recorder.ended(self.now * 1000, "completed")


async def goodbye(rig: Rig, ms: int) -> None:
    await rig.created("r9")
    await rig.audio("r9", ms)
    await rig.tell("response.output_audio.done", response_id="r9", item_id="item-r9")
    await rig.calls("r9", "t9", "end_call")
    await rig.done("r9")
