"""What callers notice of several workers behind the proxy and the media relay: real workers, Kamailio, rtpengine, sipp.

    uv run python tests/bench/front.py --pjsua2 WHEEL spread     20 calls at once on three workers; a fourth joins
    uv run python tests/bench/front.py --pjsua2 WHEEL kill       10 calls/s and 5 spoken calls; one worker gets SIGKILL
    uv run python tests/bench/front.py --pjsua2 WHEEL cost       CPU of proxy and relay per call, the relay's delay
    uv run python tests/bench/front.py --pjsua2 WHEEL rolling    5 calls/s for a minute; all workers are replaced
    uv run python tests/bench/front.py --pjsua2 WHEEL carried    1 and 2 workers on a core each, full of audio

Everything runs on this machine's loopback, callers and the realtime service included: delays are the machine's, too.
The own build is needed for more than four calls on a worker. Kamailio, rtpengine and sipp are Debian's.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import logging
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "e2e"))
sys.path.append(str(Path(__file__).parents[2]))

from parts import sound
from parts.caller import Call, Phone
from parts.front import INNER, OUTER, Front
from parts.program import ROOT, Program, descendants, until
from parts.provider import ANSWER_HZ, Provider
from parts.services import RedisServer, Worker
from rig.agent import AGENT
from rig.front_load import FrontLoad
from rig.worker import pin
from websockets.exceptions import ConnectionClosed

CALLER_HZ = 700
SPOKEN = 5
CARRIED = {1: (50, 100, 150, 200), 2: (100, 150, 200)}


class Bench:
    """The front, what workers stand on, and the workers, by their number."""

    def __init__(self, folder: Path, site: Path | None) -> None:
        self.folder, self.site = folder, site
        self.agent = folder / "agent.toml"
        self.agent.write_text('goodbye = "Goodbye."\n[tools]\nmodules = []\n')
        self.redis, self.provider = RedisServer(folder), Provider().start()
        self.realtime_url = self.provider.url
        self.redis.start()
        self.front = Front(folder, PROXY_FLOOD=5000)
        self.workers: list[Worker] = []
        self._phone: Phone | None = None

    def start(self, count: int) -> list[Worker]:
        """More workers; returns when all are in rotation."""
        before = self.rotating()
        found = [self._worker(len(self.workers) + number + 1) for number in range(count)]
        self.workers += found
        for worker in found:
            worker.ready(120)
        self.front.in_rotation(before + count, 120)
        return found

    def _worker(self, number: int) -> Worker:
        settings: dict[str, Any] = {
            "REDIS_URL": self.redis.url,
            "OFFHOOK_AGENT": self.agent,
            "OFFHOOK_REALTIME": "gateway",
            "OFFHOOK_REALTIME_URL": self.realtime_url,
            "OFFHOOK_MAX_CALLS": 400,
        }
        if self.site is not None:
            settings["PYTHONPATH"] = self.site
        return self.front.worker(self.folder / "calls", f"127.0.2.{number}", **settings)

    @property
    def phone(self) -> Phone:
        if self._phone is None:
            self._phone = Phone(self.folder, self.site).ready()
        return self._phone

    def rotating(self) -> int:
        return sum(flags.startswith("A") for flags, _ in self.front.destinations().values())

    def split(self) -> list[int]:
        """How many calls each worker in rotation has, as the proxy counts them."""
        return [calls for flags, calls in self.front.destinations().values() if flags.startswith("A")]

    def cpu_s(self) -> tuple[float, float]:
        """CPU time of the proxy and of the media relay so far (s)."""
        proxy, media = (sum(cpu_s(pid) for pid in tree(one)) for one in (self.front.proxy, self.front.media))
        return proxy, media

    def stop(self) -> None:
        for worker in self.workers:
            worker.kill()
        if self._phone is not None:
            self._phone.stop()
        self.front.stop()
        self.redis.kill()
        self.provider.stop()


def tree(program: Program | None) -> list[int]:
    """A program's processes."""
    assert program is not None
    return [program.pid, *descendants(program.pid)]


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def say(text: str) -> None:
    print(text, flush=True)


