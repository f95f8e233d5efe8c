"""A private CA and the certificates it signs, for `make run` and docker-compose.yml. Not for production.

Run as a program: `python certs.py DIRECTORY NAME[=SAN,SAN...]...` writes `NAME.pem` and `NAME-key.pem` next to `ca.pem`
and keeps certificates that are still valid. Each certificate works for both ends of a connection (serverAuth and
clientAuth), as mutual TLS between gateway and workers requires.
"""

from __future__ import annotations

import argparse
import datetime as dt
import ipaddress
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = dt.timedelta(days=365)
RENEW_BEFORE = dt.timedelta(days=30)
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
CLOCK_SKEW = dt.timedelta(hours=1)


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
    authority, authority_key = _make_authority(now)
    for name, sans in names.items():
        certificate, key = _make_leaf(name, sans, now, authority, authority_key)
        _write(found[name].key, _private_bytes(key), mode=0o600)
        _write(found[name].certificate, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
    # Written last: after an interrupted run, the old CA does not match the new certificates, and they are issued again.
    _write(directory / "ca.pem", authority.public_bytes(serialization.Encoding.PEM), mode=0o644)
    return found


def token_secret(directory: Path) -> str:
    """The secret that signs session tokens; created once, so that sessions survive a restart of the gateway."""
    return secret(directory, "token-secret")


def secret(directory: Path, name: str) -> str:
    """A random secret in a file of its own, which only its owner reads; created once."""
    path = directory / name
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        _write(path, secrets.token_hex(32).encode(), mode=0o600)
    return path.read_text(encoding="ascii")


def _is_usable(paths: Identity, sans: Sequence[str], now: dt.datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(paths.certificate.read_bytes())
        authority = x509.load_pem_x509_certificate(paths.ca.read_bytes())
        certificate.verify_directly_issued_by(authority)
        key = serialization.load_pem_private_key(paths.key.read_bytes(), password=None)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return (
        key.public_key() == certificate.public_key()
        and set(names) == set(_general_names(sans))
        and min(certificate.not_valid_after_utc, authority.not_valid_after_utc) - now > RENEW_BEFORE
        and certificate.not_valid_before_utc <= now
    )


def _general_names(sans: Sequence[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for san in sans:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(san)))
        except ValueError:
            names.append(x509.DNSName(san))
    return names


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _make_authority(now: dt.datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name("TalkUp development CA")
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    return builder.sign(key, hashes.SHA256()), key


def _make_leaf(
    name: str,
    sans: Sequence[str],
    now: dt.datetime,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(_general_names(sans)), critical=False)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    return builder.sign(authority_key, hashes.SHA256()), key


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _private_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, *, mode: int) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=mode)
    partial.write_bytes(content)
    partial.chmod(mode)
    partial.replace(path)


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
