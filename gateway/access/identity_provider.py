"""The identity provider of an organisation: its keys, read again in time, and whom its tokens name.

The keys come from its discovery document (OpenID Connect Discovery 1.0), or from a URL of the settings. Only these URLs
are read, whatever a token names. While the provider is away, its last keys stay valid.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import msgspec
import structlog

from gateway.access import issued_tokens
from gateway.access.issued_tokens import Issued, SigningKey
from gateway.access.provider_rules import ProviderError, Rules, url_fault
from gateway.access.terms import Terms
from gateway.access.tokens import TokenError
from settings.network import is_loopback

log = structlog.get_logger()

DISCOVERY: Final = "/.well-known/openid-configuration"
OWNER_PREFIX: Final = "oidc:"
"""Begins the owners that a provider names. No name of an API key holds a colon, so nobody gets a key's sessions."""

DEMAND_S: Final = 10.0
REFRESH_S: Final = 600.0

Fetch = Callable[[str], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Pace:
    """When keys are read: every `refresh_s` seconds, and for tokens with an unknown key, at most every `demand_s`."""

    refresh_s: float = REFRESH_S
    demand_s: float = DEMAND_S


class _Discovery(msgspec.Struct):
    issuer: str
    jwks_uri: str


class IdentityProvider:
    """Checks tokens of one provider. `clock`: UNIX seconds, for tokens; `monotonic`: seconds, for the pace."""

    def __init__(
        self,
        rules: Rules,
        fetch: Fetch,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        *,
        keys_url: str = "",
        pace: Pace = Pace(),
    ) -> None:
        """`keys_url`: where the keys are; empty: where the discovery document says."""
        self._rules = rules
        self._fetch = fetch
        self._clock = clock
        self._monotonic = monotonic
        self._keys_url = keys_url
        self._pace = pace
        self._keys: tuple[SigningKey, ...] = ()
        self._reading: asyncio.Task[None] | None = None
        self._next_at = float("-inf")
        self._is_read = False
        self._is_failure_logged = False

    @staticmethod
    def issues(credential: str) -> bool:
        """Whether a credential looks like a token of a provider, and not like one of the gateway's own."""
        return issued_tokens.is_issued(credential)

    def check(self, token: str) -> Issued:
        """Whom a token names. Raises TokenError. Call `prepare` before."""
        if not self._keys:
            raise TokenError("provider_away")
        found = issued_tokens.check(token, self._keys, self._rules, self._clock)
        return Issued(OWNER_PREFIX + found.owner, found.expires_at)

    @staticmethod
    def terms_of(owner: str) -> Terms | None:
        """The terms of an owner, if a provider names it."""
        return Terms(owner=owner) if owner.startswith(OWNER_PREFIX) else None

    async def prepare(self, credential: str) -> None:
        """Read the keys again if a token names one that is not known. All callers that wait share one fetch."""
        if not self.can_check(credential):
            await self._renew()

    def can_check(self, credential: str) -> bool:
        """Whether a credential can be checked without `prepare`: it is no token, or its key is known."""
        try:
            return not self.issues(credential) or issued_tokens.key_of(credential, self._keys) is not None
        except TokenError:
            return True

    async def watch(self) -> None:
        """Read the keys now and from time to time, for ever; more often while that fails."""
        while True:
            await self._renew()
            await asyncio.sleep(self._pace.refresh_s if self._is_read else self._pace.demand_s)

    async def close(self) -> None:
        """Cancel a running fetch of the keys."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def load(self) -> None:
        """Read the keys. Raises ProviderError, and the keys stay as they are."""
        url = self._keys_url or await self._discover()
        keys = issued_tokens.read_keys(await self._fetch(url))
        if not self._keys or {key.kid for key in keys} != {key.kid for key in self._keys}:
            log.info("keys of the identity provider read", keys=len(keys))
        self._keys = keys

    async def _renew(self) -> None:
        if self._reading is None or self._reading.done():
            now = self._monotonic()
            if now < self._next_at:
                return
            self._next_at = now + self._pace.demand_s
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        try:
            await self.load()
        except ProviderError as error:
            self._is_read = False
            if not self._is_failure_logged:
                self._is_failure_logged = True
                log.warning("keys of the identity provider not read; earlier ones stay valid", reason=str(error))
        else:
            self._is_read, self._is_failure_logged = True, False

    async def _discover(self) -> str:
        """Where the provider's keys are. Raises ProviderError."""
        issuer = self._rules.issuer
        document = await self._fetch(issuer.rstrip("/") + DISCOVERY)
        try:
            found = msgspec.json.decode(document, type=_Discovery)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise ProviderError("its discovery document has no issuer and jwks_uri") from None
        if found.issuer != issuer:
            raise ProviderError("its discovery document names another issuer")
        fault = url_fault(found.jwks_uri)
        if fault is not None:
            raise ProviderError(f"the jwks_uri of its discovery document {fault}")
        if is_loopback(urlsplit(found.jwks_uri).hostname or "") and not is_loopback(urlsplit(issuer).hostname or ""):
            raise ProviderError("the jwks_uri of its discovery document is on this machine, and the issuer is not")
        return found.jwks_uri
