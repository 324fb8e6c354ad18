"""Helpers for tests with real SIP: endpoints in processes of their own, sipp and baresip where installed."""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_udp_port
from tests.sipp.run import SippRun
from tests.telephony.peers import Peer

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
OWN_BUILD = os.environ.get("OFFHOOK_TEST_PJSUA2")
"""A wheel made by docker/build-pjsua2, or a folder that it is unpacked in: what runs here runs on it too."""
BOUND_S = 8.0


class EndpointProcess:
    """A process that runs endpoint_process.py."""

    def __init__(self, options: dict[str, Any], site: Path | None) -> None:
        path = os.pathsep.join(str(p) for p in (site, os.environ.get("PYTHONPATH"), ROOT) if p)
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "endpoint_process.py"), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "PYTHONFAULTHANDLER": "1"},
        )
        self.log: list[str] = []
        self.seen: list[dict[str, Any]] = []
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._number = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith('{"reply"'):
                self._replies.put(json.loads(line))
            elif line.startswith('{"event"'):
                self._events.put(json.loads(line))
            else:
                self.log.append(line)
        self._events.put({"event": "Eof"})
        self._replies.put({"error": "the process is gone"})

    def next(self, name: str, *, within: float = BOUND_S, **fields: Any) -> dict[str, Any]:
        """The next event of that name whose fields are so; those before it are kept in `seen`."""
        deadline = time.monotonic() + within
        while True:
            try:
                event = self._events.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {name} {fields} in {within} s; seen {self.seen[-8:]}\n{self.text}") from None
            self.seen.append(event)
            if event["event"] == name and all(event.get(k) == v for k, v in fields.items()):
                return event
            assert event["event"] != "Eof", f"the process ended ({self.process.wait(5)}):\n{self.text}"

    def drain(self) -> None:
        """Move the events that are waiting to `seen`."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.seen.append(self._events.get_nowait())

    def do(self, name: str, **arguments: Any) -> Any:
        """Run a command there; raises AssertionError with its error."""
        assert self.process.stdin is not None
        self._number += 1
        self.process.stdin.write(json.dumps({"id": self._number, "do": name, **arguments}) + "\n")
        self.process.stdin.flush()
        reply = self._replies.get(timeout=BOUND_S)
        assert "error" not in reply, reply["error"] + "\n" + self.text
        return reply["result"]

    def is_held_and_taken_up(self, call_id: str) -> None:
        """Follow a call that its caller holds, takes up again and ends."""
        counters = lambda: self.do("counters", call_id=call_id)  # noqa: E731
        self.next("MediaHeld", held=True)
        before = counters()
        self.until(lambda: counters()["pushed"] >= before["pushed"] + 10, "silence reaches the bridge while held")
        assert counters()["pulled"] <= before["pulled"] + 2, "playout stands while held"
        self.next("MediaHeld", held=False)
        pulled = counters()["pulled"]
        self.until(lambda: counters()["pulled"] >= pulled + 5, "playout goes on")
        self.next("CallEnded", by="caller")

    def until(self, condition: Callable[[], Any], what: str, within: float = BOUND_S) -> Any:
        """Ask again until the condition holds."""
        return until(condition, what, within)

    @property
    def text(self) -> str:
        """What the process logged."""
        return "".join(self.log)

    def stop(self) -> int:
        """Stop it cleanly; returns its exit code."""
        if self.process.poll() is None:
            try:
                self.do("stop")
            except (AssertionError, OSError, queue.Empty):
                self.process.kill()
        code = self.process.wait(15)
        self._reader.join(5)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        return code


def until(condition: Callable[[], Any], what: str, within: float = BOUND_S) -> Any:
    """Ask again until the condition holds; returns what it returned."""
    deadline = time.monotonic() + within
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def own_site(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """Folder to put on the path for the own build; None without one."""
    if not OWN_BUILD:
        return None
    path = Path(OWN_BUILD)
    if path.suffix == ".whl":
        site = tmp_path_factory.mktemp("own-pjsua2")
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(site)
        return site
    return path


@pytest.fixture(params=["installed", *(["own"] if OWN_BUILD else [])])
def build(request: pytest.FixtureRequest) -> str:
    """Which pjsua2: the installed one, and the own build where OFFHOOK_TEST_PJSUA2 names it."""
    return str(request.param)


@pytest.fixture
def start_endpoint(build: str, own_site: Path | None) -> Iterator[Callable[..., EndpointProcess]]:
    """Start endpoints; all must be alive at the end, and end cleanly."""
    started: list[EndpointProcess] = []

    def start(*, answer: int | None = 200, ring: bool = False, **settings: Any) -> EndpointProcess:
        defaults = {"port": 0, "rtp_ports": [0, 0]}
        options = {"settings": {**defaults, **settings}, "answer": answer, "ring": ring}
        endpoint = EndpointProcess(options, own_site if build == "own" else None)
        started.append(endpoint)
        return endpoint

    yield start
    codes = [(endpoint.stop(), endpoint.text) for endpoint in started]
    assert all(code == 0 for code, _ in codes), codes


class Sipp(SippRun):
    """A run of sipp with a scene of tests/sipp."""

    def __init__(self, scene: str, target: str, folder: Path, *options: str, **keys: Any) -> None:
        own = ["-timeout", "12s", "-d", str(keys.pop("hold_ms", 300)), "-m", str(keys.pop("calls", 1)), *options]
        found = {"payload": 0, "rtpmap": "PCMU/8000", "rtp": free_udp_port(), **keys}
        super().__init__(scene, target, folder, own, found)

    def finish(self, within: float = 12.0) -> None:
        """Wait for its end; fails the test unless every call went by the scene."""
        super().finish(within)


@pytest.fixture
def sipp(tmp_path: Path) -> Iterator[Callable[..., Sipp]]:
    """Start sipp scenarios; skips where sipp isn't installed."""
    if not shutil.which("sipp"):
        pytest.skip("sipp is not installed (Debian: sip-tester)")
    runs: list[Sipp] = []

    def start(scenario: str, target: str = "", *options: str, **keys: Any) -> Sipp:
        runs.append(Sipp(scenario, target, tmp_path, *options, **keys))
        return runs[-1]

    yield start
    for run in runs:
        run.stop()


