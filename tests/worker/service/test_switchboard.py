"""The switchboard: every call from its INVITE to its record, whatever order the endpoint's events come in.

The endpoint here is a stand-in at the boundary that notes what it is asked, because the order of its events is what is
tested; the calls over real SIP are in tests/e2e and tests/telephony. Sessions, bridges and recordings are real.
"""

from __future__ import annotations

import asyncio
import json
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from telephony import events as phone
from telephony.bridge import Bridge
from telephony.endpoint import Endpoint
from telephony.sip.hand_over import HandOverRules
from tools import tool
from tools.run.catalog import Catalog
from tools.run.inline import InlineRunner
from worker.agent.agent import Agent
from worker.agent.refer import AgentRefer
from worker.call.factory import make_session
from worker.call.session import CallInfo, CallSession, PhoneLine, Services
from worker.realtime import link as link_module
from worker.realtime.provider import Provider
from worker.records.archive import Archive
from worker.records.metrics import Metrics
from worker.records.record import CallRecord
from worker.service import switchboard as board_module
from worker.service.call_book import CallBook
from worker.service.call_files import CallFiles
from worker.service.pacer import Pacer
from worker.service.switchboard import Switchboard

Until = Callable[..., Awaitable[None]]
AGENT = Agent(goodbye="We close now.")


