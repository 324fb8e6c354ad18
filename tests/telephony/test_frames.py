"""Bytes in and out of the library's frames, by both ways, on both builds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony import frames
from telephony.binding import pj

OWN = frames.has_helpers(pj.ByteVector)
frame_sizes = st.binary(max_size=2000)


def test_write_and_read_back() -> None:
    frame = pj.MediaFrame()
    frames.write(frame, bytes(range(256)) + bytes(64))
    assert (frame.type, frame.size, frame.buf.size()) == (pj.PJMEDIA_FRAME_TYPE_AUDIO, 320, 320)
    assert frames.read(frame) == bytes(range(256)) + bytes(64)


def test_an_empty_frame() -> None:
    frame = pj.MediaFrame()
    assert frames.read(frame) == b""
    frames.write(frame, b"")
    assert (frame.size, frames.read(frame)) == (0, b"")


def test_a_frame_used_again() -> None:
    """Shorter and longer content in turn: nothing of the one before is left."""
    frame = pj.MediaFrame()
    for data in (b"a" * 320, b"b" * 640, b"c" * 2, b"d" * 320):
        frames.write(frame, data)
        assert frames.read(frame) == data


@given(frame_sizes)
@settings(max_examples=200, deadline=None)
def test_memory_both_ways(data: bytes) -> None:
    vector = pj.ByteVector()
    frames.write_by_memory(vector, data)
    assert list(vector) == list(data)
    assert frames.read_by_memory(vector) == data


@pytest.mark.skipif(not OWN, reason="this build of pjsua2 has no helpers")
@given(frame_sizes)
@settings(max_examples=200, deadline=None)
def test_helpers_and_memory_agree(data: bytes) -> None:
    vector = pj.ByteVector()
    vector.assign_from_bytes(data)
    assert frames.read_by_helper(vector) == frames.read_by_memory(vector) == data


class Helped:
    """A vector as the newer builds have it, without their library."""

    def __init__(self) -> None:
        self.data = b""

    def size(self) -> int:
        return len(self.data)

    def assign_from_bytes(self, data: bytes) -> None:
        self.data = data

    def copy_to_bytearray(self, target: bytearray) -> None:
        target[:] = self.data


def test_helpers_are_used_where_there_are_any() -> None:
    class Frame:
        buf: Any = Helped()
        type = size = 0

    frame = Frame()
    frames.write(frame, b"abcd")
    assert (frame.type, frame.size, frame.buf.data) == (frames.AUDIO, 4, b"abcd")
    assert frames.read(frame) == b"abcd"
