"""One client of Wyoming: a reader, and, once it has a session, a sender behind the outbox."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final

import structlog

from gateway.access.terms import Door
from gateway.auth import AuthError, Principal
from gateway.doors.sender import DoorSender
from gateway.doors.session import DoorSession
from gateway.doors.steps import Close, CountRefusal, RefusedError, Step, ToClient, ToSession
from gateway.doors.wyoming.conversation import Begin, WyomingConversation
from gateway.doors.wyoming.framing import FramingError, read_event
from gateway.expiry import CredentialWatch
from gateway.protocol.errors import Code, Problem
from gateway.protocol.messages import ServerMessage, StreamStart
from gateway.protocol.rate_limit import RateLimit
from gateway.refusal_pace import SocketPace, pace_owner
from gateway.sessions.context import GatewayContext
from gateway.sessions.directory import SessionDirectory

log = structlog.get_logger()

NAME: Final = "wyoming"
_FAIR_SHARE: Final = 8
# A client that is still sending when it gets an error has this time to read it before the connection closes.
_LINGER_S: Final = 5.0
_DISCARDED: Final = 64 * 1024
_AUDIO: Final = "audio-chunk"


class WyomingLine:
    """The connection as a sender sees it. See `gateway.doors.sender.Line`."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def send(self, payload: bytes) -> None:
        self._writer.write(payload)
        await self._writer.drain()

    async def close(self, code: int, reason: str) -> None:
        """Nothing more is sent. Wyoming has no codes: an `error` has said why."""
        await self._writer.drain()
        with suppress(OSError):
            self._writer.write_eof()

    def abort(self) -> None:
        self._writer.transport.abort()