@pytest.fixture
def port() -> int:
    """A free UDP port."""
    return free_udp_port()


class RawSip:
    """Sends what it is given over UDP or TCP, and collects the status lines that come back."""

    def __init__(self, port: int, kind: socket.SocketKind = socket.SOCK_DGRAM, host: str = "127.0.0.1") -> None:
        self.kind = kind
        self.host = f"[{host}]" if ":" in host else host
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        self.socket.bind((host, 0))
        self.socket.connect(("::1" if ":" in host else "127.0.0.1", port))
        self.socket.settimeout(2)
        self.port = self.socket.getsockname()[1]

    def invite(self, *, call_id: str = "raw", body: str = "", headers: str = "", length: int | None = None) -> bytes:
        transport = "UDP" if self.kind == socket.SOCK_DGRAM else "TCP"
        here = "[::1]" if self.host == "[::1]" else "127.0.0.1"
        kind = "Content-Type: application/sdp\r\n" if body or length is not None else ""
        text = (
            f"INVITE sip:427@{here} SIP/2.0\r\n"
            f"Via: SIP/2.0/{transport} {here}:{self.port};rport;branch=z9hG4bK{call_id.replace(':', '-')}\r\n"
            f"From: <sip:raw@{here}>;tag={call_id.replace(':', '-')}\r\nTo: <sip:427@{here}>\r\nCall-ID: {call_id}\r\n"
            f"CSeq: 1 INVITE\r\nContact: <sip:raw@{here}:{self.port}>\r\nMax-Forwards: 70\r\n{headers}"
            f"{kind}Content-Length: {len(body) if length is None else length}\r\n\r\n{body}"
        )
        return text.encode()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def status(self) -> int:
        """The next response's status over 100; 0 when nothing comes."""
        while True:
            try:
                answer = self.socket.recv(65535)
            except TimeoutError:
                return 0
            codes = [int(code) for code in re.findall(rb"SIP/2.0 (\d{3})", answer)]
            final = [code for code in codes if code > 100]
            if final:
                return final[-1]
            if not answer:
                return 0

    def answer(self) -> str:
        """The next final response, as it came."""
        while True:
            text = self.socket.recv(65535).decode()
            if not text.startswith("SIP/2.0 1"):
                return text

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def raw() -> Iterator[Callable[..., RawSip]]:
    """Open raw SIP sockets."""
    opened: list[RawSip] = []

    def open_(*arguments: Any, **options: Any) -> RawSip:
        opened.append(RawSip(*arguments, **options))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


