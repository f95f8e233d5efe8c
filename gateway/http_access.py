"""Who may send which HTTP request: credentials, owners and their rates."""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass

from aiohttp import web

from gateway.access.terms import Door
from gateway.auth import AuthError, Principal, bearer
from gateway.http_errors import RefusalError
from gateway.refusals import CredentialFailures
from gateway.sessions.context import GatewayContext
from gateway.sessions.directory import SessionDirectory


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller who may use the session that its request names."""

    session_id: str
    principal: Principal


class HttpAccess:
    """Checks the credentials of requests."""

    def __init__(self, context: GatewayContext, directory: SessionDirectory, failures: CredentialFailures) -> None:
        self._context = context
        self._directory = directory
        self._failures = failures

    def require_insider(self, request: web.Request) -> None:
        """What describes the gateway itself is open on loopback only; elsewhere it takes a token or an API key."""
        config = self._context.config
        if not (config.metrics_token or config.is_exposed):
            return
        given = bearer(request.headers.get("Authorization"))
        expected = config.metrics_token.encode()
        if not expected or given is None or not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected):
            self.require_key(request, given)

    def require_admin(self, request: web.Request) -> Principal:
        """An operator: a key with the door `admin`; on a gateway that only this machine reaches, any key."""
        doors = (Door.ADMIN,) if self._context.config.is_exposed else (Door.ADMIN, Door.HTTP)
        return self.require_key(request, bearer(request.headers.get("Authorization")), *doors)

    def require_key(self, request: web.Request, credential: str | None, *doors: Door) -> Principal:
        """The caller of a request that only takes an API key, at one of these doors (HTTP). Raises RefusalError."""
        try:
            principal = self._context.authenticator.check_key(credential, *doors)
        except AuthError as error:
            raise self._refusal(request, error, credential) from None
        self._charge(principal)
        return principal

    def _charge(self, principal: Principal) -> None:
        """Count a request against the rate of its owner. Raises RefusalError."""
        if (over := self._context.shares.charge(principal.terms)) is not None:
            self._context.metrics.share_refusals.labels(over.reason).inc()
            raise RefusalError(429, "rate_limited", over.text, retry_after_s=math.ceil(over.wait_s or 1))

    async def authorized(self, request: web.Request) -> Caller:
        """The caller of a request about a session. Raises RefusalError, StoreError."""
        session_id = request.match_info["session_id"]
        credential = bearer(request.headers.get("Authorization"))
        try:
            principal = self._context.authenticator.check(credential, Door.HTTP)
        except AuthError as error:
            raise self._refusal(request, error, credential) from None
        self._charge(principal)
        await self.require_session(request, principal, session_id)
        return Caller(session_id, principal)

    async def require_session(self, request: web.Request, principal: Principal, session_id: str) -> None:
        """Raise RefusalError unless the caller may use this session. Raises StoreError."""
        owner = "" if principal.session_id is not None else await self._directory.owner_of(session_id) or ""
        if not principal.may_use(session_id, owner):
            foreign = AuthError("the session belongs to another token or key", "foreign", is_forbidden=True)
            raise self._refusal(request, foreign, bearer(request.headers.get("Authorization")))

    def _refusal(self, request: web.Request, error: AuthError, credential: str | None) -> RefusalError:
        """Count a refused credential, and say why it is refused, or only when to come back."""
        peer = request.remote or "unknown"
        address = self._failures.client_of(peer, request.headers.getall("X-Forwarded-For", []))
        retry_after_s = self._failures.retry_after_s(address, credential)
        self._failures.record("http", address, credential, error)
        if retry_after_s is not None:
            text = "too many invalid credentials"
            return RefusalError(429, "rate_limited", text, retry_after_s=retry_after_s, closes=True)
        if error.is_forbidden:
            return RefusalError(403, "permission_denied", str(error))
        return RefusalError(401, "unauthenticated", str(error))
