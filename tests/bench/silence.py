"""The longest silence that a caller hears while a tool runs, in calls with random scenes.

    uv run python tests/bench/silence.py [--calls 20] [--at-once 4] [--seed N] [--beside 200]

Each call goes to a real worker over SIP; the realtime server plays a scene: the model calls one or two tools that take
0.1 to 6 s (one tool worker runs those of all calls, so they wait too), sometimes says something before, is asked for
fillers and begins each after 0.2 to 0.7 s, and in some calls the caller speaks while a tool runs. Silence is
measured twice: on the wire (packets without a sample over 100, from the tool call to its output, while the caller does
not speak) and as the worker's own record has it (longest_tool_silence_ms). The last row goes on to the answer's first
audio, and so holds the model's own latency, 0.3 to 0.9 s here.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import uvloop
from rig.audio import FRAME, linear
from rig.bench import Bench, bench_with
from rig.caller import Heard
from rig.figures import again, machine, row
from rig.realtime import ClientEvent, Session

MS = 1_000_000
AUDIBLE = 100
"""Of 32768: -50 dBFS. The soft tone peaks at ten times that."""
BOUND_S = 60.0


@dataclass(slots=True)
class Scene:
    """One call's scene. All times are monotonic ns."""

    session: Session
    random: random.Random
    pending: dict[str, int] = field(default_factory=dict)
    spans: list[tuple[int, int]] = field(default_factory=list)
    """From the first open tool call to the last one's output."""
    caller: list[tuple[int, int]] = field(default_factory=list)
    """When the caller spoke."""
    opened: int = 0
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    fillers: int = 0
    _responding: asyncio.Task[None] | None = None
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    async def play(self) -> None:
        """Begin with the caller's question; ends when the answer was sent."""
        pick = self.random
        self.session.on_event = self._take
        await asyncio.sleep(pick.uniform(0.1, 0.5))
        await self._caller_speaks(pick.uniform(0.5, 1.0))
        await asyncio.sleep(pick.uniform(0.3, 0.8))
        response = await self.session.begin_response()
        if pick.random() < 0.4:
            await self.session.speak(response, pick.randrange(500, 2500, 100))
        for _ in range(pick.choice([1, 1, 2])):
            seconds = pick.uniform(0.1, 1.5) if pick.random() < 0.6 else pick.uniform(1.5, 6.0)
            call_id, at = await self.session.call_tool(response, "wait_for", {"seconds": seconds})
            self.opened = self.opened or at
            self.pending[call_id] = at
        await self.session.end_response(response)
        if pick.random() < 0.4:
            await asyncio.sleep(pick.uniform(0.5, 3.0))
            if self.pending:
                await self._interrupt(pick.uniform(0.6, 2.0))
        try:
            async with asyncio.timeout(BOUND_S):
                await self.answered.wait()
        except TimeoutError:
            raise RuntimeError(f"no answer after {BOUND_S:g} s; still pending: {self.pending or 'none'}") from None

    def _take(self, event: ClientEvent) -> None:
        """On the loop, for each event of the worker's."""
        item = event.body.get("item", {})
        if event.type == "conversation.item.create" and item.get("type") == "function_call_output":
            del self.pending[item["call_id"]]
            if not self.pending:
                self.spans.append((self.opened, event.at))
        elif event.type == "response.create":
            asked = event.body["response"]
            metadata = asked.get("metadata") or {}
            if asked.get("conversation") == "none":
                self.fillers += 1
                self._spawn(self._respond(metadata, self.random.randrange(600, 2000, 100)))
            else:
                self._responding = self._spawn(self._respond(metadata, self.random.randrange(800, 2500, 100), True))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _respond(self, metadata: dict[str, str], ms: int, answers: bool = False) -> None:
        """A response with latency before it begins and before its audio."""
        await asyncio.sleep(self.random.uniform(0.1, 0.3))
        complete = answers and not self.pending  # what comes from now on is not in this response
        response = await self.session.begin_response(metadata)
        try:
            await asyncio.sleep(self.random.uniform(0.1, 0.4) + (0.2 if answers else 0.0))
        except asyncio.CancelledError:
            details = {"type": "cancelled", "reason": "turn_detected"}
            await self.session.end_response(response, "cancelled", metadata, status_details=details)
            return
        await self.session.speak(response, ms)
        await self.session.end_response(response, metadata=metadata)
        if complete:
            self.answered.set()

    async def _caller_speaks(self, seconds: float) -> None:
        began = await self.session.speech_started()
        await asyncio.sleep(seconds)
        self.caller.append((began, await self.session.speech_stopped()))

    async def _interrupt(self, seconds: float) -> None:
        """The caller speaks: the server cancels what it generates, and answers by itself when they are done."""
        if self._responding is not None and not self._responding.done():
            self._responding.cancel()
        await self._caller_speaks(seconds)
        self._responding = self._spawn(self._respond({}, self.random.randrange(600, 1500, 100), True))