class Line:
    """Stands in for the endpoint."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int]] = []
        self.bridges: dict[str, Bridge] = {}
        self.permitted: dict[str, HandOverRules] = {}
        self.invited: Future[str] = Future()

    def answer(self, call_id: str, status: int = 200) -> None:
        self.asked.append(("answer", call_id, status))

    def permit(self, call_id: str, rules: HandOverRules) -> None:
        self.permitted[call_id] = rules

    def hang_up(self, call_id: str, status: int = 0, reason: str = "") -> None:
        self.asked.append(("hang_up", call_id, status))

    def invite(
        self,
        uri: str,
        *,
        headers: Mapping[str, str] | None = None,
        caller_id: str | None = None,
        account: str | None = None,
        made_for: str | None = None,
    ) -> Future[str]:
        return self.invited

    def account_of(self, call_id: str) -> str:
        return ""

    def bridge(self, call_id: str) -> Bridge | None:
        return self.bridges.get(call_id)

    def answers(self, call_id: str) -> list[int]:
        return [status for what, of, status in self.asked if (what, of) == ("answer", call_id)]

    def hang_ups(self) -> list[str]:
        return [call_id for what, call_id, _ in self.asked if what == "hang_up"]


class Office:
    """A switchboard with all that it needs but a telephone network."""

    def __init__(
        self,
        provider: Provider,
        until: Until,
        folder: Path | None,
        answer_s: float = 30.0,
        *,
        records: Path | None = None,
        finished: Callable[[CallSession, CallRecord], Awaitable[None]] | None = None,
    ) -> None:
        self.line = Line()
        self.agent = AGENT
        self.until = until
        self.metrics = Metrics()
        self.pacer = Pacer()
        self.sessions: dict[str, CallSession] = {}
        self._services = Services(Catalog([], inline=InlineRunner()), self.metrics, provider)
        self.board = Switchboard(
            cast(Endpoint, self.line),
            self.pacer,
            self.metrics,
            self._make,
            answer_s=answer_s,
            files=CallFiles(folder, records=records),
            observe=lambda session: None,
            finished=finished,
        )

    def _make(self, info: CallInfo, bridge: Bridge, hang_up: Callable[[str], None]) -> CallSession:
        session = make_session(info, self.agent, PhoneLine(bridge, hang_up), self._services)
        self.sessions[info.call_id] = session
        return session

    def rings(self, call_id: str = "c1") -> CallSession:
        self.board.on_event(phone.IncomingCall(call_id, "sip-" + call_id, "alice", "427", "127.0.0.1:5", Bridge(8000)))
        return self.sessions[call_id]

    def ends(self, call_id: str = "c1", by: phone.EndedBy = "caller") -> None:
        self.board.on_event(phone.CallEnded(call_id, 200, "OK", by))

    async def up(self, call_id: str = "c1") -> CallSession:
        session = self.rings(call_id)
        await self.until(lambda: 200 in self.line.answers(call_id), "the answer")
        self.board.on_event(phone.CallConfirmed(call_id))
        self.board.on_event(phone.MediaActive(call_id, "PCMU", 8000))
        return session

    def outcomes(self) -> dict[str, float]:
        """How many calls ended how; every outcome has its series from the start."""
        found: dict[str, float] = {}
        for metric in self.metrics.calls_total.collect():
            counts = [sample for sample in metric.samples if sample.name.endswith("_total") and sample.value]
            found |= {sample.labels["outcome"]: sample.value for sample in counts}
        return found


@pytest.fixture
async def office(service: Any, until: Until, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Office]:
    monkeypatch.setattr(link_module, "reconnect_delays", lambda spread, attempts: [0.0] * 2)
    made = Office(service.peer.provider, until, tmp_path)
    yield made
    for call_id in list(made.board._calls):
        made.ends(call_id)
    assert await made.board.all_ended(5.0)


# --- a call -----------------------------------------------------------------------------------------------------------


async def test_a_call_rings_is_answered_once_there_is_a_session_and_leaves_its_record(
    office: Office, tmp_path: Path
) -> None:
    session = await office.up()
    assert office.line.answers("c1") == [180, 200]
    assert len(office.board) == 1 and office.metrics.calls_active._value.get() == 1
    for _ in range(50):
        session.bridge.push(b"\x01\x00" * 160)
        session.bridge.pull()
    office.ends()
    assert await office.board.all_ended(5.0)
    record = json.loads((tmp_path / "c1.json").read_text())
    assert (record["call_id"], record["outcome"], record["caller"], record["dialled"]) == (
        "c1",
        "completed",
        "alice",
        "427",
    )
    assert record["recording"] == str(tmp_path / "c1.wav")
    assert (tmp_path / "c1.svg").read_text().startswith("<svg "), "and its picture"
    with wave.open(str(tmp_path / "c1.wav")) as file:
        assert file.getnchannels() == 2 and 50 * 160 <= file.getnframes() <= 52 * 160
    assert len(office.board) == 0 and office.metrics.calls_active._value.get() == 0
    assert office.outcomes() == {"completed": 1}
    assert all(session not in slot for slot in office.pacer._slots)


async def test_without_recordings_a_call_leaves_its_record_and_journal_where_those_are_kept(
    service: Any, until: Until, tmp_path: Path
) -> None:
    archive = Archive(tmp_path, tmp_path)
    book = CallBook(archive)
    office = Office(service.peer.provider, until, None, records=tmp_path, finished=book.finished)
    book.calls = office.board
    await office.up()
    office.board.on_event(phone.SipMessage("c1", time.monotonic(), False, "ACK", "ACK", "sip-c1"))
    live = await book.story("c1")
    assert live is not None and live.live and live.record is not None and live.record.sip_call_id == "sip-c1"
    office.ends()
    assert await office.board.all_ended(5.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c1.journal", "c1.json"]
    story = await book.story("c1")
    assert story is not None and story.record is not None and story.journal is not None and not story.live
    assert story.record.outcome == "completed" and story.problems == []
    assert {"MediaActive", "SipMessage", "SessionReady", "Answered"} <= {edge.what for edge in story.journal.edges}


async def test_the_record_on_disk_says_what_became_of_the_tools_that_ran_at_the_hang_up(
    office: Office, service: Any, tmp_path: Path
) -> None:
    @tool(mode="inline", on_hangup="cancel")
    async def quote() -> str:
        """Of no use without the caller."""
        await asyncio.Event().wait()
        return ""

    @tool(mode="inline", timeout=0.5)
    async def order_status() -> str:
        """Goes on."""
        await asyncio.Event().wait()
        return ""

    inline = InlineRunner()
    catalog = Catalog([quote.__tool__, order_status.__tool__], inline=inline)  # type: ignore[attr-defined]
    office._services = replace(office._services, catalog=catalog)
    session = await office.up()
    await service.say("response.created", response={"id": "r1", "status": "in_progress", "metadata": {}})
    for name in ("quote", "order_status"):
        item = {"id": name, "type": "function_call", "status": "completed", "call_id": name, "name": name}
        await service.say("response.output_item.done", response_id="r1", item={**item, "arguments": "{}"})
    await office.until(lambda: len(catalog.pending("c1")) == 2, "both tools run")
    office.ends()
    assert await office.board.all_ended(5.0)
    record = json.loads((tmp_path / "c1.json").read_text())
    statuses = {call["tool"]: call["status"] for call in record["tool_calls"]}
    assert statuses == {"quote": "cancelled", "order_status": "continues"}
    assert session.recorder.pending() == []
    await office.until(lambda: not catalog.pending("c1"), "its time-out")
    await inline.aclose()


async def test_media_before_the_confirmation_and_after_it(office: Office) -> None:
    for call_id, order in (("a", (0, 1)), ("b", (1, 0))):
        session = office.rings(call_id)
        await office.until(lambda c=call_id: 200 in office.line.answers(c), "the answer")
        events = (phone.CallConfirmed(call_id), phone.MediaActive(call_id, "PCMA", 8000))
        office.board.on_event(events[order[0]])
        session.bridge.push(bytes(320))
        assert session.bridge.take_record() == (b"", 0), "not before both"
        office.board.on_event(events[order[1]])
        session.bridge.push(bytes(320))
        assert session.bridge.take_record() == (bytes(640), 0)
    office.board.on_event(phone.MediaActive("b", "PCMA", 8000))  # a re-INVITE
    [first, _] = office.board.status()
    assert (first["call_id"], first["codec"], first["floor"]) == ("a", "PCMA", "nobody")
    assert first["underruns"] == 0


async def test_a_caller_who_gives_up_while_it_rings(peer: Any, until: Until, tmp_path: Path) -> None:
    async def never(server: Any, ws: Any) -> None:
        await server.listen(ws)  # no session begins

    async with peer(never) as server:
        office = Office(server.provider, until, tmp_path)
        office.rings()
        await until(lambda: server.received, "the session is being opened")
        office.ends()
        assert await office.board.all_ended(5.0)
        assert office.line.answers("c1") == [180], "a call that is over is not answered"
        assert json.loads((tmp_path / "c1.json").read_text())["outcome"] == "abandoned"
        assert len(server.paths) == 1, "and no session is opened for it afterwards"


async def test_a_provider_that_is_slow_does_not_keep_the_caller_ringing(peer: Any, until: Until) -> None:
    async def never(server: Any, ws: Any) -> None:
        await server.listen(ws)

    async with peer(never) as server:
        office = Office(server.provider, until, None, answer_s=0.05)
        office.rings()
        await until(lambda: office.line.answers("c1") == [180, 200], "the answer after the bound")
        office.ends()
        assert await office.board.all_ended(5.0)


async def test_a_provider_that_refuses_is_answered_all_the_same_and_apologised_for(peer: Any, until: Until) -> None:
    async with peer(lambda server, ws: asyncio.sleep(0), refuse=(401, "no")) as server:
        office = Office(server.provider, until, None)
        session = await office.up()
        pacing = asyncio.create_task(office.pacer.run())
        for _ in range(500):  # 10 s of playout, as fast as it goes
            session.bridge.pull()
        await until(lambda: office.line.hang_ups() == ["c1"], "the hang-up after the apology")
        pacing.cancel()
        office.ends(by="agent")
        assert await office.board.all_ended(5.0)
        assert office.outcomes() == {"failed": 1}


async def test_events_of_unknown_calls_are_ignored(office: Office) -> None:
    for event in (
        phone.CallConfirmed("x"),
        phone.MediaActive("x", "PCMU", 8000),
        phone.DigitReceived("x", "1", "rtp"),
        phone.CallEnded("x", 200, "OK", "caller"),
    ):
        office.board.on_event(event)
    assert len(office.board) == 0 and not office.board._early


async def test_digits_reach_their_call_and_no_log(office: Office, service: Any) -> None:
    with capture_logs() as logs:
        await office.up()
        for digit in "90817#":
            office.board.on_event(phone.DigitReceived("c1", digit, "rtp"))
        item = await service.got("conversation.item.create")
    assert "90817" in item["item"]["content"][0]["text"]
    assert "90817" not in str(logs)


async def test_the_end_told_twice_is_one_end(office: Office) -> None:
    await office.up()
    office.ends()
    office.ends()
    assert await office.board.all_ended(5.0)
    assert office.outcomes() == {"completed": 1}


async def test_a_call_is_coming_until_its_audio_flows(office: Office) -> None:
    office.rings()
    assert (len(office.board), office.board.coming) == (1, 1)
    office.board.on_event(phone.CallConfirmed("c1"))
    assert office.board.coming == 1
    office.board.on_event(phone.MediaActive("c1", "PCMU", 8000))
    assert (len(office.board), office.board.coming) == (1, 0)
    office.ends()
    assert await office.board.all_ended(5.0)


async def test_registration_and_refusals_are_counted(office: Office) -> None:
    office.board.on_event(phone.RegistrationChanged(True, 200, "OK", 300))
    assert office.metrics.sip_registered._value.get() == 1
    office.board.on_event(phone.RegistrationChanged(False, 403, "Forbidden", 0))
    assert office.metrics.sip_registered._value.get() == 0
    office.board.on_event(phone.CallRefused(486, "Busy Here", "127.0.0.1:9"))
    office.board.on_event(phone.CallRefused(503, "Service Unavailable", "127.0.0.1:9", "overload"))
    assert office.outcomes() == {"rejected": 2}
    text = office.metrics.exposition().decode()
    assert 'offhook_calls_refused_total{reason="library"} 1.0' in text
    assert 'offhook_calls_refused_total{reason="overload"} 1.0' in text


# --- calls of ours ----------------------------------------------------------------------------------------------------


async def test_a_call_of_ours_is_neither_rung_nor_answered(office: Office) -> None:
    office.line.bridges["o1"] = Bridge(8000)
    office.line.invited.set_result("o1")
    session = await office.board.dial("sip:bob@example.org")
    await office.until(lambda: session.machine.state.connected, "the session")
    office.board.on_event(phone.CallProgress("o1", 180, "Ringing"))
    office.board.on_event(phone.CallConfirmed("o1"))
    office.board.on_event(phone.MediaActive("o1", "PCMU", 8000))
    assert session._flows and office.line.asked == []
    assert not session.machine.state.media, "the agent waits for who answers"
    assert session.info.dialled == "sip:bob@example.org"


async def test_an_answer_that_comes_before_the_dial_has_returned_is_not_lost(office: Office) -> None:
    """The endpoint's thread posts the answer while the loop is busy: the event is taken before dial() goes on."""
    dialling = asyncio.create_task(office.board.dial("sip:bob@example.org"))
    await asyncio.sleep(0)
    office.line.bridges["o1"] = Bridge(8000)
    office.line.invited.set_result("o1")
    office.board.on_event(phone.CallConfirmed("o1"))
    office.board.on_event(phone.MediaActive("o1", "PCMU", 8000))
    session = await dialling
    assert session._flows and session._answered is not None
    assert not office.board._early and not office.board._dials


