"""Bytes in and out of a pjsua2 MediaFrame: the one place where the builds differ.

A frame's buffer is a `std::vector<unsigned char>` behind SWIG. Builds from 2.16 on bring `copy_to_bytearray` and
`assign_from_bytes` (3 µs a frame). The 2.15 wheel has neither, and iterating the vector from Python takes
630 µs, so there the vector's memory is reached with ctypes: libstdc++ and libc++ both keep it as three pointers
(begin, end, end of storage). Runs on the clock thread: copies and nothing else.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

AUDIO = 1
"""PJMEDIA_FRAME_TYPE_AUDIO (pjmedia/frame.h)."""


def has_helpers(vector: Any) -> bool:
    """Whether this ByteVector (an object or the class) copies by itself."""
    return hasattr(vector, "copy_to_bytearray") and hasattr(vector, "assign_from_bytes")


def read(frame: Any) -> bytes:
    """The frame's bytes, a copy."""
    buffer = frame.buf
    data: bytes = _readers[type(buffer)](buffer)
    return data


def write(frame: Any, data: bytes) -> None:
    """Make `data` the frame's content, as audio."""
    buffer = frame.buf
    _writers[type(buffer)](buffer, data)
    frame.type = AUDIO
    frame.size = len(data)


class _Ways(dict[type, Callable[..., Any]]):
    """Which function serves a class of vectors, looked up once per class: asking costs a third of a copy."""

    def __init__(self, helper: Callable[..., Any], memory: Callable[..., Any]) -> None:
        super().__init__()
        self.helper, self.memory = helper, memory

    def __missing__(self, vector: type) -> Callable[..., Any]:
        self[vector] = self.helper if has_helpers(vector) else self.memory
        return self[vector]


def read_by_helper(vector: Any) -> bytes:
    """Copy a vector's bytes with the build's own helper."""
    copy = bytearray(vector.size())
    vector.copy_to_bytearray(copy)
    return bytes(copy)


def read_by_memory(vector: Any) -> bytes:
    """Copy a vector's bytes through its begin and end pointers."""
    begin, end = _pointers(vector)
    return ctypes.string_at(begin, end - begin) if end > begin else b""


def write_by_helper(vector: Any, data: bytes) -> None:
    """Fill a vector with the build's own helper."""
    vector.assign_from_bytes(data)


def write_by_memory(vector: Any, data: bytes) -> None:
    """Fill a vector through its begin pointer, after giving it the size."""
    vector.resize(len(data))
    if data:
        begin, _ = _pointers(vector)
        ctypes.memmove(begin, data, len(data))


_readers = _Ways(read_by_helper, read_by_memory)
_writers = _Ways(write_by_helper, write_by_memory)
_Pair = ctypes.c_size_t * 2


def _pointers(vector: Any) -> tuple[int, int]:
    """Addresses of the first byte and of the one after the last."""
    begin, end = _Pair.from_address(int(vector.this))
    return begin, end
