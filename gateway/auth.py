"""Authentication: who a credential identifies, at which door. Keys and tokens themselves are in `gateway.access`."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.access.identity_provider import IdentityProvider
from gateway.access.key_ring import ApiKey, KeyRing
from gateway.access.terms import OPEN_TERMS, Door, Terms
from gateway.access.tokens import MAX_TOKEN_CHARS, Audience, Minted, TokenError, Tokens

MAX_CREDENTIAL_CHARS: Final = MAX_TOKEN_CHARS
_AUDIENCES: Final[Mapping[Door, tuple[Audience, ...]]] = {
    Door.HANDSHAKE: (Audience.SESSION,),
    Door.MESSAGE: (Audience.SESSION,),
    Door.RESUME: (Audience.SESSION, Audience.RESUME),
    Door.HTTP: (Audience.SESSION, Audience.RESUME),
    Door.DIALECT: (Audience.SESSION,),
    Door.EPHEMERAL: (Audience.EPHEMERAL,),
}
_TEXTS: Final[Mapping[str, str]] = {
    "expired": "the token has expired",
    "other_purpose": "a resume token only continues a session, with session_resume; a client secret only opens one",
    "revoked": "the API key behind this token is no longer valid",
    "issued_before_start": "the token is from before the gateway's last start",
    "not_yet_valid": "the token is not valid yet",
    "other_audience": "the token is for another audience",
    "scope": "the token lacks the scope that this gateway asks for",
    "provider_away": "the keys of the identity provider cannot be read at the moment",
}
_INVALID: Final = "the key or token is invalid"


class AuthError(Exception):
    """A missing, invalid or expired credential. The text is for the client and never repeats the credential.

    `reason` is a word for the audit log, `key_id` the id of the key if it is known. `is_forbidden`: the credential is
    valid, but not here.
    """

    def __init__(self, text: str, reason: str, key_id: str | None = None, *, is_forbidden: bool = False) -> None:
        super().__init__(text)
        self.reason = reason
        self.key_id = key_id
        self.is_forbidden = is_forbidden


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller that a credential identifies.

    `session_id` is the session a token is bound to; None for an API key, for a token of the identity provider and for
    open access. `expires_at`: UNIX seconds, None: never. `key` is the API key, if it was one.
    """

    session_id: str | None = None
    terms: Terms = OPEN_TERMS
    expires_at: int | None = None
    key: ApiKey | None = None

    @property
    def tokens_until(self) -> int | None:
        """When the tokens that this caller gets must end, in UNIX seconds: with its own.

        None for the holder of an API key: its tokens end with the key, which is looked up whenever they are shown.
        """
        return None if self.key is not None else self.expires_at

    def may_use(self, session_id: str, owner: str) -> bool:
        """Whether this caller may read, resume or delete a session of an owner; an empty owner: nobody's."""
        if self.session_id is not None:
            return hmac.compare_digest(self.session_id.encode(), session_id.encode())
        return not self.terms.owner or not owner or self.terms.owner == owner


def new_session_id() -> str:
    """Create an id that cannot be guessed: 32 hexadecimal digits, 122 random bits."""
    return uuid.uuid4().hex


