"""What we send to a Homer, as somebody else's receiver of HEP3 takes it: sngrep's, which writes down all of it."""

from __future__ import annotations

import ipaddress
import json
import shutil
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

from tests.worker.records.test_hep import HEAD, LOCAL, message, rtp
from worker.records.captures import Captures
from worker.records.hep import packet

SNGREP = shutil.which("sngrep")
pytestmark = pytest.mark.skipif(SNGREP is None, reason="no sngrep: Debian's package sngrep")
AT = 1_700_000_000.25
SENT = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.7\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n"
SENT += "Call-ID: abc\r\nCSeq: 1 INVITE\r\n\r\n"
ETHERNET, RAW = 1, 101
Packet = tuple[float, str, int, str, int, str]


def read(path: Path) -> list[Packet]:
    """The UDP packets of a capture (libpcap's format): time, source, its port, target, its port, payload."""
    data, found = path.read_bytes(), []
    if len(data) < 24:
        return []
    link = struct.unpack_from("<I", data, 20)[0]
    skip, place = {ETHERNET: 14, RAW: 0}[link], 24
    while place + 16 <= len(data):
        second, us, size, _ = struct.unpack_from("<IIII", data, place)
        ip = data[place + 16 + skip : place + 16 + size]
        place += 16 + size
        head = (ip[0] & 15) * 4
        source, target = (str(ipaddress.ip_address(ip[at : at + 4])) for at in (12, 16))
        ports = struct.unpack_from("!HH", ip, head)
        found.append((second + us / 1e6, source, ports[0], target, ports[1], ip[head + 8 :].decode()))
    return found


def listens(port: int) -> bool:
    """Whether somebody has taken the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def test_messages_and_reports_are_whole_for_another_receiver(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = tmp_path / "told.pcap"
    command = [str(SNGREP), "-F", "-N", "-q", "-L", f"udp:127.0.0.1:{port}", "-O", str(path)]
    receiver = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    captures = Captures()
    events = (message(), message(sent=True, head=SENT), rtp(250, 3))
    told = [packet(one, 2001, None) for event in events for one in captures.of(event, AT, LOCAL)]
    try:
        until = time.monotonic() + 20
        while not listens(port) and receiver.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        if receiver.poll() is not None:
            pytest.skip(f"sngrep may not capture here: {receiver.communicate()[0].decode()[-200:]}")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as homer:
            for one in told:
                homer.sendto(one, ("127.0.0.1", port))
        while (not path.exists() or len(read(path)) < len(told)) and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        receiver.kill()
        receiver.communicate()
    caller = ("192.0.2.7", 5062)
    first, second, third = read(path)
    assert first == (AT, *caller, *LOCAL, HEAD)
    assert second == (AT, *LOCAL, *caller, SENT)
    assert third[1:5] == (*caller, *LOCAL) and json.loads(third[5])["RTP_SIP_CALL_ID"] == "abc"