class WyomingConnection:
    """A connection from its accept to its close. Its session is opened with its first request."""

    def __init__(
        self,
        context: GatewayContext,
        directory: SessionDirectory,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_first: Callable[[], None],
    ) -> None:
        """`on_first` is called once the client has sent an event."""
        self._context = context
        self._directory = directory
        self._reader = reader
        self._line = WyomingLine(writer)
        self._owner = pace_owner("", str((writer.get_extra_info("peername") or ("unknown",))[0]))
        self._refusals = SocketPace(context.paces)
        self._on_first = on_first
        self._conversation = WyomingConversation(context.status.services)
        limits = context.limits
        self._rate = RateLimit(limits.control_per_second, limits.control_burst, max_refused=1)
        self._door: DoorSession | None = None
        self._sender: DoorSender | None = None
        self._reading: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()
        self._credential = CredentialWatch(
            context.clock,
            context.authenticator.is_valid,
            notice_s=0.0,
            grace_s=context.config.token_grace_s,
            on_notice=lambda _expires_at, _closes_at: None,
            on_over=lambda: self._refuse(Problem(Code.UNAUTHENTICATED, "the credential has expired")),
        )

    async def serve(self) -> None:
        """Serve the client until either side is done."""
        self._context.metrics.connections.inc()
        ignore_keys = self._context.authenticator.keys.on_change(self._credential.check)
        try:
            self._reading = asyncio.create_task(self._read())
            await asyncio.wait({self._reading})
            await self._finish(self._reading)
        finally:
            ignore_keys()
            self._credential.stop()
            self._stop_reading()
            if self._sender is not None:
                await self._sender.stop()
            if self._door is not None:
                self._door.leave(is_clean=not self._conversation.is_busy)
            self._context.metrics.connections.dec()
            if self._sender is not None and (self._sender.overflowed or self.has_overflowed):
                self._context.metrics.overflows.inc()

    @property
    def has_overflowed(self) -> bool:
        """Whether the client left too many messages unread."""
        return self._door is not None and self._door.outbox.overflowed

    def end(self) -> None:
        """The gateway shuts down: close unless an answer is on its way."""
        if self._reading is not None and not self._conversation.is_busy:
            self._reading.cancel()

    async def _finish(self, reading: asyncio.Task[None]) -> None:
        """Send what is left, and let the client read it. Raises what the reader or the sender raised."""
        if not reading.cancelled() and (error := reading.exception()) is not None:
            raise error
        if self._door is not None and self._sender is not None:
            self._door.leave(is_clean=not self._conversation.is_busy)
            await self._sender.over
        else:
            await self._until_read(self._line.close(0, ""))
        if self._conversation.is_over:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LINGER_S):
                    while await self._reader.read(_DISCARDED):
                        pass

    async def _read(self) -> None:
        config, conversation = self._context.config, self._conversation
        received = 0
        idle_s = config.http_request_s
        while not conversation.is_over:
            try:
                event = await read_event(self._reader, idle_s=idle_s, rest_s=config.http_request_s)
            except FramingError as error:
                await self._slow_down(received + 1, ends=True)
                await self._perform(self._refusal(error.problem))
                return
            except TimeoutError:
                if received and conversation.is_busy:
                    await self._perform(self._refusal(Problem(Code.DEADLINE_EXCEEDED, "no audio-stop came in time")))
                return
            if event is None:
                return
            received += 1
            if received == 1:
                self._on_first()
                idle_s = config.http_idle_s
            if received % _FAIR_SHARE == 0:
                await asyncio.sleep(0)
            # Sound costs nothing: backpressure slows it down.
            if event.type != _AUDIO and self._rate.charge(self._context.monotonic()) is not None:
                await self._slow_down(received, ends=True)
                await self._perform(self._refusal(Problem(Code.RATE_LIMITED, "too many events")))
                return
            self._answered.clear()
            steps = list(conversation.receive(event))
            is_refused = bool(steps) and conversation.is_over
            if is_refused or CountRefusal() in steps:
                await self._slow_down(received, ends=is_refused)
            await self._perform(steps)
            if conversation.is_answering:
                await self._answered.wait()
            elif self._door is not None:
                await self._door.wait_until_writable()

    async def _slow_down(self, received: int, *, ends: bool) -> None:
        """The latest of `received` events is refused: wait if too many were.

        One that `ends` the connection counts for the client's address in any case, because it costs a client nothing
        to connect again.
        """
        context, now = self._context, self._context.monotonic()
        if ends:
            pause_s = context.paces.pause_s(self._owner, now)
        else:
            pause_s = self._refusals.pause_s(self._owner, received, now)
        if pause_s:
            context.metrics.refusal_pauses.inc()
            await asyncio.sleep(pause_s)

    async def _perform(self, steps: Iterable[Step | Begin]) -> None:
        for step in steps:
            match step:
                case Begin(start, ignored):
                    try:
                        await self._begin(start)
                    except RefusedError as error:
                        await self._perform(self._refusal(error.problem))
                        return
                    self._context.metrics.door_requests.labels(NAME, "served").inc()
                    if ignored:
                        log.warning("options ignored", door=NAME, count=len(ignored))
                case ToClient(payload) if self._sender is None:
                    await self._until_read(self._line.send(payload))
                case _:
                    self._perform_now([step])

    async def _until_read(self, sending: Awaitable[None]) -> None:
        """Send before there is a sender that bounds what waits. Raises ConnectionError if the client does not read."""
        try:
            async with asyncio.timeout(self._context.config.http_request_s):
                await sending
        except TimeoutError:
            self._context.metrics.overflows.inc()
            self._line.abort()
            raise ConnectionAbortedError from None

    def _perform_now(self, steps: Iterable[Step]) -> None:
        for step in steps:
            match step:
                case ToSession(message) if self._door is not None:
                    self._door.receive(message)
                case ToClient(payload) if self._sender is not None:
                    self._sender.say(payload)
                case Close(code, reason) if self._door is not None:
                    self._door.outbox.close(code, reason)

    def _tell(self, message: ServerMessage) -> None:
        self._perform_now(self._conversation.on_message(message))
        if not self._conversation.is_answering:
            self._answered.set()

    def _refuse(self, problem: Problem) -> None:
        self._perform_now(self._refusal(problem))
        self._answered.set()

    def _refusal(self, problem: Problem) -> list[Step]:
        if not self._conversation.is_over:
            self._context.metrics.door_requests.labels(NAME, problem.code).inc()
            self._context.metrics.errors.labels(problem.code).inc()
        return self._conversation.refused(problem)

    async def _begin(self, start: StreamStart) -> None:
        """Start a stream, in a session that is opened if need be. Raises RefusedError."""
        context = self._context
        if self._directory.draining:
            raise RefusedError(Problem(Code.BUSY, "the gateway is restarting"))
        principal = self._principal()
        if (over := context.shares.charge(principal.terms)) is not None:
            context.metrics.share_refusals.labels(over.reason).inc()
            wait_ms = math.ceil(1000 * (over.wait_s or 1))
            raise RefusedError(Problem(Code.RATE_LIMITED, over.text, retry_after_ms=wait_ms))
        if self._door is None:
            self._door = door = await DoorSession.open(context, self._directory, principal)
            self._sender = sender = DoorSender(self._line, door.outbox, self._tell, context.config)
            sender.over.add_done_callback(lambda _: self._stop_reading())
            self._credential.watch(principal)
            door.outbox.attach(sender)
        self._door.start(start)

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    def _principal(self) -> Principal:
        """In whose name the clients act. Raises RefusedError if that key is not valid."""
        try:
            return self._context.authenticator.check(self._context.config.wyoming_key or None, Door.DIALECT)
        except AuthError as error:
            code = Code.PERMISSION_DENIED if error.is_forbidden else Code.UNAUTHENTICATED
            raise RefusedError(Problem(code, f"wyoming_key: {error}")) from None
