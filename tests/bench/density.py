"""How many calls a worker carries on one core, and how well: both directions full of audio all the time.

    uv run python tests/bench/density.py [--calls 1,10,50,100,150,200,300,350,400] [--seconds 20] [--formats pcm,pcmu]
    uv run python tests/bench/density.py --calls 300 --rounds 3 --vary ref=HEAD~1,HEAD
    uv run python tests/bench/density.py --calls 300 --rounds 5 --vary OFFHOOK_JOURNAL=memory,off
    uv run python tests/bench/density.py --calls 50,100 --rounds 3 --vary codec=PCMU,G722
    uv run python tests/bench/density.py --calls 300 --rounds 3 --vary recordings=off,on,sealed
    uv run python tests/bench/density.py --calls 300 --rounds 3 --vary sip=udp,tls,tls+srtp
    uv run python tests/bench/density.py --calls 300 --compare 'python=/opt/py313/bin/python pjsua2=W.whl' pjsua2=V.whl

The worker is pinned to core 0; on core 1 is the signalling (sipp), one process with the RTP of all calls and a realtime
server with endless audio. Both directions carry a tone whose every 20 ms is checked: all packets that callers hear,
and of what the provider gets some connections at a time, in turn. Calls stay up from one step to the next.

What is compared or varied takes turns, each time with a new worker: A B A B ... for --rounds. A variant is a list of
NAME=VALUE: ref (a commit; empty: the files as they are), pjsua2 (a wheel or folder), python, format (pcm, pcmu),
codec (PCMU; G722, whose audio is not judged), sip (how callers come: udp, tls, tls+srtp), recordings (off, on, sealed),
or any environment variable. A step whose figures may be the load's or the machine's fault says so after "BUT".
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rig.figures import again, machine
from rig.late_ticks import lines
from rig.load import LOAD_CORE, WORKER_CORE, Load, Window, loading
from rig.load_figures import Step, step
from rig.probe import Probe
from rig.variant import Variant

STEPS = "1,10,50,100,150,200,300,350,400"
WARM_UP_S = 6.0
"""A stall of the load fills pjmedia's jitter buffers, which then leave out a frame each 0.4 s until they are short:
that is heard as damage, and is the last step's."""


def say(text: str = "") -> None:
    """Tell as it comes, also into a pipe."""
    print(text, flush=True)


Watch = Callable[[Load, float], tuple[Window, list[str]]]
"""Measures a window of so many seconds; with what else is to be told of it."""


@contextlib.contextmanager
def watching(options: argparse.Namespace) -> Iterator[Watch]:
    """With --probe a probe on each core, which tells whose fault late packets are; with --during a command."""
    probes = {core: Probe(core) for core in (WORKER_CORE, LOAD_CORE) if options.probe}

    def watch(load: Load, seconds: float) -> tuple[Window, list[str]]:
        for probe in probes.values():
            probe.begin()
        command = options.during.format(pid=load.worker.pid, calls=load.up())
        beside = subprocess.Popen(command, shell=True) if command else None
        window = load.measure(seconds)
        if beside is not None:
            beside.wait()
        seen = {core: probe.end() for core, probe in probes.items()}
        return window, lines(window.heard, seen) if seen else []

    try:
        yield watch
    finally:
        for probe in probes.values():
            probe.stop()


def climb(
    load: Load, steps: Sequence[int], seconds: float, per_second: float, watch: Watch
) -> Iterable[tuple[Step, list[str]]]:
    """Bring up more calls from step to step."""
    load.reach(1, per_second)  # what the first call brings into memory is no call's
    load.clear()
    time.sleep(1)
    idle = load.worker.usage()
    time.sleep(2)
    now = load.worker.usage()
    say(f"  no call: {100 * now.cores_since(idle):.2f} % of a core, {now.rss_mb:.1f} MB")
    for calls in steps:
        if load.reach(calls, per_second) < calls:
            say(f"  NOT ALL CALLS CAME UP: {load.why()}")
        time.sleep(WARM_UP_S)
        at_mb = load.worker.usage().rss_mb
        window, more = watch(load, seconds)
        yield step(window, calls, now.rss_mb, at_mb), more


def table(steps: Sequence[Step]) -> None:
    """All steps, one line each."""
    say("\ncalls  % of a core  per call  MB/call  p50    p99   p99.9 ms  in 3 ms %  down bad  up bad  uplink %  lag ms")
    for one in steps:
        say(
            f"{one.calls:>5}  {one.cpu:11.1f}  {one.cpu_per_call:8.3f}  {one.memory_per_call_mb:7.2f}"
            f"  {one.off_p50:4.2f}  {one.off_p99:5.2f}  {one.off_p999:8.2f}  {one.within:9.3f}"
            f"  {one.down.bad:8}  {one.up.bad:6}  {one.uplink:8.2f}  {one.loop_lag_p99:6g}"
            f"{'  BUT' if one.doubts else ''}"
        )


