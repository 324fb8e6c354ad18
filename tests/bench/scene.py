"""How much real time a scene takes.

    uv run python tests/bench/scene.py [--scenes 50]

Plays a dialogue of half a minute, with a tool of 20 s, fillers and an answer, again and again. Prints ms of wall clock
and of CPU for each, beside what importing `worker.scene` takes once.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

began = time.perf_counter()
from tools import tool  # noqa: E402
from worker.scene.scene import Scene  # noqa: E402

IMPORT_S = time.perf_counter() - began


@tool(mode="queued", timeout=30, filler="Let me look that order up.")
def order_status(order: str) -> dict[str, str]:
    """Look up an order."""
    return {"order": order, "arrives": "Thursday"}


def play() -> float:
    """One scene; returns how long it took of the caller's time, in s."""
    with Scene(order_status) as scene:
        scene.takes(order_status, 20)
        scene.caller_says("Where is my order 427?")
        scene.model_calls(order_status, order="427")
        scene.model_is_told(order_status)
        scene.model_says("It arrives on Thursday.")
        scene.hears("Thursday")
        scene.caller_says("Thank you, that is all that I wanted to know.")
        scene.caller_hangs_up()
    return scene.now


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", type=int, default=50)
    options = parser.parse_args()
    play()
    wall, cpu, played = [], [], 0.0
    for _ in range(options.scenes):
        at, used = time.perf_counter(), time.process_time()
        played = play()
        wall.append((time.perf_counter() - at) * 1000)
        cpu.append((time.process_time() - used) * 1000)
    print(f"a scene of {played:.1f} s, {options.scenes} times; the import, once: {IMPORT_S * 1000:.0f} ms")
    for name, values in (("wall clock", wall), ("CPU", cpu)):
        print(f"{name:<12} p50 {statistics.median(values):6.1f} ms   max {max(values):6.1f} ms")


if __name__ == "__main__":
    main()
