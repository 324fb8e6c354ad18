"""How long our certificate of SIP over TLS is good: told in /readyz, and daily in the log from two weeks before on."""

from __future__ import annotations

import asyncio

import structlog

from telephony.tls import EXPIRES_SOON_DAYS, TlsSettings, days_left
from worker.service.http import Part

__all__ = ["CertificateWatch"]

log = structlog.get_logger(__name__)

LOOK_S = 3600.0
LOOKS_A_DAY = 24


class CertificateWatch:
    """Reads the file beside the loop, once an hour: what asks for /readyz is answered between frames."""

    def __init__(self, tls: TlsSettings) -> None:
        """Nothing is read yet."""
        self._tls = tls
        self._days: float | None = None

    async def run(self) -> None:
        """Look until cancelled. A file that was replaced is seen here; callers see it after a restart."""
        looks = 0
        while True:
            self._days = await asyncio.to_thread(days_left, self._tls)
            if self._days is not None and self._days <= EXPIRES_SOON_DAYS and not looks % LOOKS_A_DAY:
                mend = "put the new one in its place, and restart the worker"
                log.warning("certificate_expires", file=self._tls.certificate, days=round(self._days, 1), mend=mend)
            looks += 1
            await asyncio.sleep(LOOK_S)

    def part(self) -> Part | None:
        """Return how it stands; None where there is none. No call is refused for it: other transports go on."""
        if self._tls.certificate is None:
            return None
        if self._days is None:
            return Part("certificate", True, "unknown: install offhook[tls] to be told when it expires", needed=False)
        words = f"expires in {self._days:.0f} days" if self._days >= 0 else f"expired {-self._days:.0f} days ago"
        return Part("certificate", self._days > EXPIRES_SOON_DAYS, words, needed=False)
