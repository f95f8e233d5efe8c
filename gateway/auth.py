"""Authentication: API keys of internal callers, and signed tokens bound to one session (JWT, RFC 7519, HS256)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import jwt

ALGORITHM = "HS256"
MAX_CREDENTIAL_CHARS = 4096
MAX_SESSION_ID_CHARS = 64


class Audience(StrEnum):
    """What a token may be used for; the `aud` claim."""

    SESSION = "talkup-session"
    RESUME = "talkup-resume"


class AuthError(Exception):
    """A missing, invalid or expired credential. The text is for the client and never repeats the credential."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller that a credential identifies.

    `session_id` is the session a token is bound to; None for an API key and for open access, which may use any session.
    """

    session_id: str | None = None

    def may_use(self, session_id: str) -> bool:
        """Whether this caller may read, resume or delete a session."""
        return self.session_id is None or hmac.compare_digest(self.session_id.encode(), session_id.encode())


@dataclass(frozen=True, slots=True)
class Minted:
    """A signed token; `expires_at` in UNIX seconds."""

    token: str
    expires_at: int


def new_session_id() -> str:
    """Create an id that cannot be guessed: 32 hexadecimal digits, 122 random bits."""
    return uuid.uuid4().hex


class Authenticator:
    """Checks credentials and signs tokens. `clock`: UNIX seconds. Without `secret`, tokens end with the process."""

    def __init__(self, api_keys: Sequence[str], secret: str, ttl_s: float, clock: Callable[[], float]) -> None:
        self._key_digests = tuple(_digest(key) for key in api_keys)
        self._secret = secret or secrets.token_hex(32)
        self._ttl_s = ttl_s
        self._clock = clock

    @property
    def open_access(self) -> bool:
        """Whether no credential is required, because none is configured."""
        return not self._key_digests

    def mint(self, session_id: str, audience: Audience) -> Minted:
        """Sign a token for one session."""
        now = int(self._clock())
        expires_at = now + max(1, int(self._ttl_s))
        claims = {"sid": session_id, "aud": str(audience), "iat": now, "exp": expires_at}
        return Minted(jwt.encode(claims, self._secret, algorithm=ALGORITHM), expires_at)

    def check_key(self, credential: str) -> bool:
        """Check whether a credential is one of the API keys, in constant time."""
        digest = _digest(credential)
        found = False
        for known in self._key_digests:
            found |= hmac.compare_digest(known, digest)
        return found

    def check_token(self, credential: str, *audiences: Audience) -> Principal:
        """Find the session of a token. Raises AuthError if it is malformed, forged, expired or for another use."""
        if len(credential) > MAX_CREDENTIAL_CHARS:
            raise AuthError("the key or token is invalid")
        try:
            claims = jwt.decode(
                credential,
                self._secret,
                algorithms=[ALGORITHM],
                audience=[str(audience) for audience in audiences],
                options={"require": ["sid", "exp", "aud"], "verify_exp": False, "verify_iat": False},
            )
            session_id, expires_at = claims["sid"], int(claims["exp"])
        except (jwt.InvalidTokenError, ValueError, TypeError):
            raise AuthError("the key or token is invalid") from None
        if not isinstance(session_id, str) or not 0 < len(session_id) <= MAX_SESSION_ID_CHARS:
            raise AuthError("the key or token is invalid")
        if expires_at <= self._clock():
            raise AuthError("the token has expired")
        return Principal(session_id)

    def check(self, credential: str | None, *, keys_allowed: bool = True) -> Principal:
        """Identify the caller: by an API key (where allowed), else by a session or resume token.

        Raises AuthError. With open access no credential is required, but an invalid token is still refused.
        """
        if not credential:
            if self.open_access:
                return Principal()
            raise AuthError("a credential is required")
        if keys_allowed and (self.check_key(credential) or (self.open_access and credential.count(".") != 2)):
            return Principal()
        return self.check_token(credential, Audience.SESSION, Audience.RESUME)


class FailureLimiter:
    """Limits failed authentications per address, with one token bucket each.

    It remembers at most `addresses` addresses and forgets the one whose latest failure is oldest.
    """

    def __init__(self, burst: int, refill_s: float, addresses: int, clock: Callable[[], float]) -> None:
        self._burst = burst
        self._refill_s = refill_s
        self._bound = addresses
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def _level(self, address: str) -> float:
        level, since = self._buckets.get(address, (float(self._burst), self._clock()))
        return min(float(self._burst), level + (self._clock() - since) / self._refill_s)

    def allowed(self, address: str) -> bool:
        """Whether an address may fail to authenticate once more."""
        return self._level(address) >= 1.0

    def wait_s(self, address: str) -> float:
        """Seconds until `allowed`; 0 if it is."""
        return max(0.0, 1.0 - self._level(address)) * self._refill_s

    def record_failure(self, address: str) -> None:
        """Count a failure: an invalid credential, or a socket that closed without sending one."""
        level = self._level(address)
        self._buckets.pop(address, None)
        self._buckets[address] = (level - 1.0 if level >= 1.0 else level, self._clock())
        while len(self._buckets) > self._bound:
            del self._buckets[next(iter(self._buckets))]


def bearer(header: str | None) -> str | None:
    """The credential of an `Authorization: Bearer` header (RFC 6750 2.1); None without one."""
    if header is None:
        return None
    scheme, _, credential = header.partition(" ")
    return credential.strip() or None if scheme.lower() == "bearer" else None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
