"""How long it takes until a call is answered, and until its first packet of audio: over UDP, over TLS, with SRTP.

    uv run python tests/bench/answer_time.py [--calls 40] [--rounds 3] [--per-second 5] --pjsua2 WHEEL

The ways take turns on one worker: UDP, a TLS connection that is open already, one that is opened for the call, and the
open one with keys of SRTP in the SDP. Each call ends half a second after its answer, so that few are up at once; each
has a realtime session of its own on a server beside. The worker has core 0, all else core 1.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rig import srtp
from rig.dialler import Dialler, SetUp
from rig.figures import again, machine, quantile
from rig.load import LOAD_CORE, Load, loading
from rig.variant import Variant

HOLD_MS = 500
SETTLE_S = 12.0

WAYS: dict[str, dict[str, Any]] = {
    "UDP": {},
    "TLS, open": {"transport": "tls"},
    "TLS, opened for the call": {"transport": "tls", "fresh": True},
    "TLS and SRTP, open": {"transport": "tls", "encrypted": True},
}
PARTS: dict[str, Callable[[SetUp], float | None]] = {
    "connection and TLS": lambda one: one.connect,
    "INVITE to 200": lambda one: one.answered,
    "INVITE to first RTP": lambda one: one.first_rtp,
}


def called(load: Load, way: dict[str, Any], calls: int, per_second: float) -> list[SetUp]:
    """Calls by one way, to their end. What did not go well is told."""
    options = dict(way)
    options["key"] = srtp.new_key() if options.pop("encrypted", False) else b""
    target = load.worker.targets[options.get("transport", "udp")]
    times = {"calls": calls, "per_second": per_second, "hold_ms": HOLD_MS, "core": LOAD_CORE}
    one = Dialler(target, 0, authority=load.authority, **times, **options)
    give_up = time.monotonic() + calls / per_second + SETTLE_S
    while not one.over() and time.monotonic() < give_up:
        time.sleep(0.2)
    outcome, found = one.told()
    one.stop()
    if len(found) < calls:
        print(f"  NOT ALL WERE ANSWERED: {outcome}", flush=True)
    return found


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=40, help="of each way in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-second", type=float, default=5.0, help="calls that are begun in a second")
    parser.add_argument("--nice", type=int, default=0, help="of the worker; -20 keeps others off its core, mostly")
    parser.add_argument("--pjsua2", default=os.environ.get("OFFHOOK_TEST_PJSUA2"), help="a wheel or folder")
    return parser.parse_args()


def main() -> None:
    """Run it."""
    options = parsed()
    if (os.cpu_count() or 1) < 2:
        sys.exit("answer_time.py needs two cores: one for the worker, one for the callers")
    os.sched_setaffinity(0, {LOAD_CORE})
    print(again("answer_time.py"), flush=True)
    variant = Variant(pjsua2=options.pjsua2 or "").but(["sip=tls", "OFFHOOK_SRTP=optional"])
    found: dict[str, list[SetUp]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as commits, loading(variant, Path(commits), nice=options.nice) as load:
        print(f"{load.worker.build()}; {machine()}", flush=True)
        called(load, WAYS["UDP"], 3, 5)  # what the first call brings into memory is no call's
        for _ in range(options.rounds):
            for name, way in WAYS.items():
                found[name] += called(load, way, options.calls, options.per_second)
    for name, ones in found.items():
        for part, of in PARTS.items():
            values = [value for one in ones if (value := of(one)) is not None]
            if values and max(values) > 0:
                print(
                    f"{name:<26} {part:<20} {len(values):>4} calls: p50 {quantile(values, 0.5):6.1f}, p90"
                    f" {quantile(values, 0.9):6.1f}, p99 {quantile(values, 0.99):6.1f}, max {max(values):6.1f} ms"
                )
    print(machine())


if __name__ == "__main__":
    main()
