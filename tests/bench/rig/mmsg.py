"""Many UDP packets with one system call: recvmmsg and sendmmsg of Linux, on numpy arrays (man 2 recvmmsg, sendmmsg)."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE, SO_SNDBUFFORCE = 33, 32
RECEIVE_BUFFER = 32 << 20
NAME, CONTROL = 16, 64

# struct mmsghdr on 64-bit Linux: a struct msghdr and the length of what came.
_HEAD = np.dtype(
    [
        ("name", "u8"),
        ("name_len", "u4"),
        ("_1", "u4"),
        ("iov", "u8"),
        ("iov_len", "u8"),
        ("control", "u8"),
        ("control_len", "u8"),
        ("flags", "i4"),
        ("_2", "u4"),
        ("len", "u4"),
        ("_3", "u4"),
    ]
)
_IOV = np.dtype([("base", "u8"), ("len", "u8")])

_libc = ctypes.CDLL(None, use_errno=True)


def _heads(payload: NDArray[np.uint8], name: NDArray[np.uint8]) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """The headers for rows of `payload`, and the vectors they point to."""
    count, size = payload.shape
    rows = np.arange(count, dtype=np.uint64)
    iov = np.zeros(count, _IOV)
    iov["base"] = payload.ctypes.data + rows * np.uint64(size)
    iov["len"] = size
    heads = np.zeros(count, _HEAD)
    heads["name"] = name.ctypes.data + rows * np.uint64(NAME)
    heads["name_len"] = NAME
    heads["iov"] = iov.ctypes.data + rows * np.uint64(_IOV.itemsize)
    heads["iov_len"] = 1
    return heads, iov


def udp(address: str) -> socket.socket:
    """A socket with stamps and large buffers on a free port; larger than the system's limit where that is allowed."""
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((address, 0))
    one.setblocking(False)
    one.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    for forced, plain in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            one.setsockopt(socket.SOL_SOCKET, forced, RECEIVE_BUFFER)
        except PermissionError:
            one.setsockopt(socket.SOL_SOCKET, plain, RECEIVE_BUFFER)
    return one


def dropped(one: socket.socket) -> int:
    """How many packets the kernel dropped because nobody had taken them."""
    inode = str(os.fstat(one.fileno()).st_ino)
    with open("/proc/net/udp") as table:
        return next((int(fields[-1]) for fields in map(str.split, table) if fields[9] == inode), 0)


@dataclass(frozen=True, slots=True)
class Batch:
    """Packets that came together. Views into the receiver's memory: good until the next `take`."""

    at: NDArray[np.int64]
    """CLOCK_REALTIME ns at which the kernel had it."""
    port: NDArray[np.int64]
    """The sender's."""
    size: NDArray[np.int64]
    data: NDArray[np.uint8]
    """(n, room)"""


class Receiver:
    """Takes packets off a socket."""

    def __init__(self, one: socket.socket, count: int = 512, room: int = 256) -> None:
        self._fd = one.fileno()
        self._count = count
        self._data = np.zeros((count, room), np.uint8)
        self._names = np.zeros((count, NAME), np.uint8)
        self._control = np.zeros((count, CONTROL), np.uint8)
        self._heads, self._iov = _heads(self._data, self._names)
        self._heads["control"] = self._control.ctypes.data + np.arange(count, dtype=np.uint64) * np.uint64(CONTROL)
        self._ports = self._names[:, 2:4].view(">u2")[:, 0]
        self._stamps = self._control.view(np.int64)[:, 2:4]

    def take(self) -> Batch | None:
        """What has come; None when nothing has."""
        self._heads["control_len"] = CONTROL
        self._heads["name_len"] = NAME
        got = _libc.recvmmsg(self._fd, ctypes.c_void_p(self._heads.ctypes.data), self._count, 0x40, None)
        if got <= 0:
            if got and ctypes.get_errno() not in (errno.EAGAIN, errno.ECONNREFUSED, errno.EINTR):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            return None
        stamps = self._stamps[:got]
        return Batch(
            at=stamps[:, 0] * 1_000_000_000 + stamps[:, 1],
            port=self._ports[:got].astype(np.int64),
            size=self._heads["len"][:got].astype(np.int64),
            data=self._data[:got],
        )


class Outgoing:
    """Packets of one size, each to a port of its own on one address; `rows` of them are kept ready to be sent."""

    def __init__(self, one: socket.socket, address: str, rows: int, size: int) -> None:
        self._fd = one.fileno()
        self.data = np.zeros((rows, size), np.uint8)
        self._names = np.zeros((rows, NAME), np.uint8)
        self._names[:, 0:2] = np.frombuffer(struct.pack("=H", socket.AF_INET), np.uint8)
        self._names[:, 4:8] = np.frombuffer(socket.inet_aton(address), np.uint8)
        self.port = self._names[:, 2:4].view(">u2")[:, 0]
        self._heads, self._iov = _heads(self.data, self._names)

    def send(self, count: int) -> int:
        """Send the first rows; returns how many the kernel took."""
        sent = 0
        while sent < count:
            at = ctypes.c_void_p(self._heads.ctypes.data + sent * _HEAD.itemsize)
            got = _libc.sendmmsg(self._fd, at, count - sent, 0x40)
            if got < 0 and ctypes.get_errno() in (errno.EAGAIN, errno.ENOBUFS):
                break
            sent += max(got, 1)  # a row that can't be sent (its port is closed) is passed over
        return sent
