"""How connections of SIP are set up, seen from outside."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

PIDFD_GETFD = 438
"""Of Linux 5.6, the same number on every machine (man 2 pidfd_getfd)."""


def connection_of(pid: int, peer: tuple[str, int]) -> socket.socket:
    """A process's end of the connection to this address."""
    process = os.pidfd_open(pid)
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                continue
            if (copied := syscall(PIDFD_GETFD, process, int(name), 0)) < 0:
                pytest.skip(f"no right to look at another process's sockets: {os.strerror(ctypes.get_errno())}")
            one = socket.socket(fileno=copied)
            try:
                if one.getpeername() == peer:
                    return one
            except OSError:
                pass  # it listens, or is none
            one.close()
    finally:
        os.close(process)
    raise AssertionError(f"process {pid} has no connection to {peer}")


@pytest.mark.skipif(not sys.platform.startswith("linux") or not Path("/proc").is_dir(), reason="reads Linux's /proc")
def test_an_answer_does_not_wait_for_the_acknowledgement_of_what_went_before(start_endpoint: Any) -> None:
    agent = start_endpoint(transports=["tcp"])
    (address,) = agent.next("Started")["addresses"]
    host, _, port = address.removeprefix("sip:").partition(";")[0].rpartition(":")
    request = (
        f"OPTIONS sip:427@{host} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:1;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
        f"From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:427@{host}>\r\nCall-ID: options\r\nCSeq: 1 OPTIONS\r\n"
        "Content-Length: 0\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), 5) as line:
        line.settimeout(5)
        line.sendall(request.encode())
        assert line.recv(4096).startswith(b"SIP/2.0 ")
        with connection_of(agent.process.pid, line.getsockname()) as theirs:
            assert theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