def at_once(bench: Bench, count: int) -> list[Call]:
    """So many calls, all INVITEs before the first answer is waited for."""
    ids = [str(bench.phone.do("invite", uri=bench.front.uri)) for _ in range(count)]
    for call_id in ids:
        bench.phone.event("MediaActive", 60, call_id=call_id)
    return [Call(bench.phone, call_id) for call_id in ids]


def spread(bench: Bench) -> None:
    """Three workers, 20 calls at once, heard both ways; then a fourth worker."""
    bench.start(3)
    calls = at_once(bench, 20)
    say(f"20 calls at once on 3 workers: {sorted(bench.split())}")
    open_sessions = [one for one in bench.provider.sessions if one.open]
    for session in open_sessions:
        session.says(ANSWER_HZ, 20000)
    tone = bench.folder / "tone.pcm"
    tone.write_bytes(sound.tone(CALLER_HZ, 20000, sound.RATE))
    for call in calls:
        bench.phone.do("say", call_id=call.call_id, path=str(tone))
    before, began = bench.cpu_s(), time.monotonic()
    time.sleep(15)
    after, took = bench.cpu_s(), time.monotonic() - began
    down = [sound.tone_ms(bytes(call.listen().heard), ANSWER_HZ) for call in calls]
    up = [sum(sound.levels(bytes(one.audio)) > -30) * 20 for one in open_sessions]
    say(f"agent heard by {sum(ms > 10000 for ms in down)} of {len(calls)} callers, at least {min(down):.0f} ms")
    say(f"callers heard in {sum(ms > 10000 for ms in up)} of {len(open_sessions)} sessions, at least {min(up):.0f} ms")
    proxy, media = (100 * (new - old) / took for old, new in zip(before, after, strict=True))
    say(f"20 calls up: proxy {proxy:.2f} % of a core, media relay {media:.2f} % ({media / 20:.3f} % a call)")
    for call in calls:
        call.hang_up()
    sipp = Sipp(bench, 10, 30, 3000)
    time.sleep(6)
    began = time.monotonic()
    bench.start(1)
    joined = time.monotonic()
    until(
        lambda: max(bench.split()) - min(bench.split()) <= 1 and min(bench.split()) > 0, lambda: str(bench.split()), 60
    )
    say(
        f"a fourth under 10 calls/s: started in {joined - began:.1f} s,"
        f" even {time.monotonic() - joined:.1f} s after its rotation began"
    )
    say(sipp.finish())


class Sipp:
    """sipp through the front: so many calls a second for so many seconds, each so many ms long."""

    def __init__(self, bench: Bench, rate: int, seconds: int, hold_ms: int) -> None:
        self.total = rate * seconds
        self.stats = bench.folder / f"sipp{time.monotonic_ns()}.csv"
        keys = [word for pair in (("payload", "0"), ("rtpmap", "PCMU/8000"), ("rtp", "9")) for word in ("-key", *pair)]
        command = ["sipp", "-sf", str(ROOT / "tests" / "sipp" / "through.xml"), "-i", OUTER, "-nostdin", "-s", "427"]
        command += ["-m", str(self.total), "-r", str(rate), "-d", str(hold_ms), "-trace_stat", "-stf", str(self.stats)]
        command += ["-fd", "1", "-trace_err", "-error_file", str(self.stats.with_suffix(".err")), "-l", "500"]
        command += ["-trace_rtt", "-rtt_freq", "1"]
        self.process = subprocess.Popen(
            [*command, *keys, bench.front.target],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=bench.folder,
        )

    def finish(self) -> str:
        self.process.wait(180)
        with self.stats.open() as file:
            last = list(csv.DictReader(file, delimiter=";"))[-1]
        good, bad = int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"])
        answered = self.answered_ms()
        errors = self.stats.with_suffix(".err")
        found = (
            re.findall(r"SIP/2\.0 (\d+ [^\r\n]+)|(Aborting call[^\n]{0,80})", errors.read_text())
            if errors.exists()
            else []
        )
        reasons = {"".join(one) for one in found}
        text = f"{len(answered)} of {self.total} calls answered, {self.total - len(answered)} new calls lost"
        late = sum(ms > 1000 for ms in answered)
        text += f"; the latest answer after {max(answered):.0f} ms, {late} after more than a second"
        return f"{text}; {good} ended as they should, {len(answered) - (self.total - bad)} cut {sorted(reasons) or ''}"

    def answered_ms(self) -> list[float]:
        """How long after its INVITE each call was answered (ms)."""
        (path,) = self.stats.parent.glob(f"through_{self.process.pid}_rtt.csv")
        with path.open() as file:
            return [float(row["response_time_ms"]) for row in csv.DictReader(file, delimiter=";")]


