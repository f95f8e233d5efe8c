"""One WebSocket of a dialect: a reader, a sender behind the outbox, and pings; like `gateway/connection.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import structlog
from aiohttp import WSMsgType, web

from gateway.auth import Principal
from gateway.doors.early import Early
from gateway.doors.entrance import Entrance
from gateway.doors.sender import DoorSender
from gateway.doors.session import DoorSession
from gateway.doors.steps import Close, Conversation, CountRefusal, Step, ToClient, ToSession
from gateway.expiry import CredentialWatch
from gateway.protocol.errors import CloseCode, Code, Problem
from gateway.protocol.messages import ServerMessage, StreamChunk
from gateway.protocol.rate_limit import RateLimit
from gateway.refusal_pace import FRAMES_BURST, FRAMES_PER_S, Pace, SocketPace, pace_owner
from gateway.sessions.context import GatewayContext

log = structlog.get_logger()

MAX_MESSAGE_BYTES: Final = 1024 * 1024
"""The largest message of a dialect: seconds of uncompressed sound, where clients send tenths."""

_FAIR_SHARE: Final = 8
# A socket that sends too many frames is read later once it owes as much time as this.
_LEAST_PAUSE_S: Final = 0.02
_DONE_CODES: Final = frozenset({1000, 1001, 1005})
_END: Final = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR})


async def upgrade(
    context: GatewayContext,
    request: web.Request,
    *,
    protocols: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    max_bytes: int = MAX_MESSAGE_BYTES,
) -> web.WebSocketResponse:
    """Answer the handshake. A larger message than `max_bytes` closes the socket (1009)."""
    socket = web.WebSocketResponse(
        timeout=context.config.close_timeout_s,
        autoping=False,
        protocols=protocols,
        compress=False,
        max_msg_size=max_bytes,
    )
    socket.headers.update(headers or {})
    await socket.prepare(request)
    return socket


class SocketLine:
    """The socket as a sender sees it."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self._socket = socket
        self._request = request

    async def send(self, payload: bytes) -> None:
        await self._socket.send_frame(payload, WSMsgType.TEXT)

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code=code, message=reason.encode()[:120])

    def abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()


