"""What a call is like from outside: a whole worker between a SIP caller and a realtime server, timed on the wire.

    uv run python tests/bench/wire.py [turns] [audio] [tools] [fillers] [load] [--trials 40] [--beside 200]
        [--calls 1,4] [--seconds 10]

Everything is loopback: a real worker process, a caller on plain sockets in a process of its own (RTP stamped by the
kernel), a realtime server in this one. The agent's audio is noise whose place is found again in what is received.

- turns: barge-in (speech_started sent -> the last RTP packet with agent audio; 0: no packet came after it), and the
  heard ms of the truncate against the place in the item where the last packet ended
- audio: an item's first delta sent -> its first RTP packet; a packet of the caller's sent -> its append received
- tools: tool call sent -> its job running; result ready -> its output and the response.create received
- fillers: tool call sent -> the filler asked for, and heard
- load: CPU of the worker process (/proc/PID/stat, without its child processes), memory, RTP send times, with audio
  both ways all the time

--beside N runs all this while N further calls, full of audio, are up (see density.py; that takes two cores and a build
of pjsua2 that carries them). --simple: tools run in their tool worker's own process. --pjsua2 WHEEL_OR_FOLDER (or
OFFHOOK_TEST_PJSUA2) runs it on another build; --during COMMAND runs a command within each load step, {pid} standing
for the worker's, {calls} for the step's calls.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import subprocess
from collections.abc import Sequence

import numpy as np
import orjson
import uvloop
from rig.agent import AGENT
from rig.audio import FRAME, Onsets, place_of
from rig.bench import Bench, bench_with
from rig.caller import Heard
from rig.figures import again, machine, quantile, row
from rig.jobs import job_queue
from rig.load import LOAD_CORE
from rig.realtime import NOISE_MS, Session, append_audio, endless_frames
from rig.worker import bucket_quantile

PARTS = ("turns", "audio", "tools", "fillers", "load")
FILLED_S = 1.2
"""How long the tool takes behind a filler: it is over before a second one is due."""
AUDIO_CALLS, AUDIO_ROUNDS = 4, 6
WARM_UP_S = 3.0
PATIENCE_S = 5.0
MS = 1_000_000
SURE = 0.9


# --- turns


async def turns(bench: Bench, trials: int) -> None:
    line, session = await bench.call(keep=True)
    stopped, errors, gaps = [], [], 0
    await session.speech_started()
    for number in range(trials):
        await session.speech_stopped()
        response = await session.begin_response()
        at_once = number % 2 == 0  # else twice as fast as real time: the response is still active
        await bench.caller.take(line)
        speaking = asyncio.create_task(session.speak(response, 4000, every_s=0 if at_once else 0.05))
        await asyncio.sleep(random.uniform(0.3, 1.5))
        if at_once:
            await session.end_response(response)
        at = await session.speech_started()
        speaking.cancel()
        if not at_once:
            details = {"type": "cancelled", "reason": "turn_detected"}
            await session.end_response(response, "cancelled", status_details=details)
        told = await session.wait("conversation.item.truncate", after=at)
        await asyncio.sleep(0.3)
        ((heard, _),) = await bench.caller.take(line)
        loud = np.flatnonzero(np.frombuffer(heard.loud, np.uint8))
        last = int(loud[-1])
        place, sure = place_of(bytes(heard.payload[last * FRAME : (last + 1) * FRAME]), NOISE_MS)
        assert sure > SURE, f"the last packet's audio is none of the agent's ({sure:.2f})"
        stopped.append(max(0.0, (heard.at[last] - at) / MS))
        errors.append(told.body["audio_end_ms"] - place)
        gaps += last - int(loud[0]) + 1 - len(loud)
    await bench.caller.hang_up(line)
    print(row("(a) speech_started sent -> last packet of agent audio", stopped, goal="p99 40"))
    print(row("(b) audio_end_ms less what was heard, absolute", [abs(one) for one in errors], goal="20"))
    print(f"    with sign: from {min(errors):+.1f} to {max(errors):+.1f} ms; silent packets within the audio: {gaps}")


# --- audio


class Pulses:
    """Notes when the appends come in which a pulse begins."""

    def __init__(self, session: Session) -> None:
        self.at: list[int] = []
        self._onsets = Onsets()
        session.on_append = self._take

    def _take(self, at: int, frame: bytes) -> None:
        if self._onsets.found(append_audio(frame)):
            self.at.append(at)


async def audio(bench: Bench, trials: int) -> None:
    down: list[float] = []
    up: list[float] = []
    lost = 0
    per_call = max(1, -(-trials // (AUDIO_CALLS * AUDIO_ROUNDS)))
    for _ in range(AUDIO_ROUNDS):  # new calls: their phase against the worker's timers is another
        calls = [await bench.call("pulses") for _ in range(AUDIO_CALLS)]
        noted = [Pulses(session) for _, session in calls]
        for values in await asyncio.gather(*(deltas(bench, *call, per_call) for call in calls)):
            down += values
        taken = await bench.caller.take(*(line for line, _ in calls))
        for pulses, (_, sent) in zip(noted, taken, strict=True):
            starts = np.array([at for at, frame in zip(sent.at, sent.frame, strict=True) if frame == 0])
            ends = np.array(pulses.at)
            ends = ends[ends > starts[1]]
            begun = starts[np.searchsorted(starts, ends) - 1]
            up += list((ends - begun) / MS)
            lost += int(np.sum((starts >= begun[0]) & (starts <= begun[-1]))) - len(ends)
        await bench.caller.hang_up(*(line for line, _ in calls))
    print(row("(c) first delta of an item sent -> its first packet", down, goal="p99 30"))
    print(row("(d) caller's packet sent -> its append received", up, goal="p99 60"))
    print(f"    pulses that did not arrive: {lost}")


async def deltas(bench: Bench, line: int, session: Session, trials: int) -> list[float]:
    """Short items of one call, each begun in silence."""
    found = []
    for _ in range(trials):
        await asyncio.sleep(random.uniform(0.2, 0.4))
        await session.speech_started()
        await session.speech_stopped()
        response = await session.begin_response()
        speech = await session.speak(response, 200)
        await session.end_response(response)
        await asyncio.sleep(0.45)
        found.append((await first_after(bench, line, speech.sent_at[0]) - speech.sent_at[0]) / MS)
    return found


async def first_after(bench: Bench, line: int, at: int) -> int:
    """When the first packet with audio came after that time, on the caller's side."""
    async with asyncio.timeout(PATIENCE_S):
        while True:  # the caller's process may itself be behind, beside a full load
            heard: Heard = await bench.caller.ask("peek", number=line)
            for t, loud in zip(heard.at, heard.loud, strict=True):
                if loud and t > at:
                    return int(t)
            await asyncio.sleep(0.1)


