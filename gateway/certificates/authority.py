"""X.509 (RFC 5280): a CA, the certificates that it signs, and their files.

The only door to cryptography's x509. Imports nothing of this project: the image that makes certificates for containers
holds this file alone.
"""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLOCK_SKEW = dt.timedelta(hours=1)
"""Certificates are valid from an hour ago, for hosts whose clocks are late."""

PrivateKey = ec.EllipticCurvePrivateKey
Certificate = x509.Certificate


class Use(enum.Enum):
    """At which end of a connection a certificate may be shown. Mutual TLS needs one at each end."""

    BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
    CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA and its private key."""

    certificate: x509.Certificate
    key: PrivateKey


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate is for: its common name, its alternative names (DNS names or IP addresses), and its use."""

    name: str
    names: tuple[str, ...]
    use: Use = Use.BOTH


def make_authority(name: str, lifetime: dt.timedelta, now: dt.datetime) -> Authority:
    """A new CA that may sign certificates of hosts, but no further CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    return Authority(builder.sign(key, hashes.SHA256()), key)


def issue(
    authority: Authority, subject: Subject, lifetime: dt.timedelta, now: dt.datetime
) -> tuple[x509.Certificate, PrivateKey]:
    """A certificate with a key of its own; it expires with the CA at the latest. Raises ValueError for a bad name."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject.name))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(min(now + lifetime, authority.certificate.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(general_names(subject.names)), critical=False)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(subject.use.value), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    return builder.sign(authority.key, hashes.SHA256()), key


def subject_of(certificate: x509.Certificate) -> Subject:
    """Whom a certificate is for. Raises ValueError for one that `issue` cannot have made."""
    try:
        common_name = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        use = next(use for use in Use if set(use.value) == set(usage))
    except (IndexError, x509.ExtensionNotFound, StopIteration):
        raise ValueError("not a certificate of a host") from None
    return Subject(str(common_name), tuple(str(name.value) for name in names), use)


def is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether the CA has signed the certificate."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    """Alternative names as X.509 has them. Raises ValueError for one that is neither ASCII nor an IP address."""
    return [x509.IPAddress(ipaddress.ip_address(name)) if is_address(name) else x509.DNSName(name) for name in names]


def is_address(name: str) -> bool:
    """Whether a name is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def read_certificate(path: Path) -> x509.Certificate:
    """The first certificate of a PEM file. Raises OSError, ValueError."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def read_key(path: Path) -> PrivateKey:
    """The private key in a PEM file. Raises OSError, ValueError for anything else."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except TypeError:
        raise ValueError("the key has a passphrase") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic-curve key")
    return key


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """A certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: PrivateKey) -> bytes:
    """A private key as PEM, not encrypted: the process that uses it has nobody to ask for a passphrase."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file at once and with its mode from the first byte; a reader sees the old or the new one."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=mode)
    partial.write_bytes(content)
    partial.chmod(mode)
    partial.replace(path)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


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
