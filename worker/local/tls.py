"""A self-signed certificate for this machine: Google's SDK connects with TLS only."""

from __future__ import annotations

import datetime
import importlib.util
import ipaddress
import ssl
from pathlib import Path

from worker.local.errors import SpeechUnavailable

__all__ = ["certificate", "context"]

NAMES = ("localhost",)
ADDRESSES = ("127.0.0.1", "::1")
DAYS = 30


def certificate(folder: Path) -> tuple[Path, Path]:
    """Return certificate and key (PEM) of a folder, for localhost; made where they are not there.

    Raises SpeechUnavailable where the package that makes them is missing.
    """
    cert, key = folder / "certificate.pem", folder / "key.pem"
    if not (cert.exists() and key.exists()):
        if importlib.util.find_spec("cryptography") is None:
            raise SpeechUnavailable("a certificate needs the package cryptography: uv sync --group embedded")
        folder.mkdir(parents=True, exist_ok=True)
        _make(cert, key)
    return cert, key


def context(folder: Path) -> ssl.SSLContext:
    """Return the server's side of TLS with the certificate of a folder."""
    cert, key = certificate(folder)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(cert, key)
    return made


def _make(cert: Path, key: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "offhook realtime-server")])
    names = [*map(x509.DNSName, NAMES), *(x509.IPAddress(ipaddress.ip_address(one)) for one in ADDRESSES)]
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key.touch(mode=0o600)
    key.write_bytes(pem)
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
