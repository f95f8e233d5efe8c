"""One WebSocket: a reader that never waits for a worker's answer, a writer behind the outbox, and a keepalive.

Handshake credentials are checked after the upgrade: browsers cannot see an HTTP 401, but they see an `error` message
followed by close code 4401.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from gateway.auth import Audience, AuthError, FailureLimiter, Principal
from gateway.credentials import Credential
from gateway.outbox import Closing, Outbox
from gateway.protocol.actions import CloseSocket, ResumeSession, SendMessage
from gateway.protocol.errors import Code
from gateway.protocol.session import refusal
from gateway.sessions.directory import DirectoryFullError, SessionDeletedError, SessionDirectory
from gateway.sessions.runner import SessionRunner, Tools
from gateway.store.sqlite import StoreError

log = structlog.get_logger()

# How often a client that is not being read hears how far behind its streams are.
_TELL_INTERVAL_S = 2.0
# Close codes of RFC 6455 7.4 by which a client says that it is done; also 3000 to 4999, its own words.
_DONE_CODES = frozenset({1000, 1001, 1005})


class Connection:
    """A socket from its handshake to its end; attached to one session at a time."""

    def __init__(
        self, socket: ServerConnection, tools: Tools, directory: SessionDirectory, failures: FailureLimiter
    ) -> None:
        self.outbox = Outbox(tools.config.outbox_messages, tools.config.outbox_bytes)
        self._socket = socket
        self._tools = tools
        self._directory = directory
        self._failures = failures
        self._runner: SessionRunner | None = None
        self._heard = 0
        self._paused = False
        self._entry: Callable[[], Awaitable[None]] | None = None

    async def run(self, credential: Credential) -> None:
        """Serve the socket until it is closed by either side."""
        metrics = self._tools.metrics
        metrics.connections.inc()
        try:
            await self._enter(credential)
            await _first_of(self._read(), self._write(), self._enforce_close(), self._keepalive())
        finally:
            self._leave()
            metrics.connections.dec()
            metrics.replaced.inc(self.outbox.replaced)
            metrics.closes.labels(str(self._socket.close_code or 1006)).inc()

    # --- who it is

    async def _enter(self, credential: Credential) -> None:
        try:
            if credential.text is None and not self._tools.authenticator.open_access:
                self._runner = self._directory.provisional()
                self._runner.hold(self)
                return
            await self._join(self._tools.authenticator.check(credential.text, keys_allowed=credential.may_be_key))
        except AuthError as error:
            self._note_failure("handshake")
            self._refuse(Code.UNAUTHENTICATED, str(error))
        except DirectoryFullError:
            self._refuse(*_FULL)
        except SessionDeletedError:
            self._refuse(*_EXPIRED)
        except StoreError:
            self._refuse(*_NO_STORE)

    async def _join(self, principal: Principal) -> None:
        """Attach to the session a credential stands for. Raises what SessionDirectory.open raises."""
        held = self._runner
        if principal.session_id is None and held is not None:
            self._directory.enter(held)
            runner = held
        else:
            runner = await self._directory.open(principal.session_id)
        self._swap(runner)
        runner.attach(self)

    def _swap(self, runner: SessionRunner) -> None:
        previous, self._runner = self._runner, runner
        if previous is not None and previous is not runner:
            previous.detach(self, clean=False)
            if not previous.session.streams:
                previous.expire()

    def authenticate(self, token: str) -> None:
        """The client gave its credential as a message: it is checked before the next one is read."""
        self._entry = partial(self._authenticate, token)

    async def _authenticate(self, token: str) -> None:
        runner = self._runner
        assert runner is not None
        try:
            await self._join(self._tools.authenticator.check(token))
        except AuthError as error:
            self._note_failure("message")
            runner.refuse(Code.UNAUTHENTICATED, str(error))
        except DirectoryFullError:
            runner.refuse(*_FULL)
        except SessionDeletedError:
            runner.refuse(*_EXPIRED)
        except StoreError:
            runner.refuse(*_NO_STORE)

    def resume(self, request: ResumeSession) -> None:
        """The client takes up an earlier session on this socket: it is found before the next message is read."""
        self._entry = partial(self._resume, request)

    async def _resume(self, request: ResumeSession) -> None:
        runner = self._runner
        assert runner is not None
        try:
            principal = self._tools.authenticator.check_token(request.token, Audience.RESUME, Audience.SESSION)
            if not principal.may_use(request.session_id):
                self._note_failure("resume")
                runner.refuse(Code.PERMISSION_DENIED, "the token belongs to another session")
                return
        except AuthError as error:
            self._note_failure("resume")
            runner.refuse(Code.UNAUTHENTICATED, str(error))
            return
        try:
            known = await self._directory.find(request.session_id)
        except DirectoryFullError:
            runner.refuse(*_FULL)
            return
        except SessionDeletedError:
            known = None
        except StoreError:
            runner.refuse(*_NO_STORE)
            return
        if known is None:
            runner.refuse(*_EXPIRED)
            return
        self._swap(known)
        known.attach(self, request.last_segment_ids)

    def _note_failure(self, door: str) -> None:
        self._tools.metrics.auth_failures.labels(door).inc()
        self._failures.failed(remote_host(self._socket))

    def _refuse(self, code: Code, message: str) -> None:
        """Refuse a socket that belongs to no session."""
        self._tools.metrics.errors.labels(code).inc()
        for action in refusal(code, message, self._tools.clock()):
            match action:
                case SendMessage(told):
                    self.outbox.put(told)
                case CloseSocket(number, reason):
                    self.outbox.close(number, reason)

    def _leave(self) -> None:
        if self._runner is not None:
            self._runner.detach(self, clean=self._closed_by_client())

    def _closed_by_client(self) -> bool:
        """Whether the client ended the call rather than lost it: a close frame of its own that says so."""
        protocol = self._socket.protocol
        frame = protocol.close_rcvd
        if frame is None or not protocol.close_rcvd_then_sent:
            return False
        return frame.code in _DONE_CODES or 3000 <= frame.code < 5000

    # --- what waits

    async def _read(self) -> None:
        metrics = self._tools.metrics
        with suppress(ConnectionClosed):
            async for message in self._socket:
                self._heard += 1
                metrics.frames.labels("text" if isinstance(message, str) else "binary").inc()
                metrics.frame_bytes.inc(len(message))
                runner = self._runner
                if runner is None or runner.peer is not self or self._directory.draining:
                    continue
                runner.receive(message)
                if self._entry is not None:
                    entry, self._entry = self._entry, None
                    await entry()
                await self._pause_while_congested()
        await self._socket.wait_closed()

    async def _pause_while_congested(self) -> None:
        """Read nothing while a worker stream of the session is too far behind: TCP holds the client back."""
        while self._runner is not None and (stream := self._runner.congested_stream()) is not None:
            if not self._paused:
                self._paused = True
                self._tools.metrics.pauses.inc()
            self._runner.tell_congestion()
            with suppress(TimeoutError):
                async with asyncio.timeout(_TELL_INTERVAL_S):
                    await stream.wait_writable()
        self._paused = False

    async def _write(self) -> None:
        with suppress(ConnectionClosed):
            while not isinstance(entry := await self.outbox.take(), Closing):
                if entry.after is not None and not entry.after.done():
                    # A failed write is counted where it was made; the client still gets its text.
                    with suppress(StoreError):
                        await asyncio.shield(asyncio.wrap_future(entry.after))
                await self._socket.send(entry.payload, text=True)
            await self._socket.close(entry.code, entry.reason)

    async def _enforce_close(self) -> None:
        """Close a socket whose writer is stuck behind a client that does not read."""
        closing = await self.outbox.decided()
        if self.outbox.overflowed:
            self._tools.metrics.overflows.inc()
        else:
            await asyncio.sleep(self._tools.config.close_timeout_s)
        await self._socket.close(closing.code, closing.reason)

    async def _keepalive(self) -> None:
        """Ping, and give up a client that is silent; not while its frames are held back here, its pong among them."""
        config = self._tools.config
        with suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(config.ping_interval_s)
                heard = self._heard
                try:
                    async with asyncio.timeout(config.ping_timeout_s):
                        await (await self._socket.ping())
                except TimeoutError:
                    if self._heard == heard and not self._paused:
                        self._socket.transport.abort()
                        return
        await self._socket.wait_closed()


_FULL = (Code.BUSY, "the gateway holds as many sessions as it can")
_NO_STORE = (Code.BUSY, "the store of sessions does not answer")
_EXPIRED = (Code.SESSION_EXPIRED, "the session is unknown or has expired")


def remote_host(socket: ServerConnection) -> str:
    """The client's address, for counting failures."""
    address = socket.remote_address
    return str(address[0]) if isinstance(address, tuple) and address else "unknown"


async def _first_of(*coroutines: Coroutine[object, object, None]) -> None:
    """Run all; when the first is done, cancel the others and wait for their end. An error of any one is raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