async def test_a_call_of_ours_that_is_refused_at_once_ends(office: Office) -> None:
    dialling = asyncio.create_task(office.board.dial("sip:bob@example.org"))
    await asyncio.sleep(0)
    office.line.bridges["o1"] = Bridge(8000)
    office.line.invited.set_result("o1")
    office.board.on_event(phone.CallEnded("o1", 486, "Busy Here", "caller"))
    session = await dialling
    assert session.ended.is_set()
    assert await office.board.all_ended(5.0)
    assert office.outcomes() == {"abandoned": 1}


async def test_a_call_that_is_over_before_dial_returns_is_told(office: Office) -> None:
    office.line.invited.set_result("o1")
    with pytest.raises(ConnectionError, match="sip:bob@example.org: the call ended before it began"):
        await office.board.dial("sip:bob@example.org")
    assert len(office.board) == 0 and not office.board._dials


# --- all calls (field: 9) ---------------------------------------------------------------------------------------------


async def test_a_drain_waits_for_calls_to_end_by_themselves(office: Office) -> None:
    for call_id in ("a", "b"):
        await office.up(call_id)
    draining = asyncio.create_task(office.board.drain(60.0))
    office.ends("a")
    await office.until(lambda: len(office.board) == 1, "the first call's end")
    assert not draining.done() and office.line.hang_ups() == [], "the first to end takes no other with it"
    office.ends("b")
    await draining
    assert office.line.hang_ups() == []


