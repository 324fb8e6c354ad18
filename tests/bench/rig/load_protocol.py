"""What the load server says and hears: OpenAI's GA realtime protocol, as much as responses of audio need. Pure."""

from __future__ import annotations

import base64
from typing import Any

import orjson
from rig import ws
from rig.audio import ulaw
from rig.tones import AGENT_HZ, LOOP_MS, tone

DELTA_MS = 100
FORMATS = {"audio/pcm": 24000, "audio/pcmu": 8000}
APPEND_HEAD, APPEND_END = b'{"type":"input_audio_buffer.append","audio":"', b'"}'
ENVELOPE = len(APPEND_HEAD + APPEND_END)


def event(kind: str, **fields: Any) -> bytes:
    """An event, as a frame."""
    return ws.frame(orjson.dumps({"type": kind, "event_id": "event_load", **fields}))


def audio_bytes(data: bytes, mask: bytes, begin: int, end: int) -> int:
    """How much audio lies in an append, without decoding it: base64 ends in = for each byte that it has not."""
    last = end - 3  # before "}
    missing = 0
    while missing < 2 and data[last - missing] ^ mask[(last - missing - begin) % 4] == ord("="):
        missing += 1
    return (end - begin - ENVELOPE) * 3 // 4 - missing


def deltas(rate_hz: int) -> list[bytes]:
    """What follows the head in each delta of the loop; all of one length."""
    samples = tone(AGENT_HZ, rate_hz)
    data = ulaw(samples) if rate_hz == 8000 else samples.tobytes()
    size = len(data) * DELTA_MS // LOOP_MS
    return [base64.b64encode(data[at : at + size]) + b'"}' for at in range(0, len(data), size)]


def delta_head(name: str, tail: int) -> bytes:
    """What an item's deltas begin with, from the frame's header to the quote before the audio.

    `tail`: how many bytes follow it.
    """
    where = {"response_id": f"resp_{name}", "item_id": f"item_{name}", "output_index": 0, "content_index": 0}
    fields = {"type": "response.output_audio.delta", "event_id": "event_load", **where, "delta": ""}
    return ws.frame(orjson.dumps(fields)[:-2] + bytes(tail))[:-tail]


def begun(name: str) -> bytes:
    """All that is said before the first audio of a response."""
    response_id, item = f"resp_{name}", _item(name, "in_progress")
    response = {"id": response_id, "object": "realtime.response", "status": "in_progress", "output": []}
    return b"".join(
        [
            event("response.created", response=response),
            event("response.output_item.added", response_id=response_id, output_index=0, item=item),
            event("conversation.item.added", item=item, previous_item_id=None),
        ]
    )


def ended(name: str) -> bytes:
    """All that is said after its last audio."""
    response_id, item = f"resp_{name}", _item(name, "completed")
    where = {"response_id": response_id, "output_index": 0}
    response = {"id": response_id, "object": "realtime.response", "status": "completed", "output": [item]}
    return b"".join(
        [
            event("response.output_audio.done", **where, item_id=item["id"], content_index=0),
            event("response.output_item.done", **where, item=item),
            event("conversation.item.done", item=item, previous_item_id=None),
            event("response.done", response=response),
        ]
    )


def _item(name: str, status: str) -> dict[str, Any]:
    return {"id": f"item_{name}", "type": "message", "role": "assistant", "status": status, "content": []}