# --- tools


async def tools(bench: Bench, trials: int) -> None:
    line, session = await bench.call()
    running_ms, output_ms, create_ms = [], [], []
    for number in range(trials + 3):
        await session.speech_started()
        await session.speech_stopped()
        response = await session.begin_response()
        call_id, at = await session.call_tool(response, "wait_for", {"seconds": random.uniform(0.05, 0.1)})
        await session.end_response(response)
        output = await session.wait("conversation.item.create", after=at)
        asked = await session.wait("response.create", after=output.at)
        assert output.body["item"]["call_id"] == call_id
        times = orjson.loads(output.body["item"]["output"])
        if number >= 3:  # the first ones connect, and load RQ's script into Redis
            running_ms.append((times["began"] - at) / MS)
            output_ms.append((output.at - times["done"]) / MS)
            create_ms.append((asked.at - times["done"]) / MS)
        answer = await session.begin_response(asked.body["response"].get("metadata"))
        await session.speak(answer, 100)
        await session.end_response(answer)
        await asyncio.sleep(random.uniform(0.2, 0.25))
    await bench.caller.hang_up(line)
    print(row("(f) tool call sent -> its job running", running_ms, goal="p50 25"))
    print(row("    result ready -> its output received", output_ms))
    print(row("    result ready -> response.create received", create_ms, goal="p99 15"))


# --- fillers


async def fillers(bench: Bench, trials: int) -> None:
    line, session = await bench.call()
    asked_ms, heard_ms, silent_ms = [], [], []
    for _ in range(trials):
        await session.speech_started()
        await session.speech_stopped()
        response = await session.begin_response()
        _, at = await session.call_tool(response, "wait_for", {"seconds": FILLED_S})
        await session.end_response(response)
        asked = await session.wait("response.create", after=at)
        metadata = asked.body["response"].get("metadata")
        filler = await session.begin_response(metadata)
        speech = await session.speak(filler, 300)
        await session.end_response(filler, metadata=metadata)
        output = await session.wait("conversation.item.create", after=asked.at)
        wanted = await session.wait("response.create", after=output.at)
        first = await first_after(bench, line, speech.sent_at[0])
        asked_ms.append((asked.at - at) / MS)
        heard_ms.append((first - speech.sent_at[0]) / MS)
        silent_ms.append((first - at) / MS)
        answer = await session.begin_response(wanted.body["response"].get("metadata"))
        await session.speak(answer, 100)
        await session.end_response(answer)
        await asyncio.sleep(random.uniform(0.3, 0.4))
    await bench.caller.hang_up(line)
    print(row("(g) tool call sent -> filler asked for (grace 500 ms)", asked_ms))
    print(row("    filler's first delta sent -> its first packet", heard_ms))
    print(row("    tool call sent -> filler's first packet", silent_ms, goal="1200"))


# --- load


async def load(bench: Bench, steps: Sequence[int], seconds: float, during: str) -> None:
    line, session = await bench.call()  # what the first call brings into memory is no call's
    await asyncio.sleep(1)
    await bench.caller.hang_up(line)
    await session.closed.wait()
    before = bench.worker.usage()
    await asyncio.sleep(3)
    idle = bench.worker.usage()
    print(f"(e) no call: {100 * idle.cores_since(before):.2f} % of a core, {idle.rss_mb:.1f} MB")
    for calls in steps:
        await load_step(bench, calls, seconds, during)


