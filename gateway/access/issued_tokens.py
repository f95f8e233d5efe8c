"""Tokens of an identity provider: JWT (RFC 7519), signed with one of the keys that it publishes (RFC 7517)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
import msgspec

from gateway.access.provider_rules import ALGORITHMS, ProviderError, Rules
from gateway.access.tokens import MAX_TOKEN_CHARS, TokenError

SKEW_S: Final = 60
MAX_KEYS: Final = 64
_RSA_BITS: Final = range(2048, 8193)
_MAX_OWNER_CHARS: Final = 255  # OpenID Connect Core 2: `sub`
# RFC 7515 4.1.9, RFC 9068 2.1. Others, such as logout tokens, are no credentials.
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key. `algorithm`: the only one that it is for; None: any of its kind."""

    kid: str | None
    kind: tuple[str, str]
    algorithm: str | None
    key: Any = field(repr=False)

    def fits(self, algorithm: str) -> bool:
        """Whether signatures of an algorithm can be checked with this key."""
        return self.kind == ALGORITHMS[algorithm] and self.algorithm in (None, algorithm)


@dataclass(frozen=True, slots=True)
class Issued:
    """What a valid token says; `expires_at` in UNIX seconds, with the allowance for clocks that differ."""

    owner: str
    expires_at: int


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


def read_keys(document: bytes) -> tuple[SigningKey, ...]:
    """The usable keys of a JWK set; keys for other uses are left out. Raises ProviderError."""
    try:
        found = msgspec.json.decode(document, type=_KeySet).keys
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ProviderError("its key set is not a JWK set") from None
    if len(found) > MAX_KEYS:
        raise ProviderError(f"its key set holds more than {MAX_KEYS} keys")
    keys = tuple(key for each in found if (key := _usable(each)) is not None)
    if not keys:
        raise ProviderError("its key set holds no key that can check signatures")
    return keys


def _usable(written: Mapping[str, Any]) -> SigningKey | None:
    kty, crv, kid, named = (written.get(name) for name in ("kty", "crv", "kid", "alg"))
    kind = ("RSA", "") if kty == "RSA" else (kty, crv)
    algorithm = next((name for name, each in ALGORITHMS.items() if each == kind and named in (None, name)), None)
    if algorithm is None or not (kid is None or isinstance(kid, str)):
        return None
    if written.get("use", "sig") != "sig" or "d" in written:
        return None  # for encryption, or a private key that its owner must not have published
    try:
        key = jwt.PyJWK(dict(written), algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if kty == "RSA" and key.key_size not in _RSA_BITS:
        return None
    return SigningKey(kid, (str(kind[0]), str(kind[1])), named, key)


def is_issued(token: str) -> bool:
    """Whether a credential looks like a token of a provider: a JWT with an asymmetric signature."""
    try:
        return _header(token)[0] in ALGORITHMS
    except TokenError:
        return False


def key_of(token: str, keys: Sequence[SigningKey]) -> SigningKey | None:
    """The key that a token names, or the only one that fits if it names none (OpenID Connect Core 10.1).

    Raises TokenError.
    """
    algorithm, kid = _header(token)
    fitting = [key for key in keys if algorithm in ALGORITHMS and key.fits(algorithm)]
    if kid is None:
        return fitting[0] if len(fitting) == 1 else None
    return next((key for key in fitting if key.kid == kid), None)


def check(token: str, keys: Sequence[SigningKey], rules: Rules, clock: Callable[[], float]) -> Issued:
    """What a token says. Raises TokenError if it is malformed, forged, of no use here, or not valid now."""
    algorithm, _ = _header(token)
    if algorithm not in rules.algorithms or algorithm not in ALGORITHMS:
        raise TokenError("algorithm")
    key = key_of(token, keys)
    if key is None:
        raise TokenError("unknown_key")
    claims = _decode(token, key, algorithm, rules)
    expires_at = _check_times(claims, clock())
    if rules.scope and rules.scope not in _scopes(claims):
        raise TokenError("scope")
    owner = claims.get(rules.owner_claim)
    if not isinstance(owner, str) or not 0 < len(owner) <= _MAX_OWNER_CHARS or not owner.isprintable():
        raise TokenError("owner")
    return Issued(owner, expires_at)


def _header(token: str) -> tuple[str, str | None]:
    """The algorithm and the key that a token names, unverified."""
    if len(token) > MAX_TOKEN_CHARS or token.count(".") != 2:
        raise TokenError("malformed")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError):
        raise TokenError("malformed") from None
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise TokenError("malformed")
    return algorithm, kid


def _decode(token: str, key: SigningKey, algorithm: str, rules: Rules) -> Mapping[str, Any]:
    # The times are compared with the clock of the gateway, which tests set.
    options: Any = {"require": ["exp", "iss", "aud"], "verify_exp": False, "verify_nbf": False, "verify_iat": False}
    try:
        found: Mapping[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            audience=list(rules.audiences),
            issuer=rules.issuer,
            options=options,
        )
    except jwt.InvalidSignatureError:
        raise TokenError("signature") from None
    except jwt.InvalidIssuerError:
        raise TokenError("other_issuer") from None
    except jwt.InvalidAudienceError:
        raise TokenError("other_audience") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise TokenError("malformed") from None
    return found


def _check_times(claims: Mapping[str, Any], now: float) -> int:
    """When a token expires, SKEW_S included. Raises TokenError."""
    try:
        expires_at, not_before = float(claims["exp"]), float(claims.get("nbf", 0))
        issued_at = float(claims.get("iat", 0))
        until = int(expires_at) + SKEW_S
    except (ValueError, TypeError, OverflowError):
        raise TokenError("malformed") from None
    if now >= until:
        raise TokenError("expired")
    if not (not_before <= now + SKEW_S and issued_at <= now + SKEW_S):
        raise TokenError("not_yet_valid")
    return until


def _scopes(claims: Mapping[str, Any]) -> Collection[str]:
    """The scopes of a token: `scope` (RFC 9068 2.2.3), or `scp`, as some providers call it."""
    found = claims.get("scope", claims.get("scp", ""))
    if isinstance(found, list):
        return [each for each in found if isinstance(each, str)]
    return found.split() if isinstance(found, str) else ()
