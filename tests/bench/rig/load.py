"""The whole load: a worker on a core of its own, and on another all that stands around it, hundreds of calls deep."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rig import certificate, srtp
from rig.agent import AGENT
from rig.child import cpu_s
from rig.cores import Cores, cores
from rig.dialler import Dialler
from rig.load_server import Appended, LoadServer
from rig.rtp_load import RtpLoad, Taken
from rig.sipp import FOR_EVER_MS, Sipp
from rig.variant import Variant
from rig.worker import Usage, Worker, recordings_key

WORKER_CORE, LOAD_CORE = 0, 1
GIVE_UP_S = 15.0
KEYS = {"PCMU": {"payload": "0", "rtpmap": "PCMU/8000"}, "G722": {"payload": "9", "rtpmap": "G722/8000"}}


@dataclass(frozen=True, slots=True)
class Window:
    """All that was measured in a span of time."""

    begin: Usage
    end: Usage
    cores_begin: Cores
    cores_end: Cores
    metrics_begin: dict[str, float]
    metrics_end: dict[str, float]
    underruns: int | None
    """In calls that are still up at the end; None: this worker does not say."""
    heard: Taken
    appended: Appended
    signalling_cpu: float
    """The share of a core that the callers' signalling used."""
    beside_cpu: float
    """The share that this process used."""


@dataclass(frozen=True, slots=True)
class Began:
    """How all stood when a window began."""

    metrics: dict[str, float]
    underruns: int | None
    signalling_s: float
    own_s: float
    cores: Cores
    usage: Usage


@dataclass(slots=True)
class Load:
    """What runs."""

    worker: Worker
    server: LoadServer
    rtp: RtpLoad
    folder: Path
    codec: str = "PCMU"
    authority: str = ""
    """Whose certificates callers over TLS believe; empty: they come over UDP."""
    key: bytes = b""
    """Theirs, of SRTP."""
    callers: list[Sipp | Dialler] = field(default_factory=list)

    def dial(self, calls: int, per_second: float, hold_ms: int = FOR_EVER_MS) -> Sipp | Dialler:
        """Begin calls at a rate."""
        times = {"calls": calls, "per_second": per_second, "hold_ms": hold_ms, "core": LOAD_CORE}
        one: Sipp | Dialler
        if self.authority:
            secret = {"transport": "tls", "authority": self.authority, "key": self.key}
            one = Dialler(self.worker.targets["tls"], self.rtp.port, **secret, **times)
        else:
            one = Sipp(self.worker.target, self.rtp.port, self.folder, keys=KEYS[self.codec], **times)
        self.callers.append(one)
        return one

    def up(self) -> int:
        """Calls with audio and a session."""
        return min(self.rtp.streams()[0], self.server.connections()[0])

    def reach(self, calls: int, per_second: float) -> int:
        """Dial until so many calls are up; returns how many are when that is so, or when no more come."""
        more = calls - self.up()
        if more > 0:
            self.dial(more, per_second)
        give_up = time.monotonic() + max(0, more) / per_second + GIVE_UP_S
        while self.up() < calls and time.monotonic() < give_up:
            time.sleep(0.2)
            for one in self.callers:
                if self.key and isinstance(one, Dialler):
                    self.rtp.keys(one.keys())
        return self.up()

    def why(self) -> str:
        """What is known of calls that did not come up."""
        told = [one.outcome() for one in self.callers]
        parts = [
            f"RTP streams {self.rtp.streams()[0]}, sessions {self.server.connections()[0]}",
            f"callers made {sum(one.created for one in told)}: up {sum(one.up for one in told)},"
            f" failed {sum(one.failed for one in told)}, refused {sum(one.refused for one in told)}",
            *(one.errors.partition("\n")[0] for one in told if one.errors),
        ]
        return "; ".join(parts)

    def clear(self) -> None:
        """End all calls, and wait until the worker has none left."""
        for one in self.callers:
            one.hang_up()
        self.callers.clear()
        give_up = time.monotonic() + GIVE_UP_S
        while time.monotonic() < give_up:
            if self.worker.metrics().get("offhook_calls_active") == 0 and not self.up():
                return
            time.sleep(0.2)

    def measure(self, seconds: float) -> Window:
        """Watch for so long."""
        began = self.begin()
        time.sleep(seconds)
        return self.end(began)

    def begin(self) -> Began:
        """Begin to watch."""
        metrics, underruns = self.worker.metrics(), self.worker.underruns()
        self.server.renew()  # and what asking has cost is over
        self.server.begin()
        self.rtp.begin()
        return Began(metrics, underruns, self._signalling_s(), cpu_s(0), cores(), self.worker.usage())

    def end(self, began: Began) -> Window:
        """What was seen since then."""
        end, machine = self.worker.usage(), cores()
        span = end.at - began.usage.at
        sipp, beside = (self._signalling_s() - began.signalling_s) / span, (cpu_s(0) - began.own_s) / span
        # The provider first: handing over a window of packets keeps the callers from sending for 0.1 s.
        appended, heard = self.server.end(), self.rtp.end()
        metrics, underruns = self.worker.metrics(), self.worker.underruns()
        known = underruns is not None and began.underruns is not None
        return Window(
            begin=began.usage,
            end=end,
            cores_begin=began.cores,
            cores_end=machine,
            metrics_begin=began.metrics,
            metrics_end=metrics,
            underruns=max(0, underruns - began.underruns) if known else None,
            heard=heard,
            appended=appended,
            signalling_cpu=sipp,
            beside_cpu=beside,
        )

    def _signalling_s(self) -> float:
        return sum(one.cpu_s() for one in self.callers)


@contextlib.contextmanager
def loading(
    variant: Variant, commits: Path, *, agent: str = AGENT, record: bool = False, nice: int = 0
) -> Iterator[Load]:
    """Start a worker of this variant and what it needs; end all of it. `commits`: where the code of commits is put."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what it started ends with it
    code = variant.code(commits)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="offhook-load-")))
        server = LoadServer(LOAD_CORE)
        stack.callback(server.stop)
        key = srtp.new_key() if variant.sip == "tls+srtp" else b""
        rtp = RtpLoad(LOAD_CORE, int(KEYS[variant.codec]["payload"]), key)
        stack.callback(rtp.stop)
        extra, authority = variant.settings(), ""
        if variant.sip != "udp":
            shown = certificate.made(folder)
            extra, authority = extra | shown.settings(), str(shown.certificate)
        if variant.recordings == "sealed":
            extra["OFFHOOK_RECORDINGS_KEY"] = recordings_key(variant.python, code)
        worker = Worker(
            server.url,
            pjsua2=variant.pjsua2 or None,
            agent=agent,
            record=record or variant.recordings != "off",
            python=variant.python,
            root=code,
            extra=extra,
            cores=(WORKER_CORE, LOAD_CORE),
            nice=nice,
        )
        stack.callback(worker.stop)
        load = Load(worker, server, rtp, folder, variant.codec, authority, key)
        try:
            yield load
        finally:
            for one in load.callers:
                one.stop()
