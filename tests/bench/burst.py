"""Many calls at once: how fast they are set up, and what calls in progress feel of those that are turned away.

    uv run python tests/bench/burst.py rate [--per-second 75] [--seconds 10] [--hold 3]
    uv run python tests/bench/burst.py overload [--calls 100] [--per-second 50] [--seconds 20] [--max-calls 100]

- rate: so many calls a second for so long, each of --hold s, each with its own realtime session and audio both ways.
  Set-up time is INVITE to 200 at sipp; a loss is a call that was refused, failed, or never got to 200.
- overload: --calls come up, quietly; then --per-second more try, all through a window. The audio of those that are up
  is measured before, meanwhile and after. --max-calls 0: no limit but the load's own.

On a machine that others use, too: `chrt -r 1 uv run ...` (as root), for as short as can be.

The load's processes and the measures are those of density.py: the worker on core 0, all else on core 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rig.dialler import Dialler
from rig.figures import again, machine, quantile
from rig.load import LOAD_CORE, Load, loading
from rig.load_figures import Step, step
from rig.sipp import Outcome, Sipp
from rig.variant import Variant

SETTLE_S = 8.0


def say(text: str = "") -> None:
    """Tell as it comes, also into a pipe."""
    print(text, flush=True)


def finished(one: Sipp | Dialler, within_s: float) -> Outcome:
    """What became of a run once it is over."""
    give_up = time.monotonic() + within_s
    while not one.over() and time.monotonic() < give_up:
        time.sleep(0.2)
    return one.outcome()


def rate(load: Load, per_second: float, seconds: float, hold_s: float, during: str) -> None:
    """Calls at a rate, each of which ends by itself."""
    load.reach(1, 1)  # what the first call brings into memory is no call's
    load.clear()
    before = load.worker.metrics()
    begin = load.worker.usage()
    calls = round(per_second * seconds)
    one = load.dial(calls, per_second, hold_ms=round(hold_s * 1000))
    watch = subprocess.Popen(during.format(pid=load.worker.pid), shell=True) if during else None
    most = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.25)
        most = max(most, load.server.connections()[0])
    end = load.worker.usage()
    outcome = finished(one, hold_s + SETTLE_S)
    if watch is not None:
        watch.wait()
    after = load.worker.metrics()
    setups = outcome.setup_ms
    say(
        f"{calls} calls at {per_second:g}/s of {hold_s:g} s: answered {len(setups)}, refused {outcome.refused}, failed"
        f" {outcome.failed}, created {outcome.created}; at most {most} sessions at once"
    )
    say(
        f"  INVITE to 200: p50 {quantile(setups, 0.5):.0f}, p90 {quantile(setups, 0.9):.0f}, p99"
        f" {quantile(setups, 0.99):.0f}, max {max(setups, default=0):.0f} ms"
    )
    threads = ", ".join(f"{name} {100 * share:.1f}" for name, share in end.threads_since(begin)[:4])
    say(f"  CPU {100 * end.cores_since(begin):.1f} % of a core ({threads}); {end.rss_mb:.0f} MB")
    for name in sorted(after):
        if "refused_total" in name or "calls_total" in name or "connections_lost" in name:
            say(f"  {name} {after[name] - before.get(name, 0):g}")
    if outcome.errors:
        say("  sipp: " + outcome.errors.splitlines()[0][:300])


def told(name: str, one: Step) -> None:
    """A window in three lines."""
    faults = [f"lost {d.lost}, silent {d.silent}, damaged {d.damaged}, jumps {d.jumps}" for d in (one.down, one.up)]
    say(
        f"{name}: {one.calls} calls, CPU {one.cpu:.1f} %; RTP off its beat by p50 {one.off_p50:.2f},"
        f" p99 {one.off_p99:.2f}, p99.9 {one.off_p999:.2f}, max {one.off_max:.1f} ms; within 3 ms {one.within:.3f} %"
    )
    say(
        f"    callers heard {one.down.pieces} x 20 ms: {faults[0]}; the provider {one.up.pieces}: {faults[1]};\n"
        f"    callbacks late p99 <= {one.callback_late_p99:g} ms, loop lag p99 <= {one.loop_lag_p99:g} ms;"
        f" ended {one.ended}"
    )
    for doubt in one.doubts:
        say(f"    BUT {doubt}")


def overload(load: Load, calls: int, per_second: float, seconds: float, gentle: float) -> None:
    """As many calls as there is room for, then the same number again and again."""
    load.reach(1, 1)
    load.clear()
    idle = load.worker.usage()
    load.reach(calls, gentle)
    time.sleep(3)
    here = load.worker.usage().rss_mb
    before = load.worker.metrics()
    told("before", step(load.measure(seconds), calls, idle.rss_mb, here))
    tries = round(per_second * (seconds + 1))
    one = load.dial(tries, per_second, hold_ms=2000)
    told(f"while {per_second:g} more a second try", step(load.measure(seconds), calls, idle.rss_mb, here))
    outcome = finished(one, SETTLE_S)
    after = load.worker.metrics()
    say(
        f"of {outcome.created} that tried: refused {outcome.refused} (told when to try again {outcome.retry_after}),"
        f" answered {len(outcome.setup_ms)}, failed {outcome.failed}"
    )
    for name in sorted(after):
        if "refused_total" in name:
            say(f"  {name} {after[name] - before.get(name, 0):g}")
    told("after", step(load.measure(seconds), calls, idle.rss_mb, here))


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rate", "overload"))
    parser.add_argument("--per-second", type=float, default=0.0, help="calls that are begun in a second (75; 50)")
    parser.add_argument("--seconds", type=float, default=0.0, help="for so long (10; 20)")
    parser.add_argument("--hold", type=float, default=3.0, help="rate: how long each call is")
    parser.add_argument("--calls", type=int, default=100, help="overload: calls that are in progress")
    parser.add_argument(
        "--max-calls", type=int, default=100, help="overload: OFFHOOK_MAX_CALLS; 0: as the build has it"
    )
    parser.add_argument("--gentle", type=float, default=20.0, help="overload: at which rate the first ones come up")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of the worker's environment")
    parser.add_argument("--during", default="", help="rate: a command to run meanwhile; {pid} stands for the worker's")
    parser.add_argument("--pjsua2", default=os.environ.get("OFFHOOK_TEST_PJSUA2"), help="a wheel or folder")
    return parser.parse_args(words)


def main() -> None:
    """Run it."""
    options = parsed()
    over = options.what == "overload"
    settings = ["OFFHOOK_OVERLOAD=refuse"]
    if over and options.max_calls:
        settings.append(f"OFFHOOK_MAX_CALLS={options.max_calls}")
    variant = Variant(pjsua2=options.pjsua2 or "").but([*settings, *options.set])
    if (os.cpu_count() or 1) < 2:
        sys.exit("burst.py needs two cores: one for the worker, one for the load")
    os.sched_setaffinity(0, {LOAD_CORE})
    say(again("burst.py"))
    with tempfile.TemporaryDirectory(prefix="offhook-commits-") as commits, loading(variant, Path(commits)) as load:
        say(f"{load.worker.build()}; {machine()}")
        if over:
            overload(load, options.calls, options.per_second or 50.0, options.seconds or 20.0, options.gentle)
        else:
            rate(load, options.per_second or 75.0, options.seconds or 10.0, options.hold, options.during)
    say(machine())


if __name__ == "__main__":
    main()
