"""The certificate's end in /readyz and in the log."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from telephony.tls import TlsSettings
from tests.telephony.authority import Authority
from worker.service.certificate import CertificateWatch


@pytest.mark.parametrize(
    ("days", "ok", "words", "warned"),
    [(30, True, "expires in 30 days", False), (9, False, "expires in 9 days", True), (-3, False, "expired 3", True)],
)
async def test_its_end_is_told_two_weeks_before(
    tmp_path: Path, days: float, ok: bool, words: str, warned: bool
) -> None:
    files = Authority.made(tmp_path, "ours").sign("desk", days=days)
    watch = CertificateWatch(TlsSettings(certificate=files["certificate"], key=files["key"]))
    with capture_logs() as logs:
        running = asyncio.create_task(watch.run())
        while watch._days is None:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    part = watch.part()
    assert part is not None and (part.ok, part.needed) == (ok, False) and part.detail.startswith(words)
    assert [one["event"] for one in logs] == ["certificate_expires"] * warned


def test_without_a_certificate_there_is_no_part(tmp_path: Path) -> None:
    assert CertificateWatch(TlsSettings()).part() is None
    unread = CertificateWatch(TlsSettings(certificate=str(tmp_path / "none.pem"))).part()
    assert unread is not None and unread.ok and "unknown" in unread.detail
