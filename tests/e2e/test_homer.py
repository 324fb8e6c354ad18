"""A Homer that is told of a call over real SIP and RTP, the same call as a vCon, and a Homer that is away."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from parts.program import until
from parts.provider import ANSWER_HZ, Provider
from parts.services import RedisServer, Worker

from tests.worker.records.hep_decoder import decoded
from tests.worker.records.vcon_schema import VCON, wrong_indices

Start = Callable[[int], Worker]


@pytest.fixture
def start(redis: RedisServer, provider: Provider, scripted_agent: Path, tmp_path: Path) -> Iterator[Start]:
    """Start a worker that tells the Homer at this port."""
    started: list[Worker] = []

    def one(port: int) -> Worker:
        worker = Worker(
            tmp_path / "calls",
            REDIS_URL=redis.url,
            OFFHOOK_AGENT=scripted_agent,
            **provider.settings,
            OFFHOOK_HEP=f"127.0.0.1:{port}",
            OFFHOOK_HEP_ID=2001,
            SHOP_FOLDER=tmp_path,
        )
        started.append(worker)
        return worker.ready()

    yield one
    for worker in started:
        assert worker.stop() == 0, worker.text()


@pytest.fixture
def homer() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.setblocking(False)
        yield made


def told(homer: socket.socket, so_far: list[dict[str, Any]]) -> list[dict[str, Any]]:
    while True:
        try:
            so_far.append(decoded(homer.recv(65536)))
        except BlockingIOError:
            return so_far


def first_lines(found: list[dict[str, Any]]) -> list[str]:
    return [one["payload"].split("\r\n")[0] for one in found if one["kind"] == 1]


def test_a_call_at_a_homer_and_as_a_vcon(
    start: Start,
    homer: socket.socket,
    provider: Provider,
    sipp: Any,
    rtp: Any,
    offhook: Callable[..., tuple[int, str, str]],
) -> None:
    desk = start(homer.getsockname()[1])
    media = rtp()
    run = sipp("call", desk.target, rtp=media.port, hold_ms=6000)
    session, call_id = provider.session(), desk.next_call()
    session.says(ANSWER_HZ, 600, "a word in private")
    media.learn_peer()
    with media.sending(bytes(8000 * 2)):
        run.finish()
    record = desk.record(call_id)

    found: list[dict[str, Any]] = []
    until(lambda: len(first_lines(told(homer, found))) >= 7, "the whole ladder at the Homer")
    kinds = [line.removeprefix("SIP/2.0 ").split(" ")[0] for line in first_lines(found)]
    assert kinds == ["INVITE", "100", "180", "200", "ACK", "BYE", "200"]
    assert {one["correlation"] for one in found} == {record["sip_call_id"]}
    assert {one["agent"] for one in found} == {2001}
    invite = found[0]
    assert (invite["source"], invite["target_port"]) == ("127.0.0.1", desk.port) and invite["source_port"] > 0
    assert "m=audio" not in "".join(one["payload"] for one in found)
    reports = [json.loads(one["payload"]) for one in found if one["kind"] == 34]
    assert any(report["TOTAL_PK"] > 0 and 1 <= report["MOS"] <= 4.5 for report in reports), reports

    code, out, errors = offhook("call", call_id, "--vcon", OFFHOOK_RECORDINGS=str(desk.recordings))
    assert code == 0, errors
    vcon = json.loads(out)
    jsonschema.Draft202012Validator(VCON).validate(vcon)
    assert wrong_indices(vcon) == [] and "a word in private" in out
    [dialog] = vcon["dialog"]
    assert len(dialog["body"]) > 5 * 16_000 * 2 * 4 / 3, "five seconds and more of both voices"


def test_a_homer_that_is_away_is_waited_for_by_nobody(
    start: Start, homer: socket.socket, provider: Provider, sipp: Any, rtp: Any
) -> None:
    port = homer.getsockname()[1]
    homer.close()
    desk = start(port)
    media = rtp()
    run = sipp("call", desk.target, rtp=media.port, hold_ms=2000)
    provider.session()
    call_id = desk.next_call()
    run.finish()
    assert desk.record(call_id)["outcome"] == "completed"
    assert [line["event"] for line in desk.logs].count("hep_not_sent") == 1
