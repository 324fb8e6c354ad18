"""How long our certificate of SIP over TLS is good: told in /readyz, and daily in the log from two weeks before on."""

from __future__ import annotations

import asyncio

import structlog

from telephony.tls import EXPIRES_SOON_DAYS, TlsSettings, days_left
from worker.service.http import Part

__all__ = ["certificate_part", "watch_certificate"]

log = structlog.get_logger(__name__)

DAY_S = 86400.0


def certificate_part(tls: TlsSettings) -> Part | None:
    """Return how it stands; None where there is none. No call is refused for it: other transports go on."""
    if tls.certificate is None:
        return None
    days = days_left(tls)
    if days is None:
        return Part("certificate", True, "unknown: install offhook[tls] to be told when it expires", needed=False)
    words = f"expires in {days:.0f} days" if days >= 0 else f"expired {-days:.0f} days ago"
    return Part("certificate", days > EXPIRES_SOON_DAYS, words, needed=False)


async def watch_certificate(tls: TlsSettings) -> None:
    """Tell once a day, until cancelled. A file that was replaced is read anew; callers see it after a restart."""
    while True:
        days = days_left(tls)
        if days is not None and days <= EXPIRES_SOON_DAYS:
            mend = "put the new one in its place, and restart the worker"
            log.warning("certificate_expires", file=tls.certificate, days=round(days, 1), mend=mend)
        await asyncio.sleep(DAY_S)
