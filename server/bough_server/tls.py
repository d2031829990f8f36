"""The coordinator's own certificate, for machines that no authority knows: made once, recognized by its fingerprint.

It names every name and address that this machine has, since those who connect check the name as well.
"""

from __future__ import annotations

import datetime
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psutil

from bough import _trust
from bough.errors import UsageError
from bough_server.service.keys import write_secret

CERTIFICATE, KEY = "tls.pem", "tls.key"
_DAYS = 3650


def ensure_certificate(home: Path, names: frozenset[str], now: float) -> tuple[Path, Path]:
    """Return the files of the certificate and its key, made at the first start.

    Args:
        home: The coordinator's home.
        names: Names and addresses to put in, besides those of this machine.
        now: Seconds since the epoch: when its validity begins.

    Raises:
        UsageError: The library that makes certificates is not installed.
    """
    certificate, key = home / CERTIFICATE, home / KEY
    if not (certificate.is_file() and key.is_file()):
        pem, secret = make(sorted(names | own_names()), now)
        write_secret(key, secret)
        write_secret(certificate, pem)
    return certificate, key


def fingerprint(certificate: Path) -> str:
    """Return the SHA-256 of a certificate's file, 64 hexadecimal digits.

    Raises:
        UsageError: The file holds no certificate.
    """
    found = _trust.fingerprint_of(str(certificate))
    if found is None:
        raise UsageError(f"{certificate} holds no certificate.", "Name a PEM file: --tls-cert FILE.")
    return found


def own_names() -> frozenset[str]:
    """Return the names and addresses that this machine has."""
    names = {"localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn()}
    for addresses in psutil.net_if_addrs().values():
        names |= {one.address.partition("%")[0] for one in addresses if one.family in (socket.AF_INET, socket.AF_INET6)}
    return frozenset(name for name in names if name)


def make(names: list[str], now: float) -> tuple[str, str]:
    """Return a new certificate and its key as PEM; errors as `ensure_certificate`."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError:
        raise UsageError(
            "a certificate cannot be made: the package cryptography is not installed here.",
            'Install it (pip install "bough[server]"), or give a certificate: --tls-cert FILE --tls-key FILE.',
        ) from None
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bough coordinator")])
    start = datetime.datetime.fromtimestamp(now, datetime.UTC) - datetime.timedelta(days=1)  # clocks differ
    public = key.public_key()
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    made = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(own)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([_named(x509, name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), secret.decode()


def _named(x509: Any, name: str) -> Any:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
