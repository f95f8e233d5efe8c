"""A private CA and the certificates it signs, for `make run` and docker-compose.yml. For hosts: `talkup certs`.

Run as a program: `python certs.py DIRECTORY NAME[=SAN,SAN...]...` writes `NAME.pem` and `NAME-key.pem` next to `ca.pem`
and keeps certificates that are still valid. Each certificate works for both ends of a connection (serverAuth and
clientAuth), as mutual TLS between gateway and workers requires.
"""

from __future__ import annotations

import argparse
import datetime as dt
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.certificates import authority as x509

LIFETIME = dt.timedelta(days=365)
RENEW_BEFORE = dt.timedelta(days=30)
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Identity:
    """Paths of one certificate, its private key and the CA that signed it, all PEM."""

    certificate: Path
    key: Path
    ca: Path


def identity(directory: Path, name: str) -> Identity:
    """The paths of the identity `name` in `directory`, whether it exists or not."""
    return Identity(directory / f"{name}.pem", directory / f"{name}-key.pem", directory / "ca.pem")


def ensure(directory: Path, names: Mapping[str, Sequence[str]], now: dt.datetime) -> dict[str, Identity]:
    """Ensure a valid certificate for every name, with its alternative names (DNS names or IP addresses).

    The CA's key is never written. If a certificate is missing or about to expire, a new CA issues all of them again.
    """
    found = {name: identity(directory, name) for name in names}
    if all(_is_usable(found[name], sans, now) for name, sans in names.items()):
        return found
    directory.mkdir(parents=True, exist_ok=True, mode=0o755)
    authority = x509.make_authority("TalkUp development CA", LIFETIME, now)
    for name, sans in names.items():
        certificate, key = x509.issue(authority, x509.Subject(name, tuple(sans)), LIFETIME, now)
        x509.write(found[name].key, x509.key_pem(key), mode=0o600)
        x509.write(found[name].certificate, x509.certificate_pem(certificate), mode=0o644)
    # Written last: after an interrupted run, the old CA does not match the new certificates, and they are issued again.
    x509.write(directory / "ca.pem", x509.certificate_pem(authority.certificate), mode=0o644)
    return found


def token_secret(directory: Path) -> str:
    """The secret that signs session tokens; created once, so that sessions survive a restart of the gateway."""
    return secret(directory, "token-secret")


def secret(directory: Path, name: str) -> str:
    """A random secret in a file of its own, which only its owner reads; created once."""
    path = directory / name
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        x509.write(path, secrets.token_hex(32).encode(), mode=0o600)
    return path.read_text(encoding="ascii")


def _is_usable(paths: Identity, sans: Sequence[str], now: dt.datetime) -> bool:
    try:
        certificate = x509.read_certificate(paths.certificate)
        authority = x509.read_certificate(paths.ca)
        key = x509.read_key(paths.key)
        subject = x509.subject_of(certificate)
    except (OSError, ValueError):
        return False
    return (
        x509.is_signed_by(certificate, authority)
        and key.public_key() == certificate.public_key()
        and set(x509.general_names(subject.names)) == set(x509.general_names(sans))
        and min(certificate.not_valid_after_utc, authority.not_valid_after_utc) - now > RENEW_BEFORE
        and certificate.not_valid_before_utc <= now
    )


def parse_names(arguments: Sequence[str]) -> dict[str, list[str]]:
    """`NAME` (its only alternative name is its own) or `NAME=SAN,SAN`.

    No name is shared: a worker that shows another's certificate has the wrong name wherever it is reached.
    """
    names: dict[str, list[str]] = {}
    for argument in arguments:
        name, separator, sans = argument.partition("=")
        names[name] = sans.split(",") if separator else [name]
    return names


def main() -> int:
    """Create what is missing; return exit status 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("directory", type=Path)
    parser.add_argument("names", nargs="+", metavar="NAME[=SAN,SAN]")
    parser.add_argument("--secret", action="append", default=[], metavar="NAME", help="also create this random secret")
    arguments = parser.parse_args()
    ensure(arguments.directory, parse_names(arguments.names), dt.datetime.now(dt.UTC))
    for name in arguments.secret:
        secret(arguments.directory, name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
