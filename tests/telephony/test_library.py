"""The library's log on its way into ours, and its start and stop."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from telephony.binding import pj
from telephony.library import LINES_PER_S, SPARE_LINES, LogWriter, limit_of

SECRET = "SIP/2.0 packet dropped: syntax error\r\nAuthorization: Digest sesame\r\n"


def entry(text: str, level: int = 1) -> Any:
    made = pj.LogEntry()
    made.msg, made.level = text, level
    return made


def test_only_the_first_row_is_kept() -> None:
    writer = LogWriter()
    with structlog.testing.capture_logs() as lines:
        writer.write(entry(SECRET))
        writer.write(entry("\n"))
        writer.write(entry("a" * 5000, level=3))
        assert not lines, "the writer's thread does not log"
        writer.hand_on()
    assert [line["line"] for line in lines] == ["SIP/2.0 packet dropped: syntax error", "a" * 300]
    assert [line["log_level"] for line in lines] == ["warning", "info"]


def test_a_flood_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("telephony.library.time.monotonic", lambda: now)
    writer = LogWriter()
    with structlog.testing.capture_logs() as lines:
        for _ in range(10 * LINES_PER_S):
            writer.write(entry("again"))
            writer.hand_on()
        assert len(lines) == LINES_PER_S
        now = 101.0
        writer.write(entry("more"))
        writer.hand_on()
    assert lines[LINES_PER_S] == {"event": "sip_library_lines_dropped", "lines": 180, "log_level": "warning"}
    assert len(lines) == LINES_PER_S + 2


@pytest.mark.parametrize(
    ("settings", "spoken"),
    [
        ("", {"PCMU/8000": 240, "PCMA/8000": 230, "G722/16000": 220}),
        ("codecs=('G722', 'PCMA')", {"G722/16000": 240, "PCMA/8000": 230}),
    ],
)
def test_speaks_these_codecs_alone(run_python: Any, settings: str, spoken: dict[str, int]) -> None:
    run_python(f"""
from telephony.library import Library
from telephony.settings import SipSettings
library = Library(SipSettings(port=0, rtp_ports=(0, 0), log_level=3, {settings}))
info = library.start()
codecs = library.endpoint.codecEnum2()
spoken = {{codec.codecId.rpartition("/")[0]: codec.priority for codec in codecs if codec.priority}}
assert spoken == {spoken!r}, spoken
del codecs
assert info.limit == info.capacity - (0 if info.capacity == 4 else {SPARE_LINES}) and info.port > 0
library.stop()
print("good")
""")


@pytest.mark.parametrize(
    ("capacity", "wanted", "limit"),
    [(4, None, 4), (4, 2, 2), (4, 9, 4), (512, None, 480), (512, 100, 100), (512, 500, 480)],
)
def test_a_large_build_keeps_lines_for_its_refusals(capacity: int, wanted: int | None, limit: int) -> None:
    assert limit_of(capacity, wanted) == limit


def test_a_failed_start_leaves_the_way_free(run_python: Any) -> None:
    """After a busy port the same process can start on another one."""
    run_python("""
import socket
from telephony.endpoint import Endpoint
from telephony.errors import SipStartError
from telephony.settings import SipSettings
other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
other.bind(("127.0.0.1", 0))
try:
    Endpoint(SipSettings(port=other.getsockname()[1], rtp_ports=(0, 0)), print).start()
except SipStartError:
    endpoint = Endpoint(SipSettings(port=0, rtp_ports=(0, 0)), print)
    endpoint.start()
    endpoint.stop()
    print("good")
""")
