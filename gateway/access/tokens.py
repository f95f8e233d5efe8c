"""The gateway's own tokens, each for one session and one purpose: JWT (RFC 7519), signed with HS256."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import jwt

from gateway.access.terms import Terms

ALGORITHM: Final = "HS256"
MAX_TOKEN_CHARS: Final = 4096
MAX_SESSION_ID_CHARS: Final = 64


class Audience(StrEnum):
    """What a token may be used for; the `aud` claim.

    A session token opens its session, from another page too. A resume token only continues a session that is open. A
    client secret opens its session at the door of a dialect; the session outlasts it.
    """

    SESSION = "talkup-session"
    RESUME = "talkup-resume"
    EPHEMERAL = "talkup-ephemeral"


class TokenError(Exception):
    """A token that is not valid. `reason` is a word for the audit log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Minted:
    """A signed token; `expires_at` in UNIX seconds."""

    token: str = field(repr=False)
    expires_at: int


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says. `owner` is empty for a token without one."""

    session_id: str
    audience: Audience
    owner: str
    expires_at: int


class Tokens:
    """Signs tokens with the first secret, and accepts those that any of the secrets signed.

    `clock`: UNIX seconds. Tokens that were issued before `not_before` are refused.
    """

    def __init__(
        self, secrets: Sequence[str], ttl_s: float, clock: Callable[[], float], not_before: float | None = None
    ) -> None:
        self._ttl_s = ttl_s
        self._clock = clock
        self._not_before = not_before
        self._secrets: Mapping[str, str] = {}
        self._newest = ""
        self.use(secrets)

    def use(self, secrets: Sequence[str]) -> None:
        """Replace the secrets. The first one signs."""
        self._secrets = {_key_id(secret): secret for secret in secrets}
        self._newest = _key_id(secrets[0])

    def mint(self, session_id: str, audience: Audience, terms: Terms, not_after: float | None = None) -> Minted:
        """Sign a token for a session. `not_after`: UNIX seconds; a token never outlives the one that asked for it."""
        now = self._clock()
        expires_at = int(now) + max(1, int(self._ttl_s))
        if not_after is not None:
            expires_at = min(expires_at, int(not_after))
        claims: dict[str, Any] = {"sid": session_id, "aud": str(audience), "iat": round(now, 3), "exp": expires_at}
        if terms.owner:
            claims["own"] = terms.owner
        secret = self._secrets[self._newest]
        return Minted(jwt.encode(claims, secret, algorithm=ALGORITHM, headers={"kid": self._newest}), expires_at)

    def check(self, token: str, audiences: Sequence[Audience]) -> Claims:
        """What a token says. Raises TokenError if it is malformed, forged, expired or for another use."""
        if len(token) > MAX_TOKEN_CHARS:
            raise TokenError("malformed")
        claims = self._decode(token, audiences)
        session_id, owner = claims["sid"], claims.get("own", "")
        if not isinstance(session_id, str) or not 0 < len(session_id) <= MAX_SESSION_ID_CHARS:
            raise TokenError("malformed")
        try:
            expires_at, issued_at = int(claims["exp"]), float(claims.get("iat", 0))
            audience = Audience(claims["aud"])
        except (ValueError, TypeError, OverflowError):
            raise TokenError("malformed") from None
        if not isinstance(owner, str):
            raise TokenError("malformed")
        if expires_at <= self._clock():
            raise TokenError("expired")
        if self._not_before is not None and not issued_at >= self._not_before:
            raise TokenError("issued_before_start")
        return Claims(session_id, audience, owner, expires_at)

    def _decode(self, token: str, audiences: Sequence[Audience]) -> Mapping[str, Any]:
        options: Any = {"require": ["sid", "exp", "aud"], "verify_exp": False, "verify_iat": False, "verify_nbf": True}
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            named = None if key_id is None else self._secrets.get(key_id)
            # Tokens of earlier versions do not name their secret.
            for secret in self._secrets.values() if key_id is None else [named] if named else []:
                try:
                    found: Mapping[str, Any] = jwt.decode(
                        token,
                        secret,
                        algorithms=[ALGORITHM],
                        audience=[str(each) for each in audiences],
                        options=options,
                    )
                except jwt.InvalidSignatureError:
                    continue
                return found
        except jwt.InvalidAudienceError:
            raise TokenError("other_purpose") from None
        except (jwt.InvalidTokenError, ValueError, TypeError):
            raise TokenError("malformed") from None
        raise TokenError("signature")


def _key_id(secret: str) -> str:
    """The name of a secret in the tokens that it signed (RFC 7515 4.1.4)."""
    return hashlib.sha256(b"talkup token secret " + secret.encode()).hexdigest()[:16]