def silences(heard: Heard, begin: int, end: int, caller: list[tuple[int, int]]) -> float:
    """The longest silence (ms) between two times, the caller's own words not counted."""
    longest, since = 0, begin
    peaks = np.abs(linear(bytes(heard.payload)).astype(np.int32)).reshape(-1, FRAME).max(axis=1)
    for at, peak in zip(heard.at, peaks, strict=True):
        if at < begin:
            continue
        if at > end:
            break
        said = any(start <= at <= stop for start, stop in caller)
        if peak > AUDIBLE or said:
            longest, since = max(longest, at - since), at
    return max(longest, end - since) / MS


def first_audible(heard: Heard, after: int) -> int:
    """When the first audible packet after a time came."""
    for number, at in enumerate(heard.at):
        if at > after and np.abs(linear(bytes(heard.payload[number * FRAME : (number + 1) * FRAME]))).max() > AUDIBLE:
            return at
    return after


@dataclass(slots=True)
class Found:
    """What a call came to; ms."""

    wire: float
    to_answer: float
    fillers: int
    pending: float
    sip_call_id: str


async def one_call(bench: Bench, dialling: asyncio.Lock, seed: int) -> Found:
    async with dialling:  # so that it is known whose session is whose
        line, session = await bench.call(keep=True)
    scene = Scene(session, random.Random(seed))
    try:
        await scene.play()
    except (RuntimeError, TimeoutError) as error:
        events = [f"{(one.at - session.events[0].at) / MS:9.0f} ms {one.type}" for one in session.events]
        raise SystemExit("\n".join([f"seed {seed}: {error}; what the worker sent:", *events])) from None
    await asyncio.sleep(0.6)
    ((heard, _),) = await bench.caller.take(line)
    await bench.caller.hang_up(line)
    dialog = await bench.caller.ask("dialog", number=line)
    begin, end = scene.spans[0][0], scene.spans[-1][1]
    answer = first_audible(heard, end)
    return Found(
        silences(heard, begin, end, scene.caller),
        silences(heard, begin, answer, scene.caller),
        scene.fillers,
        (end - begin) / MS,
        dialog,
    )


async def records(bench: Bench, found: list[Found]) -> list[float]:
    """The worker's own measure of each call."""
    give_up = time.monotonic() + 10
    while len(ended := bench.worker.log("call_ended")) < len(found) and time.monotonic() < give_up:
        await asyncio.sleep(0.1)
    assert len(ended) >= len(found), "not every call's end is in the worker's log"
    ids = {one["sip_call_id"]: one["call_id"] for one in bench.worker.log("call")}
    paths = [bench.recordings / f"{ids[one.sip_call_id]}.json" for one in found]
    return [float(orjson.loads(path.read_bytes())["longest_tool_silence_ms"]) for path in paths]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=4, help="the wheel of pjsua2 carries 4")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--pjsua2", default=os.environ.get("OFFHOOK_TEST_PJSUA2"))
    parser.add_argument("--beside", type=int, default=0, help="further calls that are up meanwhile (see density.py)")
    options = parser.parse_args()
    print(again("silence.py"), f"(seed {options.seed})")
    async with bench_with(options.beside, options.pjsua2, record=True) as bench:
        print(f"{machine()}; {bench.worker.build()}\n")
        dialling, room = asyncio.Lock(), asyncio.Semaphore(options.at_once)

        async def bounded(seed: int) -> Found:
            async with room:
                return await one_call(bench, dialling, seed)

        found = await asyncio.gather(*(bounded(options.seed + number) for number in range(options.calls)))
        recorded = await records(bench, list(found))
    print(row("longest silence while a tool runs, on the wire", [one.wire for one in found], goal="1200"))
    print(row("the same by the worker's record", recorded, goal="1200"))
    print(row("on the wire, to the answer's first audio", [one.to_answer for one in found]))
    print(row("how long a tool was open", [one.pending for one in found]))
    worst = sorted(range(len(found)), key=lambda number: -found[number].wire)[:3]
    for number in worst:
        one = found[number]
        print(
            f"    seed {options.seed + number}: {one.wire:.0f} ms on the wire, {recorded[number]:.0f} ms in the record,"
            f" {one.fillers} fillers asked for in {one.pending:.0f} ms"
        )
    print(f"\n{machine()}")


if __name__ == "__main__":
    uvloop.run(main())
