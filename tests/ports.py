"""Ports that nobody has at the moment, for tests to listen on."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


def free_port(host: str = LOOPBACK) -> int:
    """A TCP port."""
    return _free(socket.SOCK_STREAM, host)


def free_udp_port(host: str = LOOPBACK) -> int:
    """A UDP port."""
    return _free(socket.SOCK_DGRAM, host)


def _free(kind: socket.SocketKind, host: str) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
