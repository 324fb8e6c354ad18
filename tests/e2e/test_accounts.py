"""A worker with two accounts at carriers of their own: calls by each, one carrier that is silent, orders by account."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.program import until
from parts.provider import Provider
from parts.services import RedisServer, Worker

from tests.telephony.carrier import Carrier, header

TOKEN = "a-token-of-programs"
AGENT = """
name = "desk"
[outbound]
screen = false
[[route]]
account = "munich"
name = "bavarian"
tell = ["account"]
"""
FILE = """
[[account]]
name = "berlin"
registrar = "{one}"
username = "line7"
number = "+4930555"
password_file = "berlin"
[[account]]
name = "munich"
registrar = "{two}"
username = "line8"
"""


@pytest.fixture
def carriers() -> Iterator[tuple[Carrier, Carrier]]:
    made = (
        Carrier(host="127.0.1.1", realm="A"),
        Carrier(host="127.0.1.2", realm="B", username="line8", password="pepper"),
    )
    yield made
    for one in made:
        one.close()


@pytest.fixture
def start(redis: RedisServer, provider: Provider, tmp_path: Path, carriers: Any) -> Iterator[Callable[[], Worker]]:
    one, two = carriers
    (tmp_path / "agent.toml").write_text(AGENT)
    (tmp_path / "berlin").write_text("sesame\n")
    (tmp_path / "accounts.toml").write_text(FILE.format(one=one.address, two=two.address))
    started: list[Worker] = []

    def begin() -> Worker:
        worker = Worker(
            tmp_path / "calls",
            REDIS_URL=redis.url,
            OFFHOOK_AGENT=tmp_path / "agent.toml",
            **provider.settings,
            OFFHOOK_DIAL_TOKEN=TOKEN,
            OFFHOOK_DIAL_TO="+49*",
            OFFHOOK_SIP_ACCOUNTS=tmp_path / "accounts.toml",
            OFFHOOK_SIP_PASSWORD_MUNICH="pepper",
            OFFHOOK_DRAIN_SECONDS="0",
        )
        started.append(worker)
        return worker.ready()

    yield begin
    for worker in started:
        worker.stop()
        assert not [word for word in ("sesame", "pepper") if word in worker.text(10_000)]


def order(worker: Worker, **body: Any) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(worker.status_url + "/calls", json.dumps(body).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def asked(worker: Worker, path: str) -> str:
    try:
        with urllib.request.urlopen(worker.status_url + path, timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.read().decode())


def parts(worker: Worker) -> Any:
    return json.loads(asked(worker, "/readyz"))["parts"]


def test_calls_come_and_go_by_each_account(start: Callable[[], Worker], provider: Provider, carriers: Any) -> None:
    one, two = carriers
    worker = start()
    until(lambda: parts(worker)["accounts"]["ok"], lambda: str(parts(worker)))
    assert parts(worker)["registration"]["detail"] == "2 of 2 accounts"

    two.calls("", call="in-munich", to="line8")
    told = provider.session().wait("session.update")["session"]["instructions"]
    assert 'account: "munich"' in told
    live = until(lambda: json.loads(asked(worker, "/calls"))["calls"], "the call is up")
    assert live[0]["account"] == "munich"

    status, said = order(worker, to="+49 89 1", account="berlin")
    assert status == 202, said
    one.until(lambda: "Proxy-Authorization" in (one.requests("INVITE") or [""])[-1], "it is called by berlin's digest")
    invite = one.requests("INVITE")[-1]
    assert invite.startswith(f"INVITE sip:+49891@{one.address} ")
    assert "<sip:+4930555@127.0.1.1>" in header(invite, "From")
    by_number = order(worker, to="+49 89 1", **{"from": "+4930555"})
    assert by_number[0] == 202
    assert order(worker, to="+49 89 1", account="bonn")[1]["error"] == (
        "account: there is no 'bonn'; there are berlin, munich"
    )

    metrics = asked(worker, "/metrics")
    assert 'offhook_sip_account_registered{account="berlin"} 1.0' in metrics and "offhook_sip_registered 1.0" in metrics


def test_one_carrier_refuses_and_the_worker_is_ready(start: Callable[[], Worker], carriers: Any) -> None:
    one, two = carriers
    two.says = "403 Forbidden"
    worker = start()
    until(lambda: "403" in parts(worker)["accounts"]["detail"], lambda: str(parts(worker)))
    until(lambda: json.loads(asked(worker, "/readyz"))["ready"], lambda: str(parts(worker)))
    assert parts(worker)["registration"] == {"ok": True, "detail": "1 of 2 accounts"}
    status, said = order(worker, to="+49 89 1", account="munich")
    assert status == 503 and "account munich is not registered (403 Forbidden)" in said["error"]
    metrics = asked(worker, "/metrics")
    assert 'offhook_sip_account_registered{account="munich"} 0.0' in metrics
    assert "offhook_sip_registered 0.0" in metrics
    one.calls("", call="in-berlin", to="line7")
    until(lambda: json.loads(asked(worker, "/calls"))["calls"], "the other's calls go on")
