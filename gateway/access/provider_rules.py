"""What an identity provider may be, and what its tokens must say. Needs neither a network nor a JWT library."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from settings.network import is_loopback

# The kind and the curve of the key that an algorithm takes (RFC 7518 3.1, RFC 8037). All are asymmetric: an algorithm
# with a shared secret would let whoever knows the public key sign.
ALGORITHMS: Final[Mapping[str, tuple[str, str]]] = {
    "RS256": ("RSA", ""),
    "RS384": ("RSA", ""),
    "RS512": ("RSA", ""),
    "PS256": ("RSA", ""),
    "PS384": ("RSA", ""),
    "PS512": ("RSA", ""),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}


class ProviderError(Exception):
    """The identity provider cannot be used. The text repeats nothing that it sent."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a token must say. `owner_claim`: whom it names. `scope`: what it must hold; empty: nothing."""

    issuer: str
    audiences: Sequence[str]
    algorithms: Collection[str]
    owner_claim: str = "sub"
    scope: str = ""


def url_fault(url: str) -> str | None:
    """Why a URL may not be read from; None: it may. Plain HTTP is for providers on this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "cannot be read as a URL"
    if not host or parts.username is not None or parts.fragment or any(each.isspace() for each in url):
        return "must be a URL with a host, and without a user and a fragment"
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        return "must be https:// (http:// on loopback only)"
    return None