class Authenticator:
    """Checks credentials and signs tokens. `clock`: UNIX seconds. `provider`: whose tokens count like API keys."""

    def __init__(
        self, keys: KeyRing, tokens: Tokens, clock: Callable[[], float], provider: IdentityProvider | None = None
    ) -> None:
        self.keys = keys
        self._tokens = tokens
        self._clock = clock
        self._provider = provider

    @property
    def open_access(self) -> bool:
        """Whether no credential is required, because none is configured."""
        return self.keys.is_empty and self._provider is None

    @property
    def owners(self) -> int:
        """How many owners may have a credential. A provider's are not known: they count as two, so that they share."""
        return self.keys.owners + (0 if self._provider is None else 2)

    def terms_of(self, owner: str) -> Terms | None:
        """The terms of an owner; None: it can have no valid credential any more."""
        if self._provider is not None and (terms := self._provider.terms_of(owner)) is not None:
            return terms
        return self.keys.terms_of(owner)

    def can_check(self, credential: str | None) -> bool:
        """Whether a credential can be checked without `prepare`."""
        return not credential or self._provider is None or self._provider.can_check(credential)

    async def prepare(self, credential: str | None) -> None:
        """Wait until a credential can be checked: for the key of a provider's token, if it is not known yet."""
        if credential and self._provider is not None:
            await self._provider.prepare(credential)

    def mint(
        self, session_id: str, audience: Audience, terms: Terms = OPEN_TERMS, not_after: float | None = None
    ) -> Minted:
        """Sign a token for one session. `not_after`: UNIX seconds; no token outlives the one that asked for it."""
        return self._tokens.mint(session_id, audience, terms, not_after)

    def check(self, credential: str | None, door: Door, *, keys_allowed: bool = True) -> Principal:
        """Identify the caller: by an API key or a token of the provider (where allowed), else by a token of our own.

        The purpose of such a token has to fit the door. Raises AuthError. With open access no credential is required,
        but an invalid token is still refused.
        """
        if not credential:
            if self.open_access:
                return Principal()
            raise AuthError("a credential is required", "absent")
        if self.open_access and keys_allowed and credential.count(".") != 2:
            return Principal()
        if keys_allowed and len(credential) <= MAX_CREDENTIAL_CHARS:
            found = self.keys.find(credential)
            if isinstance(found, ApiKey):
                return _at_door(Principal(terms=found.terms, expires_at=found.expires_at, key=found), door)
            if found.key_id is not None:
                raise AuthError("the API key has expired", found.reason, found.key_id)
            if self._provider is not None and self._provider.issues(credential):
                return _at_door(self._check_issued(self._provider, credential), door)
        return self._check_token(credential, door)

    def check_key(self, credential: str | None, *doors: Door) -> Principal:
        """Identify the caller of a request that takes no token of our own, at one of these doors (HTTP).

        Raises AuthError.
        """
        if self.open_access:
            return Principal()
        if not credential:
            raise AuthError("an API key is needed, as Authorization: Bearer", "absent")
        if len(credential) <= MAX_CREDENTIAL_CHARS and isinstance(found := self.keys.find(credential), ApiKey):
            principal = Principal(terms=found.terms, expires_at=found.expires_at, key=found)
        elif self._provider is not None and self._provider.issues(credential):
            principal = self._check_issued(self._provider, credential)
        else:
            raise AuthError("the API key is invalid; a session token is not accepted here", "unknown")
        allowed = [door for door in doors or (Door.HTTP,) if principal.terms.allows_door(door)]
        return _at_door(principal, allowed[0] if allowed else (doors or (Door.HTTP,))[0])

    def is_valid(self, principal: Principal) -> bool:
        """Whether an admitted caller is still valid: its credential has not expired and was not revoked."""
        if principal.expires_at is not None and principal.expires_at <= self._clock():
            return False
        if principal.key is not None:
            return self.keys.holds(principal.key)
        return not principal.terms.owner or self.terms_of(principal.terms.owner) is not None

    def _check_token(self, credential: str, door: Door) -> Principal:
        try:
            claims = self._tokens.check(credential, _AUDIENCES[door])
        except TokenError as error:
            raise AuthError(_TEXTS.get(error.reason, _INVALID), error.reason) from None
        terms = self.terms_of(claims.owner) if claims.owner else OPEN_TERMS
        if terms is None:
            raise AuthError(_TEXTS["revoked"], "revoked")
        return Principal(claims.session_id, terms, claims.expires_at)

    def _check_issued(self, provider: IdentityProvider, token: str) -> Principal:
        try:
            issued = provider.check(token)
        except TokenError as error:
            is_forbidden = error.reason == "scope"
            raise AuthError(_TEXTS.get(error.reason, _INVALID), error.reason, is_forbidden=is_forbidden) from None
        return Principal(terms=Terms(owner=issued.owner), expires_at=issued.expires_at)


def _at_door(principal: Principal, door: Door) -> Principal:
    """The caller, if its key may be presented at a door. Raises AuthError."""
    if not principal.terms.allows_door(door):
        key_id = None if principal.key is None else principal.key.id
        raise AuthError(f"this key may not be used over {door.group}", "door", key_id, is_forbidden=True)
    return principal


def bearer(header: str | None) -> str | None:
    """The credential of an `Authorization: Bearer` header (RFC 6750 2.1); None without one."""
    if header is None:
        return None
    scheme, _, credential = header.partition(" ")
    return credential.strip() or None if scheme.lower() == "bearer" else None