def kill(bench: Bench) -> None:
    """10 calls/s, spoken calls on every worker; one worker dies without a word."""
    three = bench.start(3)
    spoken = at_once(bench, SPOKEN)
    # Short calls: those that the dead worker has are lost, and counted apart.
    sipp = Sipp(bench, 10, 30, 300)
    time.sleep(8)
    victim = next(worker for worker in three if worker.calls())
    dead_spoken, has = sum(call["seconds"] > 4 for call in victim.calls()), len(victim.calls())
    os.kill(victim.pid, signal.SIGKILL)
    killed = time.monotonic()
    until(lambda: bench.rotating() == 2, "two in rotation")
    say(
        f"out of rotation {1000 * (time.monotonic() - killed):.0f} ms after SIGKILL;"
        f" it had {has} calls, {dead_spoken} of them spoken"
    )
    until(lambda: sum(call.up for call in spoken) == SPOKEN - dead_spoken, lambda: str([one.up for one in spoken]), 60)
    say(f"its spoken calls' callers heard BYE within {time.monotonic() - killed:.1f} s")
    say(sipp.finish())
    rest = [call for call in spoken if call.up]
    for session in [one for one in bench.provider.sessions if one.open]:
        with contextlib.suppress(ConnectionClosed):  # of a short call that has just ended
            session.says(ANSWER_HZ, 3000)
    time.sleep(5)
    heard = [sound.tone_ms(bytes(call.listen().heard), ANSWER_HZ) for call in rest]
    say(f"{len(rest)} other spoken calls go on: {sum(ms > 2500 for ms in heard)} hear the agent")


def rolling(bench: Bench) -> None:
    """All workers are replaced under traffic, each successor in rotation before its predecessor drains."""
    old = bench.start(3)
    sipp = Sipp(bench, 5, 60, 3000)
    time.sleep(3)
    for worker in old:
        began = time.monotonic()
        bench.start(1)
        worker.signal(signal.SIGTERM)
        code = worker.process.wait(90)
        say(f"replaced in {time.monotonic() - began:.1f} s, exit code {code}")
    say(sipp.finish())


