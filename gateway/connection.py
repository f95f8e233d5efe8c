"""One WebSocket: a reader that never waits for a worker's answer, a sender behind the outbox, and a keepalive.

Handshake credentials are checked after the upgrade: browsers cannot see an HTTP 401, but they see an `error` message
followed by close code 4401.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from gateway.auth import AuthError, Principal
from gateway.credentials import Credential
from gateway.keepalive import Keepalive, Reading
from gateway.outbox import Outbox
from gateway.protocol.actions import CloseSocket, ResumeSession, SendMessage
from gateway.protocol.codec import utf8_bytes
from gateway.protocol.errors import Code
from gateway.protocol.replies import refusal
from gateway.refusals import CredentialFailures
from gateway.sender import SocketSender
from gateway.sessions.context import GatewayContext
from gateway.sessions.directory import DirectoryFullError, SessionDirectory, SessionOverError
from gateway.sessions.runner import SessionRunner
from gateway.store.base import StoreError

log = structlog.get_logger()

# How often `flow` reports to a client whose socket is paused how far behind its streams are.
_CONGESTION_REPORT_S = 2.0
# Close codes (RFC 6455 7.4) with which a client says that it is done; so do 3000 to 4999, which applications define.
_DONE_CODES = frozenset({1000, 1001, 1005})


class Connection:
    """A socket from its handshake to its close; attached to one session at a time."""

    def __init__(
        self,
        socket: ServerConnection,
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
        self._received = 0
        self._paused = False
        self._pauses = 0
        # Whether the client owes a credential: it opened the socket without one and has not sent one since.
        self._owes_credential = False
        # Work that a message requested and that has to wait: done before the next message is read.
        self._deferred: Callable[[], Awaitable[None]] | None = None

    async def run(self, credential: Credential) -> None:
        """Serve the socket until it is closed by either side."""
        metrics = self._context.metrics
        metrics.connections.inc()
        try:
            await self._authenticate_handshake(credential)
            config = self._context.config
            sender = SocketSender(self._socket, self.outbox, config.close_timeout_s, metrics.overflows.inc)
            self.outbox.attach(sender)
            keepalive = Keepalive(self._socket, config.ping_interval_s, config.ping_timeout_s, self._reading)
            try:
                await _run_until_first_done(self._read(), sender.over)
            finally:
                keepalive.stop()
                await sender.stop()
        finally:
            self._detach()
            metrics.connections.dec()
            metrics.replaced.inc(self.outbox.replaced)
            metrics.closes.labels(str(self._socket.close_code or 1006)).inc()

    # --- credentials

    async def _authenticate_handshake(self, credential: Credential) -> None:
        try:
            if credential.text is None and not self._context.authenticator.open_access:
                self._runner = self._directory.begin_unauthenticated()
                self._runner.attach_unauthenticated(self)
                self._owes_credential = True
                return
            await self._join(self._context.authenticator.check(credential.text, keys_allowed=credential.may_be_key))
        except AuthError as error:
            self._refuse(Code.UNAUTHENTICATED, str(error), self._count_auth_failure("handshake"))
        except DirectoryFullError:
            self._refuse(*_FULL)
        except SessionOverError:
            self._refuse(*_EXPIRED)
        except StoreError:
            self._refuse(*_NO_STORE)

    async def _join(self, principal: Principal) -> None:
        """Attach the socket to the session of a credential. Raises what SessionDirectory.open raises."""
        held = self._runner
        if principal.session_id is None and held is not None:
            self._directory.admit(held)
            runner = held
        else:
            runner = await self._directory.open(principal.session_id)
        self._switch_to(runner)
        runner.attach(self)

    def _switch_to(self, runner: SessionRunner) -> None:
        previous, self._runner = self._runner, runner
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
            await self._join(self._context.authenticator.check(token))
        except AuthError as error:
            runner.refuse(Code.UNAUTHENTICATED, str(error), self._count_auth_failure("message"))
        except DirectoryFullError:
            runner.refuse(*_FULL)
        except SessionOverError:
            runner.refuse(*_EXPIRED)
        except StoreError:
            runner.refuse(*_NO_STORE)

    def resume(self, request: ResumeSession) -> None:
        """The client resumes an earlier session on this socket: find it before the next message is read."""
        self._owes_credential = False
        self._deferred = partial(self._resume, request)

    async def _resume(self, request: ResumeSession) -> None:
        runner = self._runner
        assert runner is not None
        try:
            principal = self._context.authenticator.check(request.token)
            if not principal.may_use(request.session_id):
                self._count_auth_failure("resume")
                runner.refuse(Code.PERMISSION_DENIED, "the token belongs to another session")
                return
        except AuthError as error:
            runner.refuse(Code.UNAUTHENTICATED, str(error), self._count_auth_failure("resume"))
            return
        try:
            known = await self._directory.find(request.session_id)
        except DirectoryFullError:
            runner.refuse(*_FULL)
            return
        except SessionOverError:
            known = None
        except StoreError:
            runner.refuse(*_NO_STORE)
            return
        if known is None:
            runner.refuse(*_EXPIRED)
            return
        self._switch_to(known)
        known.attach(self, request.last_segment_ids)

    def _count_auth_failure(self, door: str) -> int | None:
        """Count an invalid credential; returns the milliseconds until the address may fail again, None for now."""
        host = remote_host(self._socket)
        self._failures.record(door, host)
        retry_after_s = self._failures.retry_after_s(host)
        return None if retry_after_s is None else 1000 * retry_after_s

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
            self._count_auth_failure("absent")
        if self._runner is not None:
            self._runner.detach(self, is_clean=self._closed_by_client())

    def _closed_by_client(self) -> bool:
        """Whether the client closed the socket on purpose, with a close frame that says so, rather than lost it."""
        protocol = self._socket.protocol
        frame = protocol.close_rcvd
        if frame is None or not protocol.close_rcvd_then_sent:
            return False
        return frame.code in _DONE_CODES or 3000 <= frame.code < 5000

    # --- the socket's tasks

    async def _read(self) -> None:
        metrics = self._context.metrics
        text_frames, binary_frames = metrics.frames.labels("text"), metrics.frames.labels("binary")
        with suppress(ConnectionClosed):
            async for message in self._socket:
                self._received += 1
                (text_frames if isinstance(message, str) else binary_frames).inc()
                metrics.frame_bytes.inc(utf8_bytes(message) if isinstance(message, str) else len(message))
                runner = self._runner
                if runner is None or runner.peer is not self or self._directory.draining:
                    continue
                runner.receive(message)
                if self._deferred is not None:
                    deferred, self._deferred = self._deferred, None
                    await deferred()
                    continue  # even if the session is behind: its client may have come back to discard a stream
                await self._pause_while_congested()
        await self._socket.wait_closed()

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
_NO_STORE = (Code.BUSY, "the session store is not responding")
_EXPIRED = (Code.SESSION_EXPIRED, "the session is unknown or has expired")


def remote_host(socket: ServerConnection) -> str:
    """The client's address, for counting failures."""
    address = socket.remote_address
    return str(address[0]) if isinstance(address, tuple) and address else "unknown"


async def _run_until_first_done(*awaitables: Awaitable[None]) -> None:
    """Run all; when the first one is done, cancel the others and wait for them. Raises the error of any of them."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
