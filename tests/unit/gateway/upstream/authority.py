"""A private CA for tests, and the files that a gateway gets from it."""

from __future__ import annotations

import datetime
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.upstream.config import TlsSettings

_NOW = (-0.01, 0.1)


class Authority:
    """A private CA. Its certificates are for localhost and valid now, unless a test asks for others."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign("ca", self.key, ca=True)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str, *, host: str = "localhost", days: tuple[float, float] = _NOW) -> tuple[bytes, bytes]:
        """Key and certificate, PEM; valid between two points of time, in days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return pem, self._sign(name, key, host=host, days=days).public_bytes(serialization.Encoding.PEM)

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        *,
        ca: bool = False,
        host: str = "localhost",
        days: tuple[float, float] = _NOW,
    ) -> x509.Certificate:
        begin, end = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=day) for day in days)
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        )
        return builder.sign(self.key, hashes.SHA256())


def server_credentials(authority: Authority) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials([authority.issue("worker")], authority.pem, require_client_auth=True)


def write_identity(folder: Path, authority: Authority) -> TlsSettings:
    key, certificate = authority.issue("gateway")
    for name, content in (("ca.pem", authority.pem), ("key.pem", key), ("cert.pem", certificate)):
        (folder / name).write_bytes(content)
    return TlsSettings(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
