"""A certificate for a worker on loopback, signed by itself: whoever calls believes it alone."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from rig.sip import OWN


@dataclass(frozen=True, slots=True)
class Certificate:
    """Its files (PEM)."""

    certificate: Path
    key: Path

    def settings(self) -> dict[str, str]:
        """The environment of a worker that shows it."""
        return {
            "OFFHOOK_SIP_TRANSPORTS": "udp,tls",
            "OFFHOOK_SIP_TLS_PORT": "0",
            "OFFHOOK_SIP_TLS_CERT": str(self.certificate),
            "OFFHOOK_SIP_TLS_KEY": str(self.key),
        }


def made(folder: Path) -> Certificate:
    """Make one with a key of P-256, good for a month."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.datetime.now(datetime.UTC)
    hosts = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(OWN))])
    one = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(hosts, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    found = Certificate(folder / "worker.pem", folder / "worker.key")
    found.certificate.write_bytes(one.public_bytes(serialization.Encoding.PEM))
    found.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return found