async def load_step(bench: Bench, calls: int, seconds: float, during: str) -> None:
    empty = bench.worker.usage()
    frames = endless_frames("resp_load", "item_load")
    lines = await bench.caller.dial(bench.worker.target, "noise", calls=calls)
    sessions = [await bench.server.next() for _ in lines]
    talking = []
    for number, session in enumerate(sessions):
        await session.begin_response(response_id="resp_load")
        await session.begin_item("resp_load", "item_load")
        talking.append(asyncio.create_task(session.endless(frames, number / calls / 10)))
    await asyncio.sleep(WARM_UP_S)
    metrics = await asyncio.to_thread(bench.worker.metrics)
    await bench.caller.take(*lines)
    appended = sum(session.audio_ms for session in sessions)
    begin = bench.worker.usage()
    tool = subprocess.Popen(during.format(pid=bench.worker.pid, calls=calls), shell=True) if during else None
    await asyncio.sleep(seconds)
    end = bench.worker.usage()
    uplink = (sum(session.audio_ms for session in sessions) - appended) / (end.at - begin.at) / 10 / calls
    taken = await bench.caller.take(*lines)
    after = await asyncio.to_thread(bench.worker.metrics)
    if tool is not None:
        await asyncio.to_thread(tool.wait)
    for task in talking:
        task.cancel()
    ended = len(bench.worker.log("call_ended"))
    await bench.caller.hang_up(*lines)
    await asyncio.gather(*(session.closed.wait() for session in sessions))
    while len(bench.worker.log("call_ended")) < ended + calls:
        await asyncio.sleep(0.05)
    over = bench.worker.log("call_ended")[ended:]

    core = 100 * end.cores_since(begin)
    heard = [one for one, _ in taken]
    late, lost = send_times(heard)
    silent = sum(len(one.loud) - sum(one.loud) for one in heard)
    memory = (end.rss_mb - empty.rss_mb) / calls
    lag = 1000 * bucket_quantile(after, "offhook_loop_lag_seconds", 0.99, metrics)
    print(
        f"(e) {calls:>3} calls: {core / calls:5.2f} % of a core per call ({core:.1f} % in all), {memory:.2f} MB per"
        f" call; loop lag p99 <= {lag:g} ms"
    )
    print(
        f"    RTP send time off by p50 {quantile(late, 0.5):.2f}, p99 {quantile(late, 0.99):.2f}, p99.9"
        f" {quantile(late, 0.999):.2f}, max {max(late):.1f} ms of {len(late)} packets; missing {lost}, silent {silent};"
        f" within 3 ms: {100 * np.mean(np.array(late) <= 3):.2f} %"
    )
    threads = ", ".join(f"{name} {100 * share:.1f} %" for name, share in end.threads_since(begin)[:4])
    print(
        f"    underruns {sum(one['underruns'] for one in over)}, caller's frames dropped"
        f" {sum(one['dropped_in_frames'] for one in over)}, uplink {uplink:.1f} % of real time; threads: {threads}"
    )


def send_times(heard: Sequence[Heard]) -> tuple[list[float], int]:
    """How far each packet was off its call's beat (ms), and how many packets were missing."""
    late: list[float] = []
    lost = 0
    for one in heard:
        steps = np.diff(np.array(one.sequence, np.int64)) & 0xFFFF
        place = np.concatenate([[0], np.cumsum(steps)])
        lost += int(place[-1]) + 1 - len(place)
        off = np.array(one.at) / MS - place * 20
        late += list(np.abs(off - np.median(off)))
    return late, lost


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all where none is named")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--calls", default="1,4", help="the steps of load")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each step of load")
    parser.add_argument("--pjsua2", default=os.environ.get("OFFHOOK_TEST_PJSUA2"))
    parser.add_argument("--during", default="")
    parser.add_argument("--simple", action="store_true", help="a tool worker that runs tools in its own process")
    parser.add_argument("--beside", type=int, default=0, help="calls that are up meanwhile, full of audio both ways")
    options = parser.parse_args()
    parts = options.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no {', '.join(unknown)}; the parts are {', '.join(PARTS)}")
    steps = [int(step) for step in options.calls.split(",")]
    print(again("wire.py"))
    async with contextlib.AsyncExitStack() as stack:
        core = LOAD_CORE if options.beside else None
        url = stack.enter_context(job_queue(AGENT, simple=True, core=core)) if options.simple else ""
        bench = await stack.enter_async_context(bench_with(options.beside, options.pjsua2, redis_url=url))
        print(f"{machine()}; {bench.worker.build()}\n")
        if "turns" in parts:
            await turns(bench, options.trials)
        if "audio" in parts:
            await audio(bench, options.trials)
        if "tools" in parts:
            await tools(bench, options.trials)
        if "fillers" in parts:
            await fillers(bench, options.trials)
        if "load" in parts:
            await load(bench, steps, options.seconds, options.during)
        print(f"\n{machine()}")


if __name__ == "__main__":
    uvloop.run(main())
