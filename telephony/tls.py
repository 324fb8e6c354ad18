"""SIP over TLS: the certificate that we show, whom we believe, and when it expires.

The library reads the files itself, and says little of what is wrong with them: so they are looked at before.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from telephony.errors import SipStartError

__all__ = ["EXPIRES_SOON_DAYS", "TlsSettings", "check_files", "days_left", "trusted_file"]

EXPIRES_SOON_DAYS = 14
"""From here on an operator is told of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """Files in PEM form."""

    certificate: str | None = None
    """Ours, with the chain below it. Without one we call others over TLS, and nobody calls us so."""
    key: str | None = None
    """Its private key, without a passphrase; None: it is in the certificate's file."""
    authorities: str | None = None
    """Whose certificates we believe; None: those that this machine does."""
    port: int = 5061
    """Where we listen; 0 takes a free port."""
    verify: bool = True
    """Whether whom we connect to has to show a certificate that we believe, for the name that we know him by."""
    clients: bool = False
    """Whether callers have to show a certificate of `authorities`."""


def trusted_file(settings: TlsSettings) -> str:
    """The file of those whose certificates we believe; "" where this machine has none."""
    return settings.authorities or ssl.get_default_verify_paths().cafile or ""


def check_files(settings: TlsSettings) -> None:
    """Raises SipStartError for files that can't be read, hold no certificate, or don't belong together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if settings.authorities is not None:
        try:
            context.load_verify_locations(settings.authorities)
        except (OSError, ssl.SSLError) as error:
            raise SipStartError(f"{settings.authorities}: no certificates can be read: {_why(error)}") from None
    if settings.certificate is None:
        return
    key = settings.key or settings.certificate
    for name in (settings.certificate, key):
        try:
            Path(name).read_bytes()
        except OSError as error:
            raise SipStartError(f"{name}: can't be read: {error.strerror or error}") from None
    try:
        context.load_cert_chain(settings.certificate, key, password="")
    except (OSError, ssl.SSLError) as error:
        raise SipStartError(f"{settings.certificate}: is no certificate for the key in {key}: {_why(error)}") from None


def days_left(settings: TlsSettings, now: datetime | None = None) -> float | None:
    """Days until our certificate expires, below 0 when it has; None where there is none, or nothing that can tell.

    What reads it is the package cryptography.
    """
    if settings.certificate is None:
        return None
    try:
        from cryptography import x509

        [first, *_] = x509.load_pem_x509_certificates(Path(settings.certificate).read_bytes())
    except (ImportError, OSError, ValueError):
        return None
    left = first.not_valid_after_utc - (now or datetime.now(UTC))
    return left.total_seconds() / 86400


def _why(error: OSError) -> str:
    """OpenSSL's reason, in its words, or the system's."""
    reason = getattr(error, "reason", None)
    return str(reason).lower().replace("_", " ") if reason else (error.strerror or str(error))
