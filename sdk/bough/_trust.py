"""Which certificates a coordinator may show that no authority vouches for: its own, recognized by its fingerprint.

A coordinator with a certificate of its own prints its address with the SHA-256 of that certificate behind a ``#``. Who
connects with such an address gets the certificate once, compares, and keeps it; from then on it is what connections to
that host and port are verified against, names included. Nothing is ever left unverified.

Standard library only, Python 3.7. ``import bough`` does not import this module.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
from urllib.parse import urlsplit

from bough.errors import Denied, Unavailable, UsageError

AUTHORITY = "SSL_CERT_FILE"  # OpenSSL's own variable
FOLDER = "trusted"  # in a home: <host>_<port>.pem
_TIMEOUT_S = 10.0
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")

_known: dict[tuple[str, int], str] = {}  # (host, port) → file with the certificate


def split(address: str) -> tuple[str, str | None]:
    """Return the address without what is behind ``#``, and the fingerprint that is there, or None.

    Raises:
        UsageError: What is there is no fingerprint.
    """
    url, has_pin, text = address.partition("#")
    pin = text.replace(":", "").lower()
    if not has_pin:
        return url, None
    if not _FINGERPRINT.fullmatch(pin) or not url.startswith("https://"):
        raise UsageError(
            "what stands behind # in the coordinator's address is no fingerprint.",
            "Copy the whole address that the coordinator printed: https://host:8400#<64 digits>.",
        )
    return url, pin


def pin(url: str, fingerprint: str, folder: str) -> str:
    """Trust the certificate of this fingerprint for this host and port; return the file that it is kept in.

    Args:
        url: ``https://host:port``.
        fingerprint: SHA-256 of the certificate (DER), 64 hexadecimal digits.
        folder: Where certificates are kept; made if need be.

    Raises:
        Denied: The coordinator shows another certificate.
        Unavailable: It does not answer, or not with TLS.
    """
    host, port = _origin(url)
    path = os.path.join(folder, "{}_{}.pem".format(re.sub(r"[^A-Za-z0-9.-]", "-", host), port))
    if fingerprint_of(path) != fingerprint:
        pem = _shown_by(host, port)
        if hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest() != fingerprint:
            raise Denied(
                "the coordinator at {} shows another certificate than the one in its address.".format(url),
                "Copy the address again from the coordinator's console; if it did not change, somebody is in between.",
            )
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with open(path + ".new", "w") as file:
            file.write(pem)
        os.replace(path + ".new", path)
    remember(url, path)
    return path


def remember(url: str, path: str) -> None:
    """Verify connections to this host and port against the certificate in that file."""
    _known[_origin(url)] = path


def load(folder: str) -> None:
    """Remember every certificate that `pin` kept in that folder."""
    if not os.path.isdir(folder):
        return
    for name in os.listdir(folder):
        host, _, port = name[: -len(".pem")].rpartition("_")
        if name.endswith(".pem") and host and port.isdigit():
            _known[host, int(port)] = os.path.join(folder, name)


def authority_for(url: str) -> str | None:
    """Return the file that a connection is verified against; None: the system's authorities.

    For an authority of one's own that is the file that the variable SSL_CERT_FILE names, for git as well.
    """
    if not url.startswith("https://"):
        return None
    return _known.get(_origin(url)) or os.environ.get(AUTHORITY) or None


def distrust(url: str, error: Exception) -> Unavailable | None:
    """Return the error for a coordinator whose certificate was the trouble with a request; None: it was something else.

    Args:
        url: Of the coordinator.
        error: What the request ended with.
    """
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" not in text:
        return None
    if "not valid for" in text or "doesn't match" in text:
        return Unavailable(
            "the certificate of the coordinator at {} is one for another name.".format(url),
            "Use a name that it has: bough login https://NAME:PORT, and --coordinator for agents.",
        )
    return Unavailable(
        "the certificate of the coordinator at {} is none that is trusted here.".format(url),
        "Use the whole address that the coordinator printed, with # and the fingerprint; for an authority of your own "
        "name its certificate in {}.".format(AUTHORITY),
    )


def git_environment(url: str) -> dict[str, str]:
    """Return the variables that make git verify a remote in the same way."""
    path = authority_for(url)
    return {} if path is None else {"GIT_SSL_CAINFO": path}


def fingerprint_of(path: str) -> str | None:
    """Return the SHA-256 of the certificate in a file, or None where there is none."""
    try:
        with open(path) as file:
            return hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read().strip())).hexdigest()
    except (OSError, ValueError):
        return None


def _origin(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


def _shown_by(host: str, port: int) -> str:
    import socket

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent: what is shown is compared by its fingerprint
    try:
        plain = socket.create_connection((host, port), timeout=_TIMEOUT_S)
        with plain, context.wrap_socket(plain, server_hostname=host) as secured:
            shown = secured.getpeercert(binary_form=True)
    except OSError as error:
        raise Unavailable(
            "the coordinator at {}:{} cannot be reached over TLS ({}).".format(host, port, error.strerror or error),
            "Check that it runs, and the address.",
        ) from None
    assert shown is not None
    return ssl.DER_cert_to_PEM_cert(shown)
