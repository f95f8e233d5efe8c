"""Who may use a dialect's door: the same credentials, limits and counts as at every other door of the gateway."""

from __future__ import annotations

import math

from aiohttp import web

from gateway.access.terms import Door
from gateway.admission import Admission
from gateway.auth import AuthError, Principal, bearer
from gateway.credentials import Credential
from gateway.doors.steps import RefusedError
from gateway.origins import Origins
from gateway.protocol.errors import Code, Problem
from gateway.refusals import CredentialFailures
from gateway.sessions.context import GatewayContext
from gateway.sessions.directory import SessionDirectory

_RESTART_MS = 5_000


class DoorAccess:
    """Checks requests before anything of them is read but the head."""

    def __init__(
        self,
        context: GatewayContext,
        directory: SessionDirectory,
        failures: CredentialFailures,
        origins: Origins,
        admission: Admission,
    ) -> None:
        self._context = context
        self._directory = directory
        self._failures = failures
        self._origins = origins
        self._admission = admission

    async def admit(self, request: web.Request, credential: Credential, door: Door = Door.DIALECT) -> Principal:
        """The caller of a request; its connection is no longer closed to make room. `door`: what its token is for.

        Raises RefusedError, after a while if the client sends too many.
        """
        await self._context.authenticator.prepare(credential.text)
        try:
            principal = self._admit(request, credential, door)
            peer = None if request.transport is None else request.transport.get_extra_info("peername")
            if (visitor := self._admission.find(peer)) is not None:
                self._admission.serve(visitor)
            return principal
        except RefusedError as error:
            if error.problem.code is Code.RATE_LIMITED:
                await self._failures.late_answers.wait()
            raise

    def check_start(self, request: web.Request) -> None:
        """Whether the gateway takes a new client from there at all. Raises RefusedError."""
        origin = request.headers.get("Origin")
        if origin is not None and not self._origins.allows(origin, request.host):
            text = "pages of this origin may not connect; see allowed_origins"
            raise RefusedError(Problem(Code.PERMISSION_DENIED, text))
        if self._directory.draining:
            raise RefusedError(Problem(Code.BUSY, "the gateway is restarting", retry_after_ms=_RESTART_MS))

    def _admit(self, request: web.Request, credential: Credential, door: Door) -> Principal:
        self.check_start(request)
        try:
            authenticator = self._context.authenticator
            principal = authenticator.check(credential.text, door, keys_allowed=credential.may_be_key)
        except AuthError as error:
            raise self._refusal(request, error, credential) from None
        if (over := self._context.shares.charge(principal.terms)) is not None:
            self._context.metrics.share_refusals.labels(over.reason).inc()
            raise RefusedError(
                Problem(Code.RATE_LIMITED, over.text, retry_after_ms=math.ceil(1000 * (over.wait_s or 1)))
            )
        return principal

    def count_absent(self, request: web.Request) -> None:
        """A socket closed that has not sent a credential."""
        if not self._directory.draining:
            self._failures.record("absent", self.address(request))

    def address(self, request: web.Request) -> str:
        """The client's address, as far as it can be known behind proxies."""
        forwarded = request.headers.getall("X-Forwarded-For", [])
        return self._failures.client_of(request.remote or "unknown", forwarded)

    def _refusal(self, request: web.Request, error: AuthError, credential: Credential) -> RefusedError:
        """Count a refused credential, and say why it is refused, or only when to come back."""
        address = self.address(request)
        retry_after_s = self._failures.retry_after_s(address, credential.text)
        self._failures.record(Door.DIALECT, address, credential.text, error)
        if retry_after_s is not None:
            text = "too many invalid credentials"
            return RefusedError(Problem(Code.RATE_LIMITED, text, retry_after_ms=1000 * retry_after_s))
        code = Code.PERMISSION_DENIED if error.is_forbidden else Code.UNAUTHENTICATED
        return RefusedError(Problem(code, str(error)))


def authorization(request: web.Request, *schemes: str) -> Credential:
    """The credential of the Authorization header, in one of these schemes (lower case) or as Bearer."""
    header = request.headers.get("Authorization")
    if header is None:
        return Credential()
    scheme, _, text = header.partition(" ")
    if scheme.lower() in schemes and text.strip():
        return Credential(text.strip())
    return Credential(bearer(header))
