"""An identity provider on loopback: real HTTPS, a discovery document, generated keys, and every way to be broken."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

AUDIENCE = "talkup-gateway"
_PEM = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class Signer:
    """A private key with a name."""

    def __init__(self, kid: str, algorithm: str = "RS256") -> None:
        self.kid = kid
        self.algorithm = algorithm
        if algorithm.startswith(("RS", "PS")):
            self.key: Any = rsa.generate_private_key(65537, 2048)
        elif algorithm == "EdDSA":
            self.key = ed25519.Ed25519PrivateKey.generate()
        else:
            self.key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public_pem(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def jwk(self) -> dict[str, Any]:
        family = jwt.get_algorithm_by_name(self.algorithm)
        return {**json.loads(family.to_jwk(self.key.public_key())), "kid": self.kid, "use": "sig"}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        return jwt.encode(claims, self.key, self.algorithm, {"kid": self.kid, **header})


class Provider:
    """What the provider publishes now. `body` replaces its key set; while `is_slow`, no answer comes."""

    def __init__(self, certificate: Path) -> None:
        self.certificate = certificate
        self.signers = [Signer("first")]
        self.body: bytes | None = None
        self.discovery: dict[str, Any] = {}
        self.status = 200
        self.is_slow = False
        self.readings = 0
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._released = asyncio.Event()

    @property
    def issuer(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        """A gateway's settings for this provider."""
        return {
            "oidc_issuer": self.issuer,
            "oidc_audience": AUDIENCE,
            "oidc_ca": str(self.certificate),
            "oidc_refresh_s": "0.1",
        }

    def claims(self, **changed: Any) -> dict[str, Any]:
        """The claims of a valid token; None removes one."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 600, **changed}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, **changed: Any) -> str:
        return self.signers[0].sign(self.claims(**changed))

    async def start(self) -> None:
        """Listen, on the port of before if there was one."""
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._discover)
        app.router.add_get("/keys", self._keys)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.certificate, self.certificate.with_suffix(".key"))
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=tls, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self._released.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _discover(self, _request: web.Request) -> web.Response:
        if self.status != 200:
            return web.Response(status=self.status, headers={"Location": f"{self.issuer}/keys"})
        return web.json_response({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys", **self.discovery})

    async def _keys(self, _request: web.Request) -> web.Response:
        self.readings += 1
        if self.is_slow:
            await self._released.wait()
        body = json.dumps({"keys": [each.jwk for each in self.signers]}).encode()
        return web.Response(body=self.body if self.body is not None else body, content_type="application/json")


@asynccontextmanager
async def provider(folder: Path, *, is_started: bool = True) -> AsyncIterator[Provider]:
    """A provider with a certificate in a folder. One that is not started has its port nevertheless."""
    found = Provider(_certificate(folder))
    await found.start()
    if not is_started:
        await found.stop()
    try:
        yield found
    finally:
        await found.stop()


def _certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1; its key is next to it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "provider")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "provider.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    path.with_suffix(".key").write_bytes(key.private_bytes(*_PEM))
    return path
