"""Reads HEP3 as a capture server does: chunk by chunk, and refuses what such a server refuses."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

NUMBERS = {0x01: "family", 0x02: "over", 0x07: "source_port", 0x08: "target_port", 0x09: "s", 0x0A: "us", 0x0B: "kind"}
NUMBERS |= {0x0C: "agent"}
SIZES = {0x01: 1, 0x02: 1, 0x03: 4, 0x04: 4, 0x05: 16, 0x06: 16, 0x07: 2, 0x08: 2, 0x09: 4, 0x0A: 4, 0x0B: 1, 0x0C: 4}
ADDRESSES = {0x03: "source", 0x04: "target", 0x05: "source", 0x06: "target"}
TEXTS = {0x0E: "password", 0x0F: "payload", 0x11: "correlation"}


def decoded(datagram: bytes) -> dict[str, Any]:
    """The chunks by name. Raises AssertionError for what is no HEP3."""
    magic, length = struct.unpack_from("!4sH", datagram)
    assert magic == b"HEP3" and length == len(datagram)
    found: dict[str, Any] = {}
    place = 6
    while place < length:
        vendor, kind, size = struct.unpack_from("!HHH", datagram, place)
        assert vendor == 0 and size >= 6 and place + size <= length
        body = datagram[place + 6 : place + size]
        assert len(body) == SIZES.get(kind, len(body))
        if kind in NUMBERS:
            found[NUMBERS[kind]] = int.from_bytes(body)
        elif kind in ADDRESSES:
            found[ADDRESSES[kind]] = str(ipaddress.ip_address(body))
        else:
            found[TEXTS[kind]] = body.decode()
        place += size
    return found