class Rtp:
    """One RTP socket of a caller: sends tones and keys, counts what comes."""

    DIGITS = "0123456789*#ABCD"

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.1)
        self.port = int(self.socket.getsockname()[1])
        self.peer: tuple[str, int] | None = None
        self.received = 0
        self.payloads: list[bytes] = []
        self.packets: list[bytes] = []
        self._sequence, self._timestamp = 100, 16000
        self._ssrc = os.urandom(4)
        self._quit = threading.Event()
        self._receiver = threading.Thread(target=self._receive, daemon=True)
        self._receiver.start()

    def _receive(self) -> None:
        while not self._quit.is_set():
            try:
                packet, source = self.socket.recvfrom(2048)
            except (TimeoutError, ConnectionError):
                continue
            except OSError:
                return
            self.received += 1
            self.payloads.append(packet[12:])
            self.packets.append(packet)
            if self.peer is None:
                self.peer = source

    def learn_peer(self) -> None:
        """Wait for the other side's first packet: its RTP is symmetric."""
        until(lambda: self.peer is not None, "a first RTP packet from the endpoint")

    def send(self, payload_type: int, payload: bytes, *, marker: bool = False, advance: int = 160) -> None:
        """Send one packet."""
        assert self.peer is not None
        head = bytes([0x80, payload_type | (0x80 if marker else 0)]) + self._sequence.to_bytes(2, "big")
        self.socket.sendto(head + self._timestamp.to_bytes(4, "big") + self._ssrc + payload, self.peer)
        self._sequence = self._sequence + 1 & 0xFFFF
        self._timestamp += advance

    def send_digit(self, digit: str, *, marker: bool = True) -> None:
        """One key press as RFC 4733 sends it: updates of growing duration, the end three times."""
        event = self.DIGITS.index(digit)
        for step in range(1, 8):
            end = 0x80 if step > 5 else 0
            body = bytes([event, end | 10]) + (160 * min(step, 6)).to_bytes(2, "big")
            self.send(101, body, marker=marker and step == 1, advance=0)
            time.sleep(0.02)  # the pace of RTP
        self._timestamp += 1600

    @contextlib.contextmanager
    def sending_tone(self, hz: int) -> Iterator[None]:
        """Send a PCMU tone in real time meanwhile."""
        stop = threading.Event()
        sender = threading.Thread(target=self._send_tone, args=(hz, stop), daemon=True)
        sender.start()
        try:
            yield
        finally:
            stop.set()
            sender.join(2)

    def _send_tone(self, hz: int, stop: threading.Event) -> None:
        began, frames = time.monotonic(), 0
        while not stop.wait(max(0.0, began + frames * 0.02 - time.monotonic())):
            turns = (math.tau * hz * (frames * 160 + n) / 8000 for n in range(160))
            self.send(0, bytes(ulaw(round(8000 * math.sin(turn))) for turn in turns))
            frames += 1

    def close(self) -> None:
        """Stop receiving."""
        self._quit.set()
        self._receiver.join(2)
        self.socket.close()


def ulaw(sample: int) -> int:
    """One 16-bit sample as G.711 mu-law."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 132
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> exponent + 3 & 0x0F) & 0xFF


@pytest.fixture
def rtp() -> Iterator[Callable[[], Rtp]]:
    """Open RTP sockets."""
    opened: list[Rtp] = []

    def open_() -> Rtp:
        opened.append(Rtp())
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


@pytest.fixture
def run_python(build: str, own_site: Path | None) -> Callable[[str], str]:
    """Run code that uses pjsua2 in a process of its own; it must print "good" at its end. Returns its output."""

    def run(code: str) -> str:
        sites = [own_site if build == "own" else None, os.environ.get("PYTHONPATH"), ROOT]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(str(site) for site in sites if site)}
        env["PYTHONFAULTHANDLER"] = "1"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=25)
        assert done.returncode == 0 and done.stdout.endswith("good\n"), done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture
def peer() -> Iterator[Callable[[int], Peer]]:
    """Make user agents that call this port."""
    made: list[Peer] = []

    def make(port: int) -> Peer:
        made.append(Peer(port))
        return made[-1]

    yield make
    for one in made:
        one.at.close()
