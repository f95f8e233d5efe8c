"""What is wrong with certificate files, before anybody connects."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509


def chain_fault(certificate: Path, key: Path, now: datetime) -> str | None:
    """What is wrong with a chain and its key (PEM); None: nothing. Raises OSError for a file that cannot be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        problem = (error.reason or "unreadable").lower().replace("_", " ")
        return f"{certificate} and {key} cannot be used: {problem}"
    return authority_fault(certificate, now)


def authority_fault(certificates: Path, now: datetime) -> str | None:
    """What is wrong with a file of certificates (PEM); None: nothing. Raises OSError."""
    try:
        found = x509.load_pem_x509_certificates(certificates.read_bytes())
    except ValueError:
        return f"{certificates} holds no certificate in PEM"
    for each in found:
        if each.not_valid_after_utc < now:
            return f"{certificates}: a certificate expired at {_moment(each.not_valid_after_utc)}"
        if each.not_valid_before_utc > now:
            return f"{certificates}: a certificate is not valid before {_moment(each.not_valid_before_utc)}"
    return None


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
