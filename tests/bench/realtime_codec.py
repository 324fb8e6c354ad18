"""What the two hot messages cost: one append of 40 ms and one audio delta of 100 ms at 24 kHz, beside the SDK's way.

uv run python tests/bench/realtime_codec.py
"""

from __future__ import annotations

import base64
import json
import statistics
import timeit
from collections.abc import Callable

import orjson
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import InputAudioBufferAppendEvent

from worker.realtime.openai.codec import OpenAICodec

ROUNDS, CALLS = 7, 2000
UP = bytes(range(256)) * 8
UP = UP[:1920]  # 40 ms of 16-bit samples at 24 kHz
DOWN = (bytes(range(256)) * 19)[:4800]  # 100 ms
DELTA = orjson.dumps(
    {
        "type": "response.output_audio.delta",
        "event_id": "event_CfwEtvAkWxkZ0123456789",
        "response_id": "resp_CfwEtvAkWxkZ0123456789",
        "item_id": "item_CfwEtvAkWxkZ0123456789",
        "output_index": 0,
        "content_index": 0,
        "delta": base64.b64encode(DOWN).decode(),
    }
)


def microseconds(work: Callable[[], object]) -> float:
    """The median of some rounds."""
    return statistics.median(timeit.repeat(work, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def typed_append() -> str:
    event = InputAudioBufferAppendEvent(type="input_audio_buffer.append", audio=base64.b64encode(UP).decode())
    return event.to_json(use_api_names=True, exclude_unset=True)


def typed_delta() -> bytes:
    event = AsyncRealtimeConnection.parse_event(None, DELTA)  # type: ignore[arg-type]  # it uses no connection
    return base64.b64decode(event.delta)  # type: ignore[union-attr]


def main() -> None:
    codec = OpenAICodec()
    assert codec.decode(DELTA)[0].audio == typed_delta()  # type: ignore[union-attr]
    assert json.loads(codec.append(UP)) == json.loads(typed_append())
    ours_up, typed_up = microseconds(lambda: codec.append(UP)), microseconds(typed_append)
    ours_down, typed_down = microseconds(lambda: codec.decode(DELTA)), microseconds(typed_delta)
    print(f"append of 40 ms   {ours_up:6.1f} us   typed {typed_up:6.1f} us   {typed_up / ours_up:4.1f} times")
    print(f"delta of 100 ms   {ours_down:6.1f} us   typed {typed_down:6.1f} us   {typed_down / ours_down:4.1f} times")
    second = (25 * ours_up + 10 * ours_down) / 1e4, (25 * typed_up + 10 * typed_down) / 1e4
    print(f"one call's second, both ways: {second[0]:.3f} % of a core, typed {second[1]:.3f} %")


if __name__ == "__main__":
    main()