def cost(bench: Bench) -> None:
    """What a call's signalling costs the proxy, its sound the relay, and how much later a packet comes through it."""
    bench.start(2)
    before = bench.cpu_s()
    say(Sipp(bench, 10, 20, 300).finish())
    proxy, media = (new - old for old, new in zip(before, bench.cpu_s(), strict=True))
    say(f"200 calls set up and ended: proxy {1000 * proxy / 200:.2f} ms a call, relay {1000 * media / 200:.2f} ms")
    took = sorted(through_relay(bench, 500) + through_relay(bench, 500))
    direct = sorted(loopback(1000))
    for name, values in (("through the relay", took), ("over loopback alone", direct)):
        p50, p99 = values[len(values) // 2], values[len(values) * 99 // 100]
        say(f"a packet {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms ({len(values)} of 1000 came)")


def carried(bench: Bench) -> None:
    """One worker on core 0, then another one on core 1, each with more calls from step to step.

    With one worker the load has core 1 with the proxy and the relay; with two it shares the cores with all of them.
    """
    bench.agent.write_text(AGENT)
    bench.front.stop()
    bench.front = Front(bench.folder, PROXY_FLOOD=5000, OFFHOOK_RTP_PORTS="20000-27999")
    for workers in (1, 2):
        load = FrontLoad(bench.folder, bench.front.target, core=1)
        bench.realtime_url = load.server.url
        try:
            for core, worker in enumerate(bench.start(workers)):
                pin(worker.pid, core)
            parts = {
                "workers": lambda: [one.pid for one in bench.workers],
                "proxy": lambda: tree(bench.front.proxy),
                "relay": lambda: tree(bench.front.media),
            }
            for calls in CARRIED[workers]:
                up = load.reach(calls)
                say(f"{workers} worker(s), {up} of {calls} up {bench.split()}: {load.measure(15, parts)}")
        finally:
            load.stop()
            for worker in bench.workers:
                worker.kill()
            bench.workers.clear()
            until(lambda: bench.rotating() == 0, "nobody in rotation", 60)


def loopback(packets: int) -> list[float]:
    """How long packets take from socket to socket (ms), 50 a second."""
    with udp() as one, udp() as other:
        return timed(one, other, other.getsockname(), packets)


def through_relay(bench: Bench, packets: int) -> list[float]:
    """The same through rtpengine, as a call has it."""
    with udp() as caller, udp() as worker, udp() as control:
        control.connect((INNER, int(bench.front.settings["MEDIA_PORT"])))
        words = {"call-id": str(time.monotonic_ns()), "from-tag": "a"}
        offer = ng(control, command="offer", sdp=sdp(caller), direction=["ext", "int"], **words)
        answer = ng(control, command="answer", sdp=sdp(worker), **{"to-tag": "b"}, **words)
        inside, outside = (int(re.findall(r"m=audio (\d+)", text)[0]) for text in (offer, answer))
        for _ in range(20):  # the relay learns where both are
            caller.sendto(packet(0), (OUTER, outside))
            worker.sendto(packet(0), (INNER, inside))
            time.sleep(0.02)
        while readable(worker):
            worker.recv(200)
        found = timed(caller, worker, (OUTER, outside), packets)
        ng(control, command="delete", **words)
        return found


def timed(source: socket.socket, sink: socket.socket, target: tuple[str, int], packets: int) -> list[float]:
    found = []
    for number in range(packets):
        sent = time.perf_counter()
        source.sendto(packet(number), target)
        try:
            sink.recv(200)
        except TimeoutError:
            continue
        found.append(1000 * (time.perf_counter() - sent))
        time.sleep(0.02)
    return found


def readable(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


def udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((OUTER, 0))
    sock.settimeout(0.5)
    return sock


def packet(number: int) -> bytes:
    return bytes([0x80, 0]) + number.to_bytes(2, "big") + (160 * number).to_bytes(4, "big") + b"ssrc" + bytes(160)


def sdp(sock: socket.socket) -> str:
    host, port = sock.getsockname()
    return f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"


def ng(control: socket.socket, **words: Any) -> str:
    """Ask rtpengine by its NG protocol: a cookie and a bencoded dictionary; returns its answer as text."""
    control.send(b"%d " % time.monotonic_ns() + bencoded(words))
    answer = control.recv(8000).decode()
    assert "6:result2:ok" in answer, answer
    return answer


def bencoded(value: Any) -> bytes:
    if isinstance(value, dict):
        return b"d" + b"".join(bencoded(name) + bencoded(value[name]) for name in sorted(value)) + b"e"
    if isinstance(value, list):
        return b"l" + b"".join(bencoded(one) for one in value) + b"e"
    text = str(value).encode()
    return str(len(text)).encode() + b":" + text


BENCHES: dict[str, Callable[[Bench], None]] = {
    "spread": spread,
    "kill": kill,
    "cost": cost,
    "rolling": rolling,
    "carried": carried,
}


def main() -> None:
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # workers that die leave handshakes behind
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=BENCHES, nargs="+")
    parser.add_argument("--pjsua2", default=os.environ.get("OFFHOOK_TEST_PJSUA2"), help="a wheel or folder")
    options = parser.parse_args()
    for which in options.which:
        with tempfile.TemporaryDirectory(prefix="fr-") as name:
            folder, site = Path(name), Path(options.pjsua2) if options.pjsua2 else None
            if site is not None and site.is_file():
                with zipfile.ZipFile(site) as wheel:
                    wheel.extractall(folder / "site")
                site = folder / "site"
            bench = Bench(folder, site)
            say(f"-- {which} (load of the machine before: {os.getloadavg()[0]:.1f})")
            try:
                BENCHES[which](bench)
            finally:
                bench.stop()


if __name__ == "__main__":
    main()
