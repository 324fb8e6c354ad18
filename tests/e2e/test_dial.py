"""POST /calls on a real worker: another program has it call somebody, who answers or doesn't."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.caller import Phone
from parts.program import until
from parts.provider import Provider
from parts.services import RedisServer, Worker

TOKEN = "a-token-of-programs"
AGENT = """
name = "desk"
instructions = "You are the order desk."
[outbound]
screen = false
ring_seconds = 2
[[route]]
dialled = "nobody"
name = "courier"
instructions = "You are the courier."
"""


@pytest.fixture(scope="module")
def phone(own_folder: Path) -> Iterator[Phone]:
    phone = Phone(own_folder, username="bob").ready()
    yield phone
    phone.stop()


@pytest.fixture
def worker(own_folder: Path, redis: RedisServer, provider: Provider, tmp_path: Path, phone: Phone) -> Iterator[Worker]:
    agent = own_folder / "agent.toml"
    agent.write_text(AGENT)
    worker = Worker(
        tmp_path / "calls",
        REDIS_URL=redis.url,
        OFFHOOK_AGENT=agent,
        **provider.settings,
        OFFHOOK_DIAL_TOKEN=TOKEN,
        OFFHOOK_DIAL_TO=f"+49*, sip:bob@127.0.0.1:{phone.port}",
        OFFHOOK_DIAL_FROM="+4930555",
        OFFHOOK_CALL_BACK_URI=f"sip:{{caller}}@127.0.0.1:{phone.port}",
    )
    yield worker.ready()
    worker.stop()


def order(worker: Worker, key: str | None = None, **body: Any) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    if key is not None:
        headers["Idempotency-Key"] = key
    request = urllib.request.Request(worker.status_url + "/calls", json.dumps(body).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_who_is_ordered_is_called_told_why_and_recorded(worker: Worker, provider: Provider, phone: Phone) -> None:
    context = 'The parcel "4711" lies at the front door.'
    body = {"to": "+49 30 1234", "from": "+4930555", "context": context, "agent": "courier"}
    status, said = order(worker, "one", **body, headers={"X-Parcel": "4711"})
    assert status == 202, said
    assert order(worker, "one", **body, headers={"X-Parcel": "4711"}) == (202, said)
    ringing = phone.rings()
    assert (ringing["caller"], ringing["dialled"]) == ("+4930555", "+49301234")
    call = phone.pick_up(ringing, says="")
    told = provider.session().wait("session.update")["session"]["instructions"]
    assert told.startswith("You are the courier.") and json.dumps(context) in told
    call.waits(500).hang_up()
    record = worker.record(said["call_id"])
    assert (record["dialled"], record["agent"], record["answered_ms"] is not None) == ("+49301234", "courier", True)
    assert len(phone.events("IncomingCall")) == 1, "the second order was the same"


def test_who_does_not_answer_rings_no_longer_than_the_agent_says(worker: Worker, phone: Phone) -> None:
    before = len(phone.events("IncomingCall"))
    status, said = order(worker, to=f"sip:bob@127.0.0.1:{phone.port}")
    assert status == 202, said
    phone.rings(before + 1)
    record = worker.record(said["call_id"])
    assert record["answered_ms"] is None
    dialling = record["dialling"]
    assert (dialling["outcome"], dialling["sip_status"], dialling["rang_ms"] is not None) == ("no_answer", None, True)
    until(lambda: len(phone.events("CallEnded")) > before, "it rings no more")


def test_nobody_is_called_whom_no_list_has_and_no_agent_that_is_not_there(worker: Worker, phone: Phone) -> None:
    before = len(phone.events("IncomingCall"))
    assert order(worker, to="+43 1 234")[0] == 403
    assert order(worker, to=f"sip:eve@127.0.0.1:{phone.port}")[0] == 403
    assert order(worker, to="+49301", headers={"Replaces": "x"})[0] == 400
    status, said = order(worker, to="+49301", agent="nobody")
    assert status == 400 and "'courier', 'desk'" in said["error"]
    assert len(phone.events("IncomingCall")) == before