async def test_no_drain_ends_while_a_record_is_still_to_be_written(
    office: Office, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two calls end, the second is quicker at it: the first must still be waited for."""
    first, second = await office.up("a"), await office.up("b")
    held = asyncio.Event()
    close = first.close

    async def slow_close() -> None:
        await held.wait()
        await close()

    monkeypatch.setattr(first, "close", slow_close)
    office.ends("a")
    office.ends("b")
    await office.until(lambda: len(office.board) == 1, "the second call's end")
    assert second.ended.is_set() and not await office.board.all_ended(0.05)
    held.set()
    assert await office.board.all_ended(5.0)


async def test_past_the_bound_goodbye_is_said_and_then_calls_are_cut(
    office: Office, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_module, "GOODBYE_S", 0.3)
    monkeypatch.setattr(board_module, "CUT_S", 0.3)
    await office.up()
    draining = asyncio.create_task(office.board.drain(0.05))
    request = await service.got("response.create")
    assert request["response"]["instructions"] == "Say exactly: We close now."
    await draining
    assert office.line.hang_ups() == ["c1"]


async def test_without_calls_a_drain_is_over_at_once(office: Office) -> None:
    await office.board.drain(60.0)


# --- faults -----------------------------------------------------------------------------------------------------------


async def test_a_folder_that_cannot_be_written_costs_the_recording_and_nothing_else(
    service: Any, until: Until, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    office = Office(service.peer.provider, until, tmp_path / "file")
    recording = asyncio.create_task(office.board.drain_recordings())
    with capture_logs() as logs:
        session = await office.up()
        session.bridge.push(bytes(320))
        session.bridge.pull()
        await until(lambda: any(entry["event"] == "recording_not_written" for entry in logs), "the log line")
        assert not recording.done(), "other calls' recordings go on"
        office.ends()
        assert await office.board.all_ended(5.0)
    assert office.outcomes() == {"completed": 1}
    recording.cancel()


async def test_a_session_that_breaks_is_hung_up_recorded_and_forgotten(
    office: Office, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(call_id: str, status: int = 200) -> None:
        raise RuntimeError("our bug")

    monkeypatch.setattr(office.line, "answer", broken)
    office.rings()
    assert await office.board.all_ended(5.0)
    assert office.line.hang_ups() == ["c1"]
    record = json.loads((tmp_path / "c1.json").read_text())
    assert (record["outcome"], record["reason"]) == ("failed", "internal error")


async def test_a_close_that_fails_leaves_no_ghost_of_a_call(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await office.up()

    async def broken() -> None:
        raise RuntimeError("our bug")

    monkeypatch.setattr(session, "close", broken)
    office.ends()
    assert await office.board.all_ended(5.0)
    assert office.metrics.calls_active._value.get() == 0
    await session._link.close()


async def test_a_caller_in_confidence_stands_in_no_record(office: Office) -> None:
    """Rules and tools get the asserted number; records, and what an operator sees, do not (RFC 3323)."""
    call = phone.IncomingCall("p1", "sip-p1", "+4930125", "427", "127.0.0.1:5", Bridge(8000), private=True)
    office.board.on_event(call)
    session = office.sessions["p1"]
    assert session.info.caller == "+4930125" and session.recorder.caller == "anonymous"
    assert [one["caller"] for one in office.board.status()] == ["anonymous"]
    office.ends("p1")
    await office.until(lambda: len(office.board) == 0, "the end")


async def test_packets_of_strangers_are_counted(office: Office) -> None:
    await office.up("s1")
    office.board.on_event(phone.CallEnded("s1", 200, "OK", "caller", foreign_packets=7))
    await office.until(lambda: len(office.board) == 0, "the end")
    assert office.metrics.rtp_foreign_packets_total._value.get() == 7


async def test_who_may_have_a_call_go_on_elsewhere_is_told_to_the_telephone(office: Office) -> None:
    office.rings("c1")
    assert office.line.permitted == {}
    office.agent = Agent(refer=AgentRefer(sources=("192.0.2.10",), targets=("sip:2*@pbx.example",)))
    office.rings("c2")
    assert office.line.permitted == {"c2": HandOverRules(("192.0.2.10",), ("sip:2*@pbx.example",))}


async def test_the_model_is_told_that_somebody_else_is_on_the_line(office: Office) -> None:
    session = await office.up()
    office.board.on_event(phone.HandOverBegan("c1", "refer", "sip:200@pbx.example"))
    office.board.on_event(phone.HandOverEnded("c1", "refer", 486))
    assert "somebody else" not in str(session._conversation.history.entries())
    office.board.on_event(phone.HandOverEnded("c1", "refer", 200))
    assert "somebody else on the line" in str(session._conversation.history.entries())