COMPARED = {
    "cpu_per_call": "% of a core per call",
    "memory_per_call_mb": "MB per call",
    "off_p99": "RTP off p99 (ms)",
    "off_p999": "RTP off p99.9 (ms)",
    "within": "% within 3 ms",
}


def compared(names: Sequence[str], found: dict[str, list[Step]]) -> None:
    """The medians of each variant, and the ratios to the first."""
    for calls in sorted({one.wanted for steps in found.values() for one in steps}):
        say(f"\n{calls} calls")
        for key, words in COMPARED.items():
            base = 0.0
            for name in names:
                values = [getattr(one, key) for one in found[name] if one.wanted == calls]
                middle = statistics.median(values)
                base = base or middle
                spread = ", ".join(f"{value:.3f}" for value in values)
                ratio = f"x {middle / base:.3f}" if base else ""
                say(f"  {words:<22} {name:<40} median {middle:8.3f} {ratio:<8} ({spread})")


def variants(options: argparse.Namespace) -> dict[str, Variant]:
    """What is to be run, by name. Raises ValueError for words that make no sense."""
    base = Variant(pjsua2=options.pjsua2 or "", python=options.python).but(options.set)
    lists = [shlex.split(text) for text in options.compare]
    if options.vary:
        name, _, values = options.vary.partition("=")
        lists = [[*words, f"{name}={value}"] for words in lists or [[]] for value in values.split(",")]
    if options.ref:
        lists = [[*words, f"ref={ref}"] for words in lists or [[]] for ref in options.ref]
    formats = options.formats.split(",")
    if len(formats) > 1 or formats != ["pcm"]:
        lists = [[*words, f"format={one}"] for words in lists or [[]] for one in formats]
    return {" ".join(words) or "as it is": base.but(words) for words in lists or [[]]}


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", default=STEPS, help=f"the steps ({STEPS})")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each step's window")
    parser.add_argument("--per-second", type=float, default=20.0, help="calls that are begun in a second")
    parser.add_argument("--formats", default="pcm", help="pcm, pcmu or both: the provider's side")
    parser.add_argument("--compare", nargs="+", default=[], metavar="'NAME=VALUE ...'", help="variants to compare")
    parser.add_argument("--vary", default="", metavar="NAME=A,B", help="the same for one name")
    parser.add_argument("--ref", action="append", default=[], help="the same for a commit; may be said twice")
    parser.add_argument("--rounds", type=int, default=0, help="of each variant (3 where several are compared)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="in every variant")
    parser.add_argument("--pjsua2", default=os.environ.get("OFFHOOK_TEST_PJSUA2"), help="a wheel or folder")
    parser.add_argument("--python", default=sys.executable, help="the worker's interpreter")
    parser.add_argument("--nice", type=int, default=0, help="of the worker; -20 keeps others off its core, mostly")
    parser.add_argument("--probe", action="store_true", help="tell of late packets whether their core was there")
    parser.add_argument("--during", default="", help="a command in each window; {pid}: the worker's, {calls}: how many")
    parser.add_argument("--json", metavar="FILE", help="write all figures there, too")
    return parser.parse_args()


def run(options: argparse.Namespace, chosen: dict[str, Variant], commits: Path) -> dict[str, list[Step]]:
    """Every variant in turn, as often as asked for."""
    steps = [int(calls) for calls in options.calls.split(",")]
    found: dict[str, list[Step]] = {name: [] for name in chosen}
    for number in range(options.rounds or (3 if len(chosen) > 1 else 1)):
        for name, variant in chosen.items():
            with watching(options) as watch, loading(variant, commits, nice=options.nice) as load:
                say(f"\n{name}, round {number + 1}: {load.worker.build()}; {machine()}")
                here = []
                for one, more in climb(load, steps, options.seconds, options.per_second, watch):
                    here.append(one)
                    say("\n".join([*one.lines(), *more]))
                load.clear()
            table(here)
            found[name] += here
    return found


def main() -> None:
    """Run it."""
    options = parsed()
    try:
        chosen = variants(options)
    except ValueError as error:
        sys.exit(f"density.py: {error}")
    if (os.cpu_count() or 1) < 2:
        sys.exit("density.py needs two cores: one for the worker, one for the load")
    os.sched_setaffinity(0, {LOAD_CORE})
    say(again("density.py"))
    with tempfile.TemporaryDirectory(prefix="offhook-commits-") as commits:
        found = run(options, chosen, Path(commits))
    if len(chosen) > 1:
        compared(list(chosen), found)
    if options.json:
        told_all: dict[str, Any] = {name: [dataclasses.asdict(one) for one in steps] for name, steps in found.items()}
        Path(options.json).write_text(json.dumps(told_all, indent=1))
    say(f"\n{machine()}\n{again('density.py')}")


if __name__ == "__main__":
    main()
