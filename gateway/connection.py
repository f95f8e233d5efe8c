"""One WebSocket: a reader that never waits for a worker's answer, a sender behind the outbox, and a keepalive.

Handshake credentials are checked after the upgrade: browsers cannot see an HTTP 401, but they see an `error` message
followed by close code 4401.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import cached_property, partial

import structlog
from websockets.datastructures import Headers

from gateway.access.terms import Door
from gateway.auth import AuthError, Principal
from gateway.client_socket import ClientSocket
from gateway.credentials import Credential
from gateway.expiry import CredentialWatch
from gateway.handshakes import client_of
from gateway.keepalive import Keepalive, Reading
from gateway.outbox import Outbox
from gateway.protocol.actions import CloseSocket, ResumeSession, SendMessage
from gateway.protocol.errors import Code
from gateway.protocol.json_text import utf8_bytes
from gateway.protocol.messages import Authenticated, AuthenticatedData, AuthExpiring, AuthExpiringData
from gateway.protocol.replies import refusal
from gateway.protocol.states import SessionPhase
from gateway.reader import SocketReader, Work
from gateway.refusal_pace import SocketPace, pace_owner
from gateway.refusals import CredentialFailures
from gateway.sender import SocketSender
from gateway.sessions.context import GatewayContext
from gateway.sessions.directory import DirectoryFullError, QuotaError, SessionDirectory, SessionOverError
from gateway.sessions.runner import SessionRunner
from gateway.store.base import StoreError
from tracing.spans import TRACEPARENT

log = structlog.get_logger()

# How often `flow` reports to a client whose socket is paused how far behind its streams are.
_CONGESTION_REPORT_S = 2.0
# Close codes (RFC 6455 7.4) with which a client says that it is done; so do 3000 to 4999, which applications define.
_DONE_CODES = frozenset({1000, 1001, 1005})


class Connection:
    """A socket from its handshake to its close; attached to one session at a time."""

    def __init__(
        self,
        socket: ClientSocket,
        context: GatewayContext,
        directory: SessionDirectory,
        failures: CredentialFailures,
    ) -> None:
        self.outbox = Outbox(context.config.outbox_messages, context.config.outbox_bytes, context.clock)
        self._socket = socket
        self._context = context
        self._directory = directory
        self._failures = failures
        self._runner: SessionRunner | None = None
        # The context of the client's own trace; read now, because the handshake is forgotten.
        headers = Headers() if socket.request is None else socket.request.headers
        self._traceparent = next(iter(headers.get_all(TRACEPARENT)), None)
        self._received = 0
        self._paused = False
        self._pauses = 0
        # Whether the client owes a credential: it opened the socket without one and has not sent one since.
        self._owes_credential = False
        # Work that a message requested and that has to wait: done before the next message is read.
        self._deferred: Work | None = None
        self._refusals = SocketPace(context.paces)

    async def run(self, credential: Credential) -> None:
        """Serve the socket until it is closed by either side."""
        metrics = self._context.metrics
        metrics.connections.inc()
        ignore_keys = self._context.authenticator.keys.on_change(self._credential.check)
        try:
            await self._authenticate_handshake(credential)
            config = self._context.config
            sender = SocketSender(self._socket, self.outbox, config.close_timeout_s, metrics.overflows.inc)
            reader = SocketReader(self._socket, self._receive, sender.end)
            self.outbox.attach(sender)
            self._socket.begin(reader)
            keepalive = Keepalive(self._socket, config.ping_interval_s, config.ping_timeout_s, self._reading)
            try:
                await sender.over
            finally:
                keepalive.stop()
                await reader.stop()
                await sender.stop()
        finally:
            ignore_keys()
            self._credential.stop()
            self._detach()
            metrics.connections.dec()
            metrics.replaced.inc(self.outbox.replaced)
            metrics.closed(self._socket.close_code)

    # --- credentials

    @cached_property
    def _address(self) -> str:
        """The client's address, for counting failures."""
        request = self._socket.request
        return client_of(self._failures, self._socket.remote_address, Headers() if request is None else request.headers)

    @cached_property
    def _credential(self) -> CredentialWatch:
        config = self._context.config
        return CredentialWatch(
            self._context.clock,
            self._context.authenticator.is_valid,
            notice_s=config.token_notice_s,
            grace_s=config.token_grace_s,
            on_notice=self._announce_expiry,
            on_over=self._expire,
        )

    async def _authenticate_handshake(self, credential: Credential) -> None:
        try:
            if credential.text is None and not self._context.authenticator.open_access:
                self._runner = self._directory.begin_unauthenticated()
                self._runner.attach_unauthenticated(self)
                self._owes_credential = True
                return
            await self._context.authenticator.prepare(credential.text)
            check = self._context.authenticator.check
            await self._join(check(credential.text, Door.HANDSHAKE, keys_allowed=credential.may_be_key))
        except AuthError as error:
            self._refuse(*self._count_auth_failure(Door.HANDSHAKE, error, credential.text))
        except DirectoryFullError as error:
            self._refuse(*_full(error))
        except SessionOverError:
            self._refuse(*_EXPIRED)
        except StoreError:
            self._refuse(*_NO_STORE)

    async def _join(self, principal: Principal) -> None:
        """Attach the socket to the session of a credential. Raises what SessionDirectory.open raises."""
        held = self._runner
        if principal.session_id is None and held is not None:
            self._directory.admit(held, principal.terms)
            runner = held
        else:
            runner = await self._directory.open(principal.session_id, principal.terms)
        self._switch_to(runner)
        self._socket.authenticated()
        runner.attach(self, not_after=principal.tokens_until)
        self._credential.watch(principal)

    def _switch_to(self, runner: SessionRunner) -> None:
        previous, self._runner = self._runner, runner
        runner.traces.parent = self._traceparent
        if previous is not None and previous is not runner:
            previous.detach(self, is_clean=False)
            if not previous.session.streams:
                previous.end_grace()

    def authenticate(self, token: str) -> None:
        """The client sent its credential as a message: check it before the next message is read."""
        self._owes_credential = False
        self._deferred = partial(self._authenticate, token)

    async def _authenticate(self, token: str) -> None:
        runner = self._runner
        assert runner is not None
        try:
            await self._context.authenticator.prepare(token)
            principal = self._context.authenticator.check(token, Door.MESSAGE)
            if runner.phase is SessionPhase.OPEN:
                self._renew(runner, principal)
                return
            if self._is_over_rate(runner, principal):
                return
            await self._join(principal)
        except AuthError as error:
            runner.refuse(*self._count_auth_failure(Door.MESSAGE, error, token))
        except DirectoryFullError as error:
            runner.refuse(*_full(error))
        except SessionOverError:
            runner.refuse(*_EXPIRED)
        except StoreError:
            runner.refuse(*_NO_STORE)

    def _is_over_rate(self, runner: SessionRunner, principal: Principal) -> bool:
        """Count a session that a message opens or resumes against the rate of its owner, and refuse it above that.

        With `busy`, after which clients come back: they take the close code of `rate_limited` as final.
        """
        over = self._context.shares.charge(principal.terms)
        if over is not None:
            self._context.metrics.share_refusals.labels(over.reason).inc()
            runner.refuse(Code.BUSY, over.text, int(1000 * (over.wait_s or 1)) + 1)
        return over is not None

    def _renew(self, runner: SessionRunner, principal: Principal) -> None:
        """Replace the credential of an open session. Its streams notice nothing."""
        if not principal.may_use(runner.session_id, runner.terms.owner):
            runner.refuse(Code.PERMISSION_DENIED, "the credential belongs to another session or key")
            return
        minted = runner.mint_resume(principal.tokens_until)
        data = AuthenticatedData(resume_token=minted.token, resume_expires_at=minted.expires_at)
        if principal.expires_at is not None:
            data = AuthenticatedData(
                expires_at=principal.expires_at,
                resume_token=minted.token,
                resume_expires_at=minted.expires_at,
            )
        self.outbox.put(Authenticated(data=data))
        self._credential.watch(principal)

    def _announce_expiry(self, expires_at: int, closes_at: int) -> None:
        self.outbox.put(AuthExpiring(data=AuthExpiringData(expires_at=expires_at, closes_at=closes_at)))

    def _expire(self) -> None:
        """The credential has expired and was not renewed: close the socket. The session waits for its client."""
        if self._runner is not None:
            self._runner.detach(self, is_clean=False)
        self._refuse(Code.UNAUTHENTICATED, "the credential has expired")

    def resume(self, request: ResumeSession) -> None:
        """The client resumes an earlier session on this socket: find it before the next message is read."""
        self._owes_credential = False
        self._deferred = partial(self._resume, request)

    async def _resume(self, request: ResumeSession) -> None:
        runner = self._runner
        assert runner is not None
        try:
            await self._context.authenticator.prepare(request.token)
            principal = self._context.authenticator.check(request.token, Door.RESUME)
            owner = await self._directory.owner_of(request.session_id)
            if not principal.may_use(request.session_id, owner or ""):
                foreign = AuthError("the session belongs to another token or key", "foreign", is_forbidden=True)
                runner.refuse(*self._count_auth_failure(Door.RESUME, foreign, request.token))
                return
            if self._is_over_rate(runner, principal):
                return
            known = await self._directory.find(request.session_id, principal.terms)
        except AuthError as error:
            runner.refuse(*self._count_auth_failure(Door.RESUME, error, request.token))
            return
        except DirectoryFullError as error:
            runner.refuse(*_full(error))
            return
        except SessionOverError:
            known = None
        except StoreError:
            runner.refuse(*_NO_STORE)
            return
        if known is None:
            runner.refuse(*_EXPIRED)
            return
        held = self._credential.principal
        if held is not None and held.session_id is None and held.may_use(known.session_id, known.terms.owner):
            principal = held  # the key or token of this socket outlives the resume token
        self._switch_to(known)
        self._socket.authenticated()
        known.attach(self, request, not_after=principal.tokens_until)
        self._credential.watch(principal)

    def _count_auth_failure(self, door: Door, error: AuthError, credential: str | None) -> tuple[Code, str, int | None]:
        """Count a refused credential; returns the error for its client, with the time until it may fail again."""
        self._failures.record(door, self._address, credential, error)
        retry_after_s = self._failures.retry_after_s(self._address, credential)
        code = Code.PERMISSION_DENIED if error.is_forbidden else Code.UNAUTHENTICATED
        return code, str(error), None if retry_after_s is None else 1000 * retry_after_s

    def _refuse(self, code: Code, message: str, retry_after_ms: int | None = None) -> None:
        """Refuse a socket that belongs to no session."""
        self._context.metrics.errors.labels(code).inc()
        for action in refusal(code, message, retry_after_ms):
            match action:
                case SendMessage(error):
                    self.outbox.put(error)
                case CloseSocket(close_code, reason):
                    self.outbox.close(close_code, reason)

    def _detach(self) -> None:
        if self._owes_credential and not self._directory.draining:
            self._failures.record("absent", self._address)
        if self._runner is not None:
            self._runner.detach(self, is_clean=self._closed_by_client())

    def _closed_by_client(self) -> bool:
        """Whether the client closed the socket on purpose, with a close frame that says so, rather than lost it."""
        protocol = self._socket.protocol
        frame = protocol.close_rcvd
        if frame is None or not protocol.close_rcvd_then_sent:
            return False
        return frame.code in _DONE_CODES or 3000 <= frame.code < 5000

    # --- messages

    def _receive(self, message: str | bytes) -> Work | None:
        """Handle a message; returns what has to be done before the next one is read."""
        self._received += 1
        metrics = self._context.metrics
        if isinstance(message, str):
            metrics.text_received(utf8_bytes(message))
        else:
            metrics.binary_received(len(message))
        runner = self._runner
        if runner is None or runner.peer is not self or self._directory.draining or self.outbox.closing:
            return None
        is_refused = runner.receive(message)
        if is_refused and (pause_s := self._refusals.pause_s(self._owner, self._received, self._context.monotonic())):
            return partial(self._pause, pause_s)
        return self._next_work()

    @property
    def _owner(self) -> str:
        """Whose pace of refused messages this socket shares."""
        principal = self._credential.principal
        return pace_owner("" if principal is None else principal.terms.owner, self._address)

    def _next_work(self) -> Work | None:
        """What the message that was just handled makes necessary before the next one."""
        if self._deferred is not None:
            deferred, self._deferred = self._deferred, None
            return deferred  # even if the session is behind: its client may have come back to discard a stream
        if self._runner is not None and self._runner.congested_stream() is not None:
            return self._pause_while_congested
        return None

    async def _pause(self, pause_s: float) -> None:
        """Read on later: many messages of this client were refused."""
        self._context.metrics.refusal_pauses.inc()
        await asyncio.sleep(pause_s)
        if (work := self._next_work()) is not None:
            await work()

    async def _pause_while_congested(self) -> None:
        """Stop reading while a worker stream of the session is too far behind: TCP then slows the client down."""
        while self._runner is not None and (stream := self._runner.congested_stream()) is not None:
            if not self._paused:
                self._paused = True
                self._pauses += 1
                self._context.metrics.pauses.inc()
            self._runner.report_congestion()
            with suppress(TimeoutError):
                async with asyncio.timeout(_CONGESTION_REPORT_S):
                    await stream.wait_writable()
        self._paused = False

    def _reading(self) -> Reading:
        return Reading(self._received, self._pauses, self._paused)


_FULL = (Code.BUSY, "the gateway has reached its session limit")
_QUOTA = (Code.BUSY, "this key has reached its limit of sessions")
_NO_STORE = (Code.BUSY, "the session store is not responding")
_EXPIRED = (Code.SESSION_EXPIRED, "the session is unknown or has expired")


def _full(error: DirectoryFullError) -> tuple[Code, str]:
    """What a client hears when there is no room for its session."""
    return _QUOTA if isinstance(error, QuotaError) else _FULL
