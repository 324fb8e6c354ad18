"""Keys by SIP INFO, of a caller whose offer has no telephone-event: a tool has them, and nothing else does."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from parts.program import until
from parts.provider import Provider
from parts.services import RedisServer, Worker

from tests.telephony.peers import Peer

CARD = "4929123456781234"
TOOL = '''
import hashlib
from typing import Annotated
from pydantic import SecretStr
from tools import Digits, tool

@tool(mode="inline")
def pay(card: Annotated[SecretStr, Digits(13, 19, ask="Please type your card number.")]) -> dict:
    """Pay by card."""
    return {"proof": hashlib.sha256(card.get_secret_value().encode()).hexdigest()}
'''


@pytest.fixture
def homer() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.setblocking(False)
        yield made


@pytest.fixture
def worker(redis: RedisServer, provider: Provider, tmp_path: Path, homer: socket.socket) -> Iterator[Worker]:
    (tmp_path / "till.py").write_text(TOOL)
    (tmp_path / "agent.toml").write_text(
        'greeting = "Hello."\n[tools]\nmodules = ["till.py"]\n[fillers]\ntone = false\n'
    )
    worker = Worker(
        tmp_path / "calls",
        REDIS_URL=redis.url,
        OFFHOOK_AGENT=tmp_path / "agent.toml",
        **provider.settings,
        OFFHOOK_JOURNAL=tmp_path / "journals",
        OFFHOOK_HEP=f"127.0.0.1:{homer.getsockname()[1]}",
        OFFHOOK_LOG_LEVEL="debug",
    )
    yield worker.ready()
    worker.stop()


def test_a_tool_has_what_is_typed_by_info_and_nothing_else_does(
    worker: Worker, provider: Provider, homer: socket.socket, tmp_path: Path
) -> None:
    caller = Peer(worker.port)
    tag = caller.call("info-call")
    session = provider.session()
    session.wait("session.update")
    paid = session.calls("pay")
    session.wait("response.create", lambda one: one["response"].get("metadata", {}).get("purpose") == "approval")
    for number, key in enumerate(CARD + "#", 2):
        kind, body = ("dtmf-relay", f"Signal={key}\r\nDuration=160\r\n") if number % 2 else ("dtmf", key)
        caller.send("INFO", "info-call", "f1", to_tag=tag, cseq=number, kind=f"application/{kind}", content=body)
        assert caller.until(rf"SIP/2\.0 \d+[^\r]*(?:\r\n[^\r]+)*\r\nCSeq: {number} INFO").split()[1] in ("200", "500")
    output = session.output(paid)
    assert output["proof"] == hashlib.sha256(CARD.encode()).hexdigest()
    caller.send("BYE", "info-call", "f1", to_tag=tag, cseq=40)
    caller.at.close()
    until(lambda: list((tmp_path / "calls").glob("*.json")), "the record")
    until(lambda: list((tmp_path / "journals").rglob("*")), "the journal")

    frames = b""
    while True:
        try:
            frames += homer.recv(65536)
        except BlockingIOError:
            break
    assert b"INFO" in frames, "Homer is told that there was one"
    there = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    typed = str(session.got("conversation.item.create")).encode()
    for text in (frames, worker.text(100_000).encode(), typed, *there):
        assert b"Signal=" not in text and b"Duration=160" not in text
        assert not [n for n in range(len(CARD) - 5) if CARD[n : n + 6].encode() in text]
