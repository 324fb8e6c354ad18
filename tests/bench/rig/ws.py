"""The server's side of a WebSocket, as much as a load server needs (RFC 6455). Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A


def accept(request: bytes) -> bytes:
    """The answer to a client's opening handshake. Raises ValueError when it is none."""
    for line in request.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"sec-websocket-key":
            answer = base64.b64encode(hashlib.sha1(value.strip() + GUID).digest())
            head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            return head + b"Sec-WebSocket-Accept: " + answer + b"\r\n\r\n"
    raise ValueError("a request without Sec-WebSocket-Key")


def frame(payload: bytes, kind: int = TEXT) -> bytes:
    """A whole message as a server sends it: not masked."""
    if len(payload) < 126:
        head = bytes([kind, len(payload)])
    elif len(payload) < 1 << 16:
        head = bytes([kind, 126]) + len(payload).to_bytes(2, "big")
    else:
        head = bytes([kind, 127]) + len(payload).to_bytes(8, "big")
    return head + payload


def unmasked(data: bytes, mask: bytes) -> bytes:
    """A client's payload in clear."""
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


class Frames:
    """Cuts a client's stream into frames, without looking into them."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes, bytes, int, int]]:
        """Yield kind, the data it lies in, its mask, and from where to where the masked payload goes."""
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while end - at >= 6:
            size, head = data[at + 1] & 0x7F, 6
            if size == 126:
                size, head = int.from_bytes(data[at + 2 : at + 4], "big"), 8
            elif size == 127:
                size, head = int.from_bytes(data[at + 2 : at + 10], "big"), 14
            begin = at + head
            if begin + size > end:
                break
            yield data[at], data, data[begin - 4 : begin], begin, begin + size
            at = begin + size
        self._rest = data[at:]
