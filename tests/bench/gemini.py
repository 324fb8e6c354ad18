"""The Live API's codec beside OpenAI's: the same worker on each, one after the other, timed on the wire.

    uv run python tests/bench/gemini.py [--trials 20] [--calls 100] [--seconds 10] [--only gemini]

- first packet: audio sent -> its first RTP packet
- barge-in: OpenAI: speech_started sent -> the last packet with agent audio. Live API: the caller's first loud packet
  -> activityStart received, and -> the last packet: our own ears are in it, and the caller's VAD of a service is not in
  the other
- heard ms: what was counted against the place in the item where the last packet ended
- tools: tool call sent -> its job running; result ready -> the answer received
- load: CPU of the worker process with the agent's audio all the time and a caller who is silent (--calls 0: left out).
  OpenAI is sent the caller's silence all the same, the Live API is not
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import random
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import numpy as np
import uvloop
import wire
from rig.agent import AGENT
from rig.audio import FRAME, place_of
from rig.bench import Bench, _caller, running
from rig.figures import again, machine, row
from rig.gemini import GeminiServer, GeminiSession, audio
from rig.realtime import NOISE_MS, endless_frames, noise_piece
from rig.worker import Worker

MS = 1_000_000
WARM_UP_S = 3.0


@contextlib.asynccontextmanager
async def on_gemini() -> AsyncIterator[Bench]:
    """A worker on the Live API."""
    server = GeminiServer()
    await server.start()
    caller = _caller()
    extra = {"OFFHOOK_REALTIME_PROTOCOL": "gemini"}
    worker = await asyncio.to_thread(functools.partial(Worker, server.url, agent=AGENT, record=True, extra=extra))
    try:
        yield Bench(server, caller, worker)
    finally:
        await asyncio.to_thread(worker.stop)
        caller.stop()
        await server.stop()


async def call(bench: Bench, *, keep: bool = False) -> tuple[int, GeminiSession]:
    line, session = await bench.call(keep=keep)
    return line, cast(GeminiSession, session)


async def first_packet(bench: Bench, trials: int) -> None:
    line, session = await call(bench)
    found = []
    for _ in range(trials):
        await asyncio.sleep(random.uniform(0.2, 0.4))
        sent = await session.talk(200)
        await session.complete()
        await asyncio.sleep(0.45)
        found.append((await wire.first_after(bench, line, sent[0]) - sent[0]) / MS)
    await bench.caller.hang_up(line)
    print(row("(c) first audio of a turn sent -> its first packet", found, goal="p99 30"))


async def turns(bench: Bench, trials: int) -> None:
    line, session = await call(bench, keep=True)
    heard_at, stopped, places = [], [], []
    for _ in range(trials):
        await bench.caller.take(line)
        speaking = asyncio.create_task(session.talk(4000))
        await asyncio.sleep(random.uniform(0.6, 1.5))
        await session.complete()
        before = session.events[-1].at
        await bench.caller.ask("play", number=line, loop="noise")
        asked = time.monotonic_ns()
        told = await session.wait("activityStart", after=before)
        await speaking
        await asyncio.sleep(0.4)
        await bench.caller.ask("play", number=line, loop="silence")
        ((heard, sent),) = await bench.caller.take(line)
        began = next(at for at in sent.at if at > asked)
        loud = np.flatnonzero(np.frombuffer(heard.loud, np.uint8))
        last = int(loud[-1])
        place, sure = place_of(bytes(heard.payload[last * FRAME : (last + 1) * FRAME]), NOISE_MS)
        assert sure > wire.SURE, f"the last packet's audio is none of the agent's ({sure:.2f})"
        heard_at.append((told.at - began) / MS)
        stopped.append((heard.at[last] - told.at) / MS)
        places.append(place)
        await session.wait("activityEnd", after=told.at)
        await asyncio.sleep(0.2)
    await bench.caller.hang_up(line)
    await session.closed.wait()
    await asyncio.sleep(1.0)
    (path,) = [one for one in bench.recordings.glob("*.json") if json.loads(one.read_text())["barge_ins"]]
    counted = [one["heard_ms"] for one in json.loads(path.read_text())["barge_ins"]]
    print(row("(a) caller's first loud packet -> activityStart received", heard_at))
    print(row("    activityStart received -> last packet of agent audio", stopped, goal="p99 40"))
    errors = [one - place for one, place in zip(counted, places, strict=True)]
    print(row("(b) heard ms less what was heard, absolute", [abs(one) for one in errors], goal="20"))


async def tools(bench: Bench, trials: int) -> None:
    line, session = await call(bench)
    running_ms, answer_ms = [], []
    for number in range(trials + 3):
        at = await session.call(f"f{number}", "wait_for", {"seconds": random.uniform(0.05, 0.1)})
        told = await session.wait("toolResponse", after=at)
        (answer,) = told.body["toolResponse"]["functionResponses"]
        times = answer["response"]["output"]
        if number >= 3:
            running_ms.append((times["began"] - at) / MS)
            answer_ms.append((told.at - times["done"]) / MS)
        await session.talk(100)
        await session.complete()
        await asyncio.sleep(random.uniform(0.2, 0.25))
    await bench.caller.hang_up(line)
    print(row("(f) tool call sent -> its job running", running_ms, goal="p50 25"))
    print(row("    result ready -> toolResponse received", answer_ms, goal="p99 15"))


async def load(bench: Bench, calls: int, seconds: float) -> None:
    lines = await bench.caller.dial(bench.worker.target, "silence", calls=calls)
    sessions: list[Any] = [await bench.server.next() for _ in lines]
    frames = endless_frames("resp_load", "item_load")
    pieces = [audio(noise_piece(at, 100)) for at in range(0, 5000, 100)]
    talking = []
    for number, session in enumerate(sessions):
        phase = number / calls / 10
        if isinstance(session, GeminiSession):
            work = session.endless_talk(pieces, phase)
        else:
            await session.begin_response(response_id="resp_load")
            await session.begin_item("resp_load", "item_load")
            work = session.endless(frames, phase)
        talking.append(asyncio.create_task(work))
    await asyncio.sleep(WARM_UP_S)
    begin = bench.worker.usage()
    await asyncio.sleep(seconds)
    core = 100 * bench.worker.usage().cores_since(begin)
    for task in talking:
        task.cancel()
    await bench.caller.hang_up(*lines)
    print(f"(e) {calls} calls: {core / calls:.3f} % of a core per call ({core:.1f} % in all)")


async def openai(trials: int, calls: int, seconds: float) -> None:
    async with running(record=True) as bench:
        print("\nOpenAI's protocol")
        line, session = await bench.call()
        down = await wire.deltas(bench, line, session, trials)
        await bench.caller.hang_up(line)
        print(row("(c) first delta of an item sent -> its first packet", down, goal="p99 30"))
        await wire.turns(bench, trials)
        await wire.tools(bench, trials)
        if calls:
            await load(bench, calls, seconds)


async def gemini(trials: int, calls: int, seconds: float) -> None:
    async with on_gemini() as bench:
        print("\nthe Live API")
        await first_packet(bench, trials)
        await turns(bench, trials)
        await tools(bench, trials)
        if calls:
            await load(bench, calls, seconds)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", choices=("openai", "gemini"))
    options = parser.parse_args()
    print(again("gemini.py"))
    print(machine())
    if options.only != "gemini":
        await openai(options.trials, options.calls, options.seconds)
    if options.only != "openai":
        await gemini(options.trials, options.calls, options.seconds)
    print(f"\n{machine()}")


if __name__ == "__main__":
    uvloop.run(main())
