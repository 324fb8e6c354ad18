"""A call's journal and page over real SIP and RTP: live, on disk, in the terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parts.caller import Phone
from parts.program import until
from parts.provider import ANSWER_HZ, Provider
from parts.services import RedisServer, Worker

from worker.records.edges import JournalFile
from worker.records.envelope import COLUMN_MS


def test_packets_that_a_bad_network_loses_are_in_the_journal(desk: Worker, provider: Provider, tmp_path: Path) -> None:
    phone = Phone(tmp_path, drop_percent=20).ready()
    try:
        call = phone.dial(desk.uri)
        session, call_id = provider.session(), desk.next_call()
        session.says(ANSWER_HZ, 600, "hello")
        time.sleep(5.5)  # a report comes every five seconds
        call.hang_up()
        desk.record(call_id)
        path = desk.recordings / f"{call_id}.journal"
        until(path.exists, "the journal beside the record")
    finally:
        phone.stop()
    reports = [edge["data"] for edge in json.loads(path.read_text())["edges"] if edge["kind"] == "rtp"]
    lost = max(report["lost"] + report["discarded"] for report in reports)
    assert lost >= 10, f"of some 250 packets a fifth: {reports}"


def test_the_whole_story_of_a_call(
    desk: Worker,
    provider: Provider,
    redis: RedisServer,
    sipp: Any,
    rtp: Any,
    offhook: Callable[..., tuple[int, str, str]],
) -> None:
    media = rtp()
    run = sipp("call", desk.target, rtp=media.port, hold_ms=6000)
    session, call_id = provider.session(), desk.next_call()
    session.says(ANSWER_HZ, 600, "a word in private")
    media.learn_peer()
    until(lambda: "a word in private" in desk.get(f"/calls/{call_id}")[1], "the live story has what was said")

    code, out, errors = offhook("call", call_id, "--json", REDIS_URL=redis.url)
    live = json.loads(out)
    assert code == 0 and live["live"] and live["record"]["outcome"] == "in progress", errors
    with media.sending(bytes(8000)):
        run.finish()

    record = desk.record(call_id)
    assert (record["version"], record["provider"], record["agent"]) == (2, "gateway", "agent")
    assert record["sip_call_id"] and record["started_at"] < record["ended_at"]
    path = desk.recordings / f"{call_id}.journal"
    until(path.exists, "the journal beside the record")
    text = path.read_text()
    edges = json.loads(text)["edges"]
    ladder = [edge["data"]["line"].partition(" ")[0] for edge in edges if edge["kind"] == "sip"]
    assert ladder == ["INVITE", "100", "180", "200", "ACK", "BYE", "200"]
    assert {"turn", "provider", "record", "phone", "rtp"} <= {edge["kind"] for edge in edges}
    assert "a word in private" not in text, "words stand in the record alone"
    envelope = JournalFile.model_validate_json(text).envelope
    assert envelope is not None and envelope.column_ms == COLUMN_MS and len(envelope.caller) >= 100
    spoken = [column for column, level in enumerate(envelope.agent) if level]
    turn = record["turns"][0]
    assert 14 <= len(spoken) <= 17 and max(spoken) - min(spoken) < 17, "one stretch of 600 ms"
    assert abs(envelope.start_ms + spoken[0] * COLUMN_MS - turn["start_ms"]) <= 120, "where it was heard"
    [report, *_] = [edge["data"] for edge in edges if edge["kind"] == "rtp" and edge["data"]["sent"] > 200]
    assert report["lost"] == 0

    code, out, errors = offhook("call", call_id, OFFHOOK_RECORDINGS=str(desk.recordings))
    assert code == 0 and "a word in private" in out and "nothing was due" in out and "← BYE" in out, errors