class DoorSocket:
    """A socket from its upgrade to its close; its session is open and its streams have started."""

    def __init__(self, entrance: Entrance, door: DoorSession, conversation: Conversation, principal: Principal) -> None:
        self._context = context = entrance.context
        self._access = entrance.access
        self._door = door
        self._conversation = conversation
        self._principal = principal
        limits = context.limits
        self._rate = RateLimit(limits.control_per_second, limits.control_burst, max_refused=1)
        self._sender: DoorSender | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._received = 0
        self._messages = 0
        self._refusals = SocketPace(context.paces)
        self._frames = Pace(FRAMES_BURST, FRAMES_PER_S)
        self._now = context.steady_clock()
        self._is_paused = False
        self._pauses = 0
        config = context.config
        self._credential = CredentialWatch(
            context.clock,
            context.authenticator.is_valid,
            notice_s=0.0,
            grace_s=config.token_grace_s,
            on_notice=lambda _expires_at, _closes_at: None,
            on_over=lambda: self._refuse(Problem(Code.UNAUTHENTICATED, "the credential has expired")),
        )

    async def serve(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        early: Early | None = None,
        opening: Sequence[Step] = (),
    ) -> web.WebSocketResponse:
        """Serve an upgraded socket until either side closes it.

        `early`: what was read already. `opening`: what the dialect says first.
        """
        context = self._context
        if early is not None:
            self._refusals, self._messages = early.refusals, early.messages
        context.metrics.connections.inc()
        line = SocketLine(socket, request)
        sender = DoorSender(line, self._door.outbox, self._tell, context.config)
        self._sender = sender
        ignore_keys = context.authenticator.keys.on_change(self._credential.check)
        self._credential.watch(self._principal)
        self._door.outbox.attach(sender)
        pings = asyncio.create_task(self._ping(socket, line))
        try:
            now = self._now()
            self._perform(opening)
            for text in early.texts if early is not None else ():
                self._perform(self._conversation.receive_text(text, now))
            owner = pace_owner(self._principal.terms.owner, self._access.address(request))
            await _until_first_done(self._read(socket, owner), sender.over)
        except Exception:
            # The outermost edge of a socket: an unexpected error closes this one and no other.
            log.exception("connection failed")
        finally:
            pings.cancel()
            ignore_keys()
            self._credential.stop()
            if self._timer is not None:
                self._timer.cancel()
            try:
                await sender.stop()
                if not socket.closed:
                    await socket.close(code=CloseCode.INTERNAL)
            finally:
                self._leave(socket.close_code, sender)
        return socket

    def _leave(self, code: int | None, sender: DoorSender) -> None:
        """The socket is closed."""
        self._door.leave(is_clean=code is not None and (code in _DONE_CODES or 3000 <= code < 5000))
        metrics, outbox = self._context.metrics, self._door.outbox
        metrics.connections.dec()
        metrics.closed(code)
        metrics.replaced.inc(outbox.replaced)
        if sender.overflowed or outbox.overflowed:
            metrics.overflows.inc()

    async def _read(self, socket: web.WebSocketResponse, owner: str) -> None:
        """Read messages until the socket is closed. `owner`: whose pace of refused messages it shares."""
        metrics = self._context.metrics
        monotonic, conversation, door = self._context.monotonic, self._conversation, self._door
        while (kind := (message := await socket.receive()).type) not in _END:
            self._received += 1
            if self._received % _FAIR_SHARE == 0:
                await asyncio.sleep(0)
            if (pause_s := self._frames.pause_s(monotonic())) >= _LEAST_PAUSE_S:
                metrics.frame_pauses.inc()
                await self._pause(asyncio.sleep(pause_s))
            now, data = self._now(), message.data
            if kind is WSMsgType.BINARY:
                metrics.binary_received(len(data))
                steps = list(conversation.receive_bytes(data, now))
            elif kind is WSMsgType.TEXT:
                metrics.text_received(len(data))
                steps = list(conversation.receive_text(data, now))
            else:
                if kind is WSMsgType.PING:
                    await socket.pong(data)
                continue
            # Sound costs nothing: backpressure slows it down.
            is_sound = steps and isinstance(first := steps[0], ToSession) and isinstance(first.message, StreamChunk)
            if not is_sound and self._rate.charge(now) is not None:
                self._refuse(Problem(Code.RATE_LIMITED, "too many messages"))
                continue
            self._messages += 1
            if self._perform(steps) and (pause_s := self._refusals.pause_s(owner, self._messages, monotonic())):
                metrics.refusal_pauses.inc()
                await self._pause(asyncio.sleep(pause_s))
            if door.is_congested:
                await self._pause(door.wait_until_writable())

    async def _pause(self, waiting: Awaitable[None]) -> None:
        """Wait before the next message is read. Meanwhile a pong may wait to be read, too."""
        self._is_paused = True
        self._pauses += 1
        await waiting
        self._is_paused = False

    def _tell(self, message: ServerMessage) -> None:
        self._perform(self._conversation.on_message(message, self._now()))

    def _refuse(self, problem: Problem) -> None:
        if self._door.outbox.closing is None:
            self._context.metrics.errors.labels(problem.code).inc()
            self._perform(self._conversation.refused(problem))

    def _perform(self, steps: Iterable[Step]) -> bool:
        """Perform steps in order; returns whether they refuse the client's message."""
        assert self._sender is not None
        is_refused = False
        for step in steps:
            match step:
                case ToSession(message):
                    is_refused |= self._door.receive(message)
                case ToClient(payload):
                    self._sender.say(payload)
                case Close(code, reason):
                    self._door.outbox.close(code, reason)
                case CountRefusal():
                    is_refused = True
        deadline = self._conversation.deadline()
        if deadline != self._due:
            self._schedule(deadline)
        return is_refused

    def _schedule(self, deadline: float | None) -> None:
        """Set the timer, which is due at `deadline`."""
        self._due = deadline
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None and self._door.outbox.closing is None:
            delay = max(0.0, deadline - self._now())
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_time)

    def _on_time(self) -> None:
        self._timer = self._due = None
        self._perform(self._conversation.tick(self._now()))

    async def _ping(self, socket: web.WebSocketResponse, line: SocketLine) -> None:
        """Drop a client that is silent, but not while its frames, perhaps with a pong, wait here to be read."""
        config = self._context.config
        while True:
            await asyncio.sleep(config.ping_interval_s)
            before = self._received, self._pauses
            if self._is_paused:
                continue
            with suppress(ConnectionError, RuntimeError):  # the reader sees the end of the socket, too
                await socket.ping()
            await asyncio.sleep(config.ping_timeout_s)
            if (self._received, self._pauses) == before:
                line.abort()
                return


async def _until_first_done(reading: Coroutine[object, object, None], over: asyncio.Future[None]) -> None:
    """Read until the socket is closed, or until its sender is done with it. Raises the error of either."""
    task = asyncio.create_task(reading)
    try:
        await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
    if over.done() and (error := over.exception()) is not None:
        raise error
