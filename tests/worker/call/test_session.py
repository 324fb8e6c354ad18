"""One call's shell with real parts: bridge, codec, WebSocket, tool catalog.

The test is the media clock and the provider: `Rig.run(ms)` pulls and pushes frames as the clock thread would and polls
as the pacer would.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from telephony.bridge import Bridge
from telephony.pcm import level_dbfs
from tools import tool
from tools.run.catalog import Catalog
from tools.run.inline import InlineRunner
from worker.agent.agent_file import Agent
from worker.call.agent_voice import UNHEARD
from worker.call.factory import make_session
from worker.call.hangup import APOLOGY_BOUND_S
from worker.call.playout import PAUSE_MS
from worker.call.session import CallInfo, CallSession, PhoneLine, Services
from worker.realtime import base
from worker.realtime import link as link_module
from worker.records.metrics import Metrics

Until = Callable[..., Awaitable[None]]
SILENCE = bytes(320)
SPEECH = b"\x00\x20\x00\xe0" * 80

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

    def __init__(self, service: Any, until: Until, agent: Agent = AGENT, tool_calls: Any = "open") -> None:
        self.service, self.until = service, until
        self.now = 1000.0
        self.shop = Shop()
        self.inline = InlineRunner()
        self.bridge = Bridge(8000)
        self.metrics = Metrics()
        self.hang_ups: list[str] = []
        self.heard = b""
        self.events: list[base.RealtimeEvent] = []
        self.syncs = 0
        self.faults: list[Exception] = []
        catalog = Catalog(self.shop.specs(), inline=self.inline)
        provider = replace(service.peer.provider, tool_calls=tool_calls)
        self.services = Services(catalog, self.metrics, provider, clock=lambda: self.now)
        info = CallInfo("c0ffee", "alice", "427")
        line = PhoneLine(self.bridge, self.hang_ups.append)
        self.session: CallSession = make_session(info, agent, line, self.services)
        self.link = self.session._link
        self.link.attach(self._event, self.session._replay, self.session.fail)

    def _event(self, event: base.RealtimeEvent) -> None:
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
        mark = base.Unknown(f"test.sync.{self.syncs}")
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


@pytest.fixture
async def rig(service: Any, until: Until, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """An answered call."""
    monkeypatch.setattr(link_module, "reconnect_delays", lambda spread, attempts: [0.0] * 6)
    made = Rig(service, until)
    await made.answer()
    yield made
    made.shop.gate.set()
    await made.session.close()
    await made.inline.aclose()
    assert made.faults == []


@pytest.fixture
def make(service: Any, until: Until) -> Callable[..., Rig]:
    return lambda **options: Rig(service, until, **options)


# --- the way of a call ------------------------------------------------------------------------------------------------


async def test_greeting_is_asked_for_when_both_session_and_media_are_there(make: Any) -> None:
    rig = make(agent=AGENT.model_copy(update={"greeting": "Hello."}))
    await rig.session.open()
    assert await rig.kinds() == []
    rig.session.answered()
    rig.session.start_media()
    [request] = await rig.arrived()
    words = {"instructions": "Say exactly: Hello.", "tools": []}
    assert request["response"] == {**words, "metadata": {"purpose": "greeting"}}
    assert not rig.session.start_media(), "a re-INVITE greets nobody"
    assert len(await rig.arrived()) == 1
    await rig.session.close()


async def test_the_session_is_told_the_agents_words_and_tools(rig: Rig) -> None:
    [update] = [m for m in rig.service.peer.received if m["type"] == "session.update"]
    assert update["session"]["instructions"] == "Be brief."
    assert [f["name"] for f in update["session"]["tools"]] == ["order_status", "stuck", "quote", "breaks", "end_call"]


async def test_the_callers_audio_goes_out_in_batches_and_none_from_before_the_answer(make: Any) -> None:
    rig = make()
    await rig.session.open()
    rig.run(200, SPEECH)  # rung, not answered
    rig.bridge.push(SPEECH)
    rig.session.answered()
    rig.session.start_media()
    rig.run(400, SPEECH)
    await rig.arrived()
    appends = [base64.b64decode(m["audio"]) for m in rig.service.sent("input_audio_buffer.append")]
    assert len(appends) == 10
    assert sum(map(len, appends)) / 48 == pytest.approx(400, abs=5)
    await rig.session.close()


async def test_the_agents_audio_is_heard_and_its_turn_written_down(rig: Rig) -> None:
    await rig.speaks("r1", 600, text="It is shipped.")
    assert level_dbfs(rig.run(560)) > -20
    assert rig.session.machine.floor.value == "agent"
    rig.run(60)
    assert level_dbfs(rig.run(100)) < -90
    assert rig.session.machine.floor.value == "nobody"
    [turn] = rig.record().turns
    assert (turn.who, turn.text) == ("agent", "It is shipped.")
    assert turn.end_ms - turn.start_ms == pytest.approx(600, abs=45)


async def test_status_tells_the_operator_who_speaks_and_what_is_open(rig: Rig) -> None:
    assert rig.session.status() == {"floor": "nobody", "response": "free", "tools_pending": []}
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.caller_starts("c2")
    assert rig.session.status() == {"floor": "caller", "response": "free", "tools_pending": ["order_status"]}


# --- barge-in (field: 7) ----------------------------------------------------------------------------------------------


async def test_barge_in_is_silence_at_once_and_truncates_at_what_was_heard(rig: Rig) -> None:
    await rig.created("r1")
    for _ in range(20):
        await rig.audio("r1", 200)  # 4 s, generated at once
    rig.run(700)
    await rig.caller_starts()
    assert rig.run(20) == SILENCE
    [cut] = [m for m in await rig.arrived() if m["type"] == "conversation.item.truncate"]
    assert (cut["item_id"], cut["content_index"], cut["audio_end_ms"]) == ("item-r1", 0, 700)
    await rig.audio("r1", 1000)  # what was still on its way
    await rig.done("r1", "cancelled")
    assert level_dbfs(rig.run(300)) < -90
    await rig.caller_stops()
    await rig.audio("r1", 400)  # and later still
    assert level_dbfs(rig.run(300)) < -90
    [barge_in] = rig.record().barge_ins
    assert barge_in.heard_ms == 700


async def test_truncation_counts_what_was_played_and_not_the_time_of_the_call(rig: Rig) -> None:
    await rig.created("r1")
    await rig.audio("r1", 2000)
    rig.run(200)
    rig.now += 30.0  # on hold: time passes, the playout clock stands
    rig.session.poll(rig.now)
    await rig.caller_starts()
    [cut] = [m for m in await rig.arrived() if m["type"] == "conversation.item.truncate"]
    assert cut["audio_end_ms"] == 200


async def test_truncation_is_never_past_what_was_received(rig: Rig) -> None:
    await rig.created("r1")
    await rig.audio("r1", 300)
    rig.run(1000)  # ran dry after 300 ms: the provider is late
    assert rig.session.machine.floor.value == "nobody"
    await rig.audio("r1", 100)
    rig.run(20)
    await rig.caller_starts()
    [cut] = [m for m in await rig.arrived() if m["type"] == "conversation.item.truncate"]
    assert 300 <= cut["audio_end_ms"] <= 400


async def test_what_was_not_heard_at_all_is_deleted_and_not_truncated_at_nought(rig: Rig) -> None:
    await rig.created("r1")
    await rig.audio("r1", 1000)
    await rig.caller_starts()
    kinds = await rig.kinds()
    assert "conversation.item.truncate" not in kinds
    [gone] = rig.service.sent("conversation.item.delete")
    assert gone["item_id"] == "item-r1"


async def test_audio_that_came_after_the_caller_had_begun_is_taken_out_of_the_conversation(rig: Rig) -> None:
    """The usual barge-in: between response.created and its first audio. Nobody heard it; the model must know."""
    await rig.created("r1")
    await rig.caller_starts()
    await rig.audio("r1", 400)
    await rig.audio("r1", 400)
    assert await rig.kinds() == []
    await rig.tell(
        "response.output_audio_transcript.done", response_id="r1", item_id="item-r1", transcript="Nobody heard this."
    )
    await rig.done("r1", "cancelled")
    [gone] = await rig.arrived()
    assert (gone["type"], gone["item_id"]) == ("conversation.item.delete", "item-r1")
    assert level_dbfs(rig.run(400)) < -90
    assert [entry.text for entry in rig.session._conversation.history.entries()] == []


async def test_late_audio_of_an_item_that_was_heard_in_part_does_not_delete_it(rig: Rig) -> None:
    await rig.created("r1")
    await rig.audio("r1", 1000)
    rig.run(500)
    await rig.caller_starts()
    await rig.audio("r1", 400)
    await rig.done("r1", "cancelled")
    assert "conversation.item.delete" not in await rig.kinds()


async def test_an_item_heard_to_its_end_is_left_alone(rig: Rig) -> None:
    await rig.speaks("r1", 300)
    rig.run(400)
    await rig.caller_starts()
    assert await rig.kinds() == []
    assert rig.record().barge_ins == []


async def test_speech_in_the_moment_after_the_last_frame_is_no_barge_in(rig: Rig) -> None:
    await rig.speaks("r1", 300)
    for _ in range(20):
        rig.bridge.pull()  # all of it is sent; the next poll would notice
    await rig.caller_starts()
    assert await rig.kinds() == [] and rig.record().barge_ins == []


# --- tools (field: 3, 4) ----------------------------------------------------------------------------------------------


async def test_a_tools_result_is_answered_and_a_response_to_it_asked_for_once(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.shop.gate.set()
    assert "shipped" in await rig.output("t1")
    assert [m["response"]["metadata"] for m in rig.service.sent("response.create")] == [{"purpose": "tool_result"}]
    assert rig.shop.runs == ["427"]
    [call] = rig.record().tool_calls
    assert (call.tool, call.mode, call.status) == ("order_status", "inline", "ok")


async def test_barge_in_while_a_tool_runs_loses_neither_tool_nor_result(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.caller_starts("c2")
    await rig.caller_stops("c2")
    await rig.speaks("r2", 300, text="Still looking.")
    rig.run(400)
    assert rig.shop.cancelled == 0
    rig.shop.gate.set()
    assert "shipped" in await rig.output("t1")
    await rig.service.got("response.create")
    assert rig.shop.runs == ["427"]


async def test_words_of_the_caller_cancel_a_tool_that_asks_for_that_and_the_model_is_told(rig: Rig) -> None:
    await rig.asks("r1", "t1", "quote")
    await rig.asks("r2", "t2", "order_status", order="427")
    await rig.caller_starts("c2")
    await rig.caller_stops("c2")
    heard = "conversation.item.input_audio_transcription.completed"
    await rig.tell(heard, item_id="c2", transcript="and by train?")
    await rig.created("r3")  # what came of a tool does not go between a question and its answer
    output = json.loads(await rig.output("t1"))
    assert output["status"] == "cancelled" and "The caller spoke" in output["error"]
    assert rig.shop.runs == ["quote", "427"] and rig.shop.cancelled == 1, "order_status goes on"
    rig.shop.gate.set()
    assert "shipped" in await rig.output("t2")
    assert {call.tool: call.status for call in rig.record().tool_calls} == {"quote": "cancelled", "order_status": "ok"}


async def test_a_result_that_a_lost_session_took_with_it_is_told_to_the_next_one(rig: Rig) -> None:
    """Else the model asks for the tool again, and orders twice."""
    await rig.tell(
        "conversation.item.input_audio_transcription.completed", item_id="c1", transcript="where is order 427"
    )
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.shop.gate.set()
    await rig.output("t1")
    await rig.service.cut()  # before a word of it was spoken
    await rig.service.sessions(2)
    await rig.until(lambda: rig.session.machine.slot.state.value == "requested", "the answer is asked for again")
    sent = await rig.arrived()
    texts = [m["item"]["content"][0]["text"] for m in sent if m["type"] == "conversation.item.create"]
    assert texts[0] == "where is order 427"
    assert "order_status" in texts[1] and "shipped" in texts[1]
    assert sent[-1]["type"] == "response.create"
    assert rig.shop.runs == ["427"]


async def test_a_tool_that_runs_across_a_lost_session_runs_once_and_is_answered_in_the_next(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.service.cut()
    await rig.service.sessions(2)
    await rig.until(lambda: rig.session.machine.state.connected, "a new session")
    first = (await rig.arrived())[0]["item"]
    assert (first["type"], first["call_id"], json.loads(first["arguments"])) == (
        "function_call",
        "t1",
        {"order": "427"},
    )
    rig.shop.gate.set()
    assert "shipped" in await rig.output("t1")
    assert rig.shop.runs == ["427"]


async def test_an_outcome_that_comes_between_two_sessions_is_sent_after_its_call(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "reconnect_delays", lambda spread, attempts: [0.3] * 6)
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.service.cut()
    await rig.until(lambda: not rig.session.machine.state.connected, "the loss")
    rig.shop.gate.set()
    await rig.until(lambda: rig.session.machine.pending.held(), "the outcome")
    assert len(rig.service.sockets) == 1
    await rig.service.sessions(2)
    await rig.output("t1")
    types = [m["item"]["type"] for m in rig.service.sent("conversation.item.create")][:2]
    assert types == ["function_call", "function_call_output"]


@pytest.mark.parametrize(
    ("name", "arguments", "status", "words"),
    [
        ("stuck", {}, "timeout", ""),
        ("breaks", {}, "failed", ""),
        ("order_status", {"ordre": "427"}, "invalid", "order"),
        ("order_stats", {"order": "427"}, "unknown_tool", "order_status"),
    ],
)
async def test_no_fault_of_a_tool_leaves_its_call_open(
    rig: Rig, name: str, arguments: dict[str, str], status: str, words: str
) -> None:
    await rig.asks("r1", "t1", name, **arguments)
    await rig.caller_starts("c2")  # also when the caller talks into it
    await rig.caller_stops("c2")
    await rig.created("r2")
    output = json.loads(await rig.output("t1"))
    assert output["status"] == status and words in output["error"] and "4711" not in str(output)
    assert not rig.session.machine.pending
    [call] = rig.record().tool_calls
    assert call.status == status


async def test_a_bug_of_ours_in_a_tool_call_is_an_answer_too(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*args: object, **kwargs: object) -> None:
        raise KeyError("our bug")

    monkeypatch.setattr(rig.services.catalog, "run", broken)
    await rig.asks("r1", "t1", "order_status", order="427")
    assert json.loads(await rig.output("t1"))["status"] == "failed"
    assert not rig.session.machine.pending


async def test_an_unknown_tools_name_makes_no_label_of_a_metric(rig: Rig) -> None:
    await rig.asks("r1", "t1", "made_up_by_the_model")
    await rig.output("t1")
    text = rig.metrics.exposition().decode()
    assert "made_up" not in text and 'status="unknown_tool",tool="(unknown)"' in text


async def test_a_call_by_a_discarded_response_is_answered_and_not_run(rig: Rig) -> None:
    await rig.created("r1")
    await rig.audio("r1", 500)
    rig.run(100)
    await rig.caller_starts()
    await rig.calls("r1", "t1", "order_status", order="427")
    assert json.loads(await rig.output("t1"))["status"] == "not_started"
    assert rig.shop.runs == []


async def test_two_calls_of_one_response_are_answered_by_one_response(rig: Rig) -> None:
    await rig.caller_starts()
    await rig.caller_stops()
    await rig.created("r1")
    await rig.calls("r1", "t1", "order_status", order="1")
    await rig.calls("r1", "t2", "order_status", order="2")
    await rig.done("r1")
    rig.shop.gate.set()
    await rig.output("t1")
    await rig.output("t2")
    await rig.arrived()
    assert len(rig.service.sent("response.create")) == 1


async def test_a_gateway_that_cannot_talk_while_a_call_is_open_gets_a_placeholder_and_then_the_result(
    make: Callable[..., Rig],
) -> None:
    rig = make(tool_calls="placeholder")
    await rig.answer()
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.run(600)
    assert json.loads(await rig.output("t1")) == {"status": "pending"}
    filler = await rig.service.got("response.create")
    assert filler["response"]["metadata"]["purpose"] == "filler"
    rig.shop.gate.set()
    answer = await rig.service.got("response.create", 2)
    assert answer["response"]["metadata"] == {"purpose": "tool_result"}
    items = [m["item"] for m in rig.service.sent("conversation.item.create") if m["item"]["type"] == "message"]
    results = [item["content"][0]["text"] for item in items if "order_status" in item["content"][0]["text"]]
    assert len(results) == 1 and "shipped" in results[0] and "t1" in results[0]
    await rig.session.close()
    await rig.inline.aclose()


# --- fillers ----------------------------------------------------------------------------------------------------------


async def test_while_a_tool_runs_the_caller_hears_a_filler_then_the_answer_and_never_two_voices(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.run(540)
    [request] = [m for m in await rig.arrived() if m["type"] == "response.create"]
    response = request["response"]
    assert response["conversation"] == "none" and response["tools"] == []
    assert response["input"][0]["content"][0]["text"] == "Say exactly: One moment."
    await rig.created("f1", **response["metadata"])
    await rig.audio("f1", 300)
    assert rig.session.machine.floor.value == "filler"
    rig.run(40)
    rig.shop.gate.set()
    await rig.output("t1")
    await rig.service.got("response.create", 2)
    await rig.created("r2", "tool_result")
    await rig.audio("r2", 100)
    await rig.audio("f1", 100)  # the filler is still being generated
    await rig.audio("r2", 100)
    await rig.done("f1", metadata=response["metadata"])
    await rig.done("r2")
    heard = rig.run(800)
    assert level_dbfs(heard[: 500 * 16]) > -20
    record = rig.record()
    assert record.tool_calls[0].fillers == 1
    assert [turn.who for turn in record.turns if turn.who != "caller"] == ["filler", "agent"]


async def test_the_pause_between_a_filler_and_the_answer_is_not_heard_of_the_answer(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.run(540)
    request = await rig.service.got("response.create")
    await rig.created("f1", **request["response"]["metadata"])
    await rig.audio("f1", 300)
    await rig.tell("response.output_audio.done", response_id="f1", item_id="item-f1")
    await rig.done("f1", metadata=request["response"]["metadata"])
    rig.shop.gate.set()
    await rig.output("t1")
    await rig.created("r2", "tool_result")
    await rig.audio("r2", 2000)
    rig.run(300 + PAUSE_MS + 400)
    await rig.caller_starts("c2")
    [cut] = [m for m in await rig.arrived() if m["type"] == "conversation.item.truncate"]
    assert (cut["item_id"], cut["audio_end_ms"]) == ("item-r2", 400)
    assert rig.record().barge_ins[0].heard_ms == 400


async def test_silence_while_a_tool_runs_is_bridged_by_the_tone(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.run(20_000)  # the provider never makes the fillers
    rig.shop.gate.set()
    await rig.output("t1")
    record = rig.record()
    assert 0 < record.longest_tool_silence_ms <= 1200


async def test_a_barge_in_on_a_filler_truncates_nothing_for_it_is_no_part_of_the_conversation(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.run(540)
    request = await rig.service.got("response.create")
    await rig.created("f1", **request["response"]["metadata"])
    await rig.audio("f1", 2000)
    rig.run(400)
    await rig.caller_starts("c2")
    kinds = await rig.kinds()
    assert "conversation.item.truncate" not in kinds and "conversation.item.delete" not in kinds
    assert kinds[-1] == "response.cancel"
    await rig.audio("f1", 500, item="item-f2")
    await rig.done("f1", "cancelled", metadata=request["response"]["metadata"])
    assert "conversation.item.delete" not in await rig.kinds()
    assert rig.shop.cancelled == 0


# --- the response slot (field: 2) -------------------------------------------------------------------------------------


async def test_an_active_response_of_somebody_else_delays_the_answer_and_loses_nothing(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.shop.gate.set()
    await rig.output("t1")
    request = await rig.service.got("response.create")
    error = {
        "type": "invalid_request_error",
        "code": "conversation_already_has_active_response",
        "message": "Conversation already has an active response in progress: other.",
        "event_id": request["event_id"],
    }
    await rig.tell("error", error=error)
    rig.run(1000)
    await rig.arrived()
    assert len(rig.service.sent("response.create")) == 1, "not asked again into a slot that is taken"
    assert rig.hang_ups == []
    await rig.done("other")
    again = await rig.service.got("response.create", 2)
    assert again["response"]["metadata"] == {"purpose": "tool_result"}
    await rig.speaks("r2", 200, "tool_result")
    assert level_dbfs(rig.run(200)) > -20


async def test_never_a_response_asked_for_while_one_is_active(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.caller_starts("c2")
    await rig.caller_stops("c2")
    await rig.created("r2")
    rig.shop.gate.set()
    await rig.output("t1")
    rig.run(3000)
    await rig.arrived()
    assert rig.service.sent("response.create") == []
    await rig.done("r2")
    await rig.service.got("response.create")


# --- the end (field: 5) -----------------------------------------------------------------------------------------------


async def goodbye(rig: Rig, ms: int) -> None:
    await rig.created("r9")
    await rig.audio("r9", ms)
    await rig.tell("response.output_audio.done", response_id="r9", item_id="item-r9")
    await rig.calls("r9", "t9", "end_call")
    await rig.done("r9")


async def test_end_call_hangs_up_once_and_after_the_last_word(rig: Rig) -> None:
    await goodbye(rig, 2000)
    rig.run(2000)
    assert rig.hang_ups == []
    rig.run(5000)
    assert rig.hang_ups == ["agent"]
    await rig.speaks("r10", 300)  # whatever still comes
    rig.run(1000)
    assert rig.hang_ups == ["agent"]
    rig.session.hung_up("agent", "200 Normal")
    assert rig.record().outcome == "completed"


async def test_a_goodbye_of_half_a_minute_is_not_cut_off(rig: Rig) -> None:
    await goodbye(rig, 30_000)
    rig.run(29_900)
    assert rig.hang_ups == []
    rig.run(2000)
    assert rig.hang_ups == ["agent"]


async def test_end_call_of_a_discarded_generation_hangs_up_on_nobody(rig: Rig) -> None:
    await rig.created("r9")
    await rig.audio("r9", 500)
    rig.run(100)
    await rig.caller_starts()
    await rig.calls("r9", "t9", "end_call")
    await rig.done("r9", "cancelled")
    assert json.loads(await rig.output("t9"))["status"] == "not_started"
    await rig.caller_stops()
    await rig.speaks("r10", 200)
    rig.run(30_000)
    assert rig.hang_ups == []


async def test_the_drains_goodbye_is_spoken_and_then_hung_up(rig: Rig) -> None:
    rig.session.say_goodbye("drain")
    request = await rig.service.got("response.create")
    assert request["response"]["instructions"] == "Say exactly: We close now."
    await rig.speaks("r1", 400, "goodbye")
    rig.run(380)
    assert rig.hang_ups == []
    rig.run(1000)
    assert rig.hang_ups == ["drain"]
    rig.session.hung_up("agent", "200")
    assert rig.record().outcome == "drained"


async def test_the_time_limit_says_goodbye_once(make: Any) -> None:
    rig = make(agent=AGENT.model_copy(update={"limits": AGENT.limits.model_copy(update={"max_call_seconds": 5.0})}))
    await rig.answer()
    rig.run(4900)
    assert await rig.kinds() == []
    rig.run(400)
    assert await rig.kinds() == ["response.create"]
    await rig.speaks("r1", 200, "goodbye")
    rig.run(1000)
    assert rig.hang_ups == ["limit"]
    rig.session.hung_up("agent", "200")
    assert rig.record().outcome == "limit"
    await rig.session.close()


@pytest.mark.parametrize(
    ("answered", "by", "outcome"),
    [
        (True, "caller", "completed"),
        (False, "caller", "abandoned"),
        (True, "network", "failed"),
        (False, "error", "failed"),
    ],
)
async def test_how_a_call_ended(make: Any, answered: bool, by: str, outcome: str) -> None:
    rig = make()
    if answered:
        rig.session.answered()
    rig.session.hung_up(by, "200 OK")
    assert rig.session.ended.is_set()
    record = rig.record()
    assert (record.outcome, record.reason) == (outcome, f"{by}: 200 OK")
    await rig.session.close()


# --- faults of the provider -------------------------------------------------------------------------------------------


async def test_a_provider_that_cannot_be_had_is_apologised_for_once_there_is_media(make: Any, peer: Any) -> None:
    async with peer(lambda server, ws: asyncio.sleep(0), refuse=(401, "no")) as refusing:
        rig = make()
        rig.link._connection._provider = refusing.provider
        with capture_logs() as logs:
            await rig.session.open()
        assert rig.hang_ups == []
        assert level_dbfs(rig.run(100)) < -90
        rig.session.answered()
        rig.session.start_media()
        assert level_dbfs(rig.run(3000)) > -40, "the recorded apology"
        assert rig.hang_ups == []
        rig.run(5000)
        assert len(rig.hang_ups) == 1 and "401" in rig.hang_ups[0]
        rig.session.hung_up("agent", "200")
        record = rig.record()
        assert record.outcome == "failed" and "401" in record.errors[0]
        assert [turn.text for turn in record.turns] == ["I am sorry."]
        assert "sk-test" not in str(logs) + str(record)
    await rig.session.close()


async def test_an_apology_whose_playout_stands_still_ends_the_call_all_the_same(rig: Rig) -> None:
    rig.session.fail("gone")
    rig.now += APOLOGY_BOUND_S + 1  # on hold: nothing is pulled
    for _ in range(3):
        rig.session.poll(rig.now)
    assert rig.hang_ups == ["gone"]


async def test_an_apology_that_is_due_when_words_of_ours_end_is_heard(rig: Rig) -> None:
    await rig.caller_starts()
    await rig.caller_stops()
    rig.run(4100)  # nothing is answered: "one moment"
    assert rig.bridge.playing() is not None
    for _ in range(100):
        rig.bridge.pull()
    rig.now += 20
    rig.session.poll(rig.now)  # finds them ended, and the caller's patience too
    assert rig.session.machine.over and rig.hang_ups == []
    rig.run(7000)
    assert len(rig.hang_ups) == 1
    record = rig.record()
    assert record.unmet[-1].then == "apology" and record.turns[-1].text == "I am sorry."


async def test_faults_after_the_hang_up_change_nothing_any_more(rig: Rig) -> None:
    await goodbye(rig, 200)
    rig.run(2000)
    assert rig.hang_ups == ["agent"]
    rig.session.fail("the provider is gone too")
    assert level_dbfs(rig.run(1000)) < -90
    rig.session.hung_up("agent", "200")
    assert rig.record().outcome == "completed" and rig.hang_ups == ["agent"]


async def test_another_audio_format_than_asked_for_ends_the_call_with_an_apology(make: Any, peer: Any) -> None:
    async def scene(server: Any, ws: Any) -> None:
        await server.greet(ws, output={"type": "audio/pcmu"})
        await server.listen(ws)

    async with peer(scene) as server:
        rig = make()
        rig.link._connection._provider = server.provider
        await rig.session.open()
        rig.session.answered()
        rig.session.start_media()
        assert level_dbfs(rig.run(3000)) > -40
        assert "pcmu" in rig.session.recorder.errors[0]
    await rig.session.close()


async def test_three_failed_responses_in_a_row_are_apologised_for(rig: Rig) -> None:
    await rig.caller_starts()
    await rig.caller_stops()
    for number in range(3):
        await rig.created(f"r{number}")
        await rig.done(f"r{number}", "failed", status_details={"error": {"code": "server_error"}})
        rig.run(2000)
    assert level_dbfs(rig.heard[-16000:]) > -60
    rig.run(8000)
    assert rig.hang_ups == ["server_error"]


async def test_an_unknown_event_and_broken_ones_do_not_end_the_call(rig: Rig) -> None:
    await rig.tell("response.something_new", response_id="r1")
    await rig.service.sockets[-1].send("this is not JSON")
    await rig.service.sockets[-1].send("[]")
    await rig.tell("response.output_audio.delta", response_id="r1", item_id="i1", delta="***")
    await rig.speaks("r2", 200)
    assert level_dbfs(rig.run(200)) > -20
    assert rig.hang_ups == []


async def test_a_lost_session_in_the_middle_of_a_turn_is_answered_by_the_next(rig: Rig) -> None:
    await rig.caller_starts()
    await rig.service.cut()
    await rig.service.sessions(2)
    request = await rig.service.got("response.create")
    assert request["response"]["metadata"] == {"purpose": "resume"}
    assert rig.session.machine.floor.value == "nobody", "no speech_stopped will come from the lost session"
    errors = rig.record().errors
    assert len(errors) == 1 and "connection lost" in errors[0]


async def test_a_new_session_knows_what_the_caller_heard_and_no_more(rig: Rig) -> None:
    await rig.speaks("r1", 2000, text="One two three four five six seven eight nine ten")
    rig.run(1000)
    await rig.caller_starts()
    await rig.tell("conversation.item.input_audio_transcription.completed", item_id="c1", transcript="stop")
    await rig.service.cut()
    await rig.service.sessions(2)
    await rig.service.got("conversation.item.create", 2)
    items = [m["item"] for m in rig.service.sent("conversation.item.create")][:2]
    assert [(i["role"], i["content"][0]["text"]) for i in items] == [
        ("assistant", "One two three four five…"),
        ("user", "stop"),
    ]


async def test_a_session_is_replaced_before_the_providers_limit_between_turns_alone(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.now += 3400.0
    rig.session._answered = rig.now  # not the call's own limit
    rig.session.poll(rig.now)
    assert rig.session.machine.state.connected, "not while a tool runs"
    rig.shop.gate.set()
    await rig.output("t1")
    await rig.service.got("response.create")
    await rig.speaks("r2", 200, "tool_result")
    rig.run(1200)  # behind the tone, and past the next look
    await rig.service.sessions(2)
    await rig.until(lambda: rig.session.machine.state.connected, "the new session")
    rig.run(1000)
    assert len(rig.service.sockets) == 2, "once"


# --- digits -----------------------------------------------------------------------------------------------------------


async def test_digits_become_one_item_and_are_answered(rig: Rig) -> None:
    with capture_logs() as logs:
        for digit in "427":
            rig.session.digit(digit)
        rig.run(1000)
        assert await rig.kinds() == []
        rig.run(1500)
        item, request = await rig.arrived()
    assert item["item"]["content"][0]["text"] == "The caller typed on the keypad: 427"
    assert request["type"] == "response.create"
    assert "427" not in str(logs) and "427" not in rig.record().model_dump_json(exclude={"dialled"})


async def test_digits_typed_while_there_is_no_session_reach_the_next(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "reconnect_delays", lambda spread, attempts: [0.3] * 6)
    await rig.service.cut()
    await rig.until(lambda: not rig.session.machine.state.connected, "the loss")
    for digit in "42#":
        rig.session.digit(digit)
    await rig.service.sessions(2)
    await rig.service.got("response.create")
    texts = [m["item"]["content"][0]["text"] for m in rig.service.sent("conversation.item.create")]
    assert texts == ["The caller typed on the keypad: 42"]


# --- leaving ----------------------------------------------------------------------------------------------------------


async def test_at_hang_up_each_tool_does_as_it_declares(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.asks("r2", "t2", "quote")
    rig.session.hung_up("caller", "200")
    await rig.session.close()
    await rig.until(lambda: rig.shop.cancelled == 1, "quote is cancelled, order_status goes on")
    catalog = rig.services.catalog
    assert [request.tool_call_id for request, _ in catalog.pending("c0ffee")] == ["t1"]
    assert not rig.session._tools._tasks


async def test_the_record_says_of_each_tool_that_ran_at_hang_up_what_became_of_it(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.asks("r2", "t2", "quote")
    await rig.asks("r3", "t3", "breaks")
    await rig.output("t3")
    rig.session.hung_up("caller", "200")
    record = rig.record()
    await rig.session.end_tools()
    expected = {"order_status": "continues", "quote": "cancelled", "breaks": "failed"}
    assert {call.tool: call.status for call in record.tool_calls} == expected
    assert rig.record() is record
    sent = len(await rig.arrived())
    rig.shop.gate.set()
    await rig.session.end_tools()
    assert len(await rig.arrived()) == sent, "nobody is there to be answered"
    assert {call.tool: call.status for call in record.tool_calls} == expected


async def test_a_redis_that_does_not_answer_holds_up_no_record(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = asyncio.Event()

    async def hanging(self: Catalog, call_id: str) -> tuple[()]:
        await answer.wait()
        return ()

    monkeypatch.setattr(Catalog, "hang_up", hanging)
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.asks("r2", "t2", "quote")
    rig.session.hung_up("caller", "200")
    await rig.session.end_tools()
    statuses = {call.tool: call.status for call in rig.record().tool_calls}
    assert statuses == {"order_status": "continues", "quote": "unknown"}, "whether it was stopped is not known"
    closing = asyncio.create_task(rig.session.close())
    await asyncio.sleep(0)
    assert not closing.done()
    answer.set()
    await closing


async def test_close_leaves_no_session_and_no_task_behind(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.session.close()
    await rig.until(lambda: rig.service.sockets[-1].state.name == "CLOSED", "the session's end")
    assert len(rig.service.sockets) == 1 and not rig.session._tools._tasks


async def test_a_fault_of_our_own_hangs_up_at_once_and_once(rig: Rig) -> None:
    rig.session.broke()
    rig.session.broke()
    assert rig.hang_ups == ["internal error"]
    rig.session.hung_up("agent", "200")
    assert rig.record().outcome == "failed"


async def test_memory_of_responses_that_nobody_heard_is_bounded(rig: Rig) -> None:
    await rig.created("r1")
    await rig.caller_starts()
    for number in range(UNHEARD + 20):
        await rig.service.say("response.output_audio.delta", response_id="r1", item_id=f"i{number}", delta=sound(20))
    await rig.taken()
    assert len(rig.session._voice._unheard) == UNHEARD
    await rig.service.cut()
    await rig.service.sessions(2)
    await rig.until(lambda: rig.session.machine.state.connected, "a new session")
    assert not rig.session._voice._unheard
