"""What a call's trace costs its worker, and a tool worker's fork: `uv run python tests/bench/traces.py`.

Nobody listens where the spans go: the exporter's queue is full most of the time.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from worker.realtime import events as realtime
from worker.records import record as rec
from worker.records.traces import OfCall
from worker.records.tracing import Traced, Tracing

CALL = OfCall(call_id="0af7651916cd43dd8448eb211c80319c", invited_ns=10**18, model="m")
FORKS = 100


def per_us(step: Callable[[int], object], times: int) -> float:
    """CPU time of this process for each, its exporter's thread included."""
    began = time.process_time()
    for number in range(times):
        step(number)
    return (time.process_time() - began) / times * 1e6


def fork_ms() -> float:
    began = time.perf_counter()
    for _ in range(FORKS):
        if not (pid := os.fork()):
            os._exit(0)
        os.waitpid(pid, 0)
    return (time.perf_counter() - began) / FORKS * 1e3


def turn(call: Traced, number: int) -> None:
    """What the caller says, the response to it, and how it is heard."""
    asked, answer, response = f"c{number}", f"i{number}", f"r{number}"
    call.recorded(rec.TurnStarted(0, asked, "caller"))
    call.recorded(rec.TurnEnded(9, asked, "caller"))
    call.provided(realtime.ResponseStarted(response, {}))
    call.provided(realtime.AudioDelta(response, answer, b""))
    call.provided(realtime.Usage(response, 1, 1))
    call.provided(realtime.ResponseDone(response, "completed"))
    call.recorded(rec.TurnStarted(0, answer, "agent"))
    call.recorded(rec.TurnEnded(9, answer, "agent"))


def main() -> None:
    from tools.traces.otlp import Exporter

    logging.disable(logging.CRITICAL)  # the SDK says that nobody listens
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
    bare = fork_ms()
    exporter = Exporter("bench")
    print(f"a fork: {bare:.1f} ms, with an exporter {fork_ms():.1f} ms")
    call = Tracing(exporter).begin(CALL, time.monotonic)
    assert call is not None
    audio, words = realtime.AudioDelta("r", "i", b""), realtime.AgentTranscriptDelta("r", "i", "words")
    print(f"a piece of audio: {per_us(lambda _: call.provided(audio), 200_000):.2f} us")
    print(f"an event of no interest: {per_us(lambda _: call.provided(words), 200_000):.2f} us")
    print(f"a turn and its answer, 3 spans: {per_us(lambda number: turn(call, number), 10_000):.0f} us")
    print(f"a fork while the exporter's queue is full: {fork_ms():.1f} ms")
    exporter.close(0.1)


if __name__ == "__main__":
    main()
