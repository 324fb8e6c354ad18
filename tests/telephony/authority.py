"""An authority of a test's own, which signs certificates for SIP over TLS."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True)
class Authority:
    """Signs certificates."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def path(self) -> str:
        return str(self.folder / "ca.pem")

    @classmethod
    def made(cls, folder: Path, name: str) -> Authority:
        """Make one whose files stand in `folder`."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = _certificate(name, key, None, key, 30)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        certificate = made.sign(key, hashes.SHA256())
        (folder / "ca.pem").write_bytes(_pem(certificate))
        return cls(folder, key, certificate)

    def sign(self, name: str, *, address: str = "127.0.0.1", days: float = 30) -> dict[str, Any]:
        """Make a certificate; returns what `TlsSettings` calls its files."""
        key = ec.generate_private_key(ec.SECP256R1())
        host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address)), x509.DNSName(name)])
        made = _certificate(name, key, self.certificate.subject, self.key, days).add_extension(host, critical=False)
        (self.folder / f"{name}.pem").write_bytes(_pem(made.sign(self.key, hashes.SHA256())))
        (self.folder / f"{name}.key").write_bytes(_key(key))
        return {"certificate": str(self.folder / f"{name}.pem"), "key": str(self.folder / f"{name}.key"), "port": 0}


def _certificate(name: str, key: Any, issuer: x509.Name | None, signer: Any, days: float) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(NOW - datetime.timedelta(days=400))
    return made.not_valid_after(NOW + datetime.timedelta(days=days))


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key(key: ec.EllipticCurvePrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
