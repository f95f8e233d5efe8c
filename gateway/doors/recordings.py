"""Uploads: the body of a request becomes a stream of mode `file`, piece by piece, and its results the answer.

Nothing of a recording is kept in the gateway: while workers are behind, the body is not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from gateway.config import GatewayConfig
from gateway.doors.body import Patience, reading
from gateway.doors.sender import DoorSender
from gateway.doors.session import DoorSession
from gateway.doors.steps import RefusedError, goes_on, problem_of
from gateway.protocol.errors import Code, Problem
from gateway.protocol.messages import (
    ErrorMessage,
    ServerMessage,
    StreamChunk,
    StreamEnd,
    StreamEnded,
    StreamStart,
    TranscriptUpdate,
)
from gateway.sessions.context import GatewayContext

_PIECE_BYTES: Final = 64 * 1024
_LOOK_S: Final = 1.0
_RESTART_MS: Final = 5_000

Split = Callable[[bytes], Sequence[bytes]]


@dataclass(eq=False)
class Transcribed:
    """What became of one stream of an upload."""

    finals: list[TranscriptUpdate] = field(default_factory=list)
    ended: StreamEnded | None = None


class Upload:
    """The streams of one upload. `listen` gets each of their messages, as it comes; it never waits."""

    def __init__(
        self,
        context: GatewayContext,
        door: DoorSession,
        starts: Sequence[StreamStart],
        listen: Callable[[ServerMessage], None] = lambda _: None,
    ) -> None:
        """Raises RefusedError if a stream is refused at once."""
        self._context = context
        self._door = door
        self._listen = listen
        self._streams = {start.stream_id or "": Transcribed() for start in starts}
        self._is_complete = False
        self._failure: Problem | None = None
        self._over = asyncio.Event()
        for start in starts:
            door.start(start)
        self._sender = DoorSender(_NoLine(self._cut_off), door.outbox, self._tell, context.config)
        door.outbox.attach(self._sender)

    async def transcribe(
        self, request: web.Request, recording: AsyncIterator[bytes], split: Split | None = None
    ) -> list[Transcribed]:
        """Feed a recording to the streams and wait for their ends; `split` makes a part of each piece for each stream.

        `recording`: from `pieces`. Raises RefusedError, and ConnectionError if the client goes away.
        """
        feeding = asyncio.create_task(self._feed(recording, split))
        over = asyncio.create_task(self._over.wait())
        try:
            while not over.done():
                waiting = {over} if feeding.done() else {over, feeding}
                await asyncio.wait(waiting, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                if feeding.done():
                    feeding.result()
                if request.transport is None or request.transport.is_closing():
                    raise ConnectionResetError
        finally:
            for task in (feeding, over):
                task.cancel()
            await asyncio.gather(feeding, over, return_exceptions=True)
        if self._failure is not None:
            raise RefusedError(self._failure)
        return list(self._streams.values())

    async def close(self, *, is_clean: bool) -> None:
        """Give back what the upload holds."""
        if not self._over.is_set():
            for stream_id in self._streams:
                self._door.discard(stream_id)
        try:
            await self._sender.stop()
        finally:
            self._door.leave(is_clean=is_clean)

    async def _feed(self, recording: AsyncIterator[bytes], split: Split | None) -> None:
        async for piece in recording:
            parts = [piece] if split is None else split(piece)
            for stream_id, part in zip(self._streams, parts, strict=True):
                if part:
                    self._door.receive(StreamChunk(stream_id=stream_id, payload=part))
            await self._door.wait_until_writable()
        self._is_complete = True
        for stream_id in self._streams:
            self._door.receive(StreamEnd(stream_id=stream_id))

    def _tell(self, message: ServerMessage) -> None:
        match message:
            case TranscriptUpdate(data=data) if data.is_final and data.stream_id in self._streams:
                self._streams[data.stream_id].finals.append(message)
            case ErrorMessage(data=error) if not goes_on(problem := problem_of(error)):
                self._failure = self._failure or problem
                if not isinstance(error.stream_id, str):
                    self._over.set()
            case StreamEnded(stream_id=stream_id) if stream_id in self._streams:
                self._streams[stream_id].ended = message
                if not self._is_complete and self._failure is None:
                    self._failure = Problem(Code.BUSY, "the gateway is restarting", retry_after_ms=_RESTART_MS)
                if all(stream.ended is not None for stream in self._streams.values()):
                    self._over.set()
        self._listen(message)

    def _cut_off(self, reason: str) -> None:
        """The session ends before its streams."""
        self._failure = self._failure or Problem(Code.BUSY, reason, retry_after_ms=_RESTART_MS)
        self._over.set()


class _NoLine:
    """The line of a sender whose client gets one answer at the end."""

    def __init__(self, cut_off: Callable[[str], None]) -> None:
        self._cut_off = cut_off

    async def send(self, payload: bytes) -> None:
        """See `gateway.doors.sender.Line`."""

    async def close(self, code: int, reason: str) -> None:
        """See `gateway.doors.sender.Line`."""
        self._cut_off(reason)

    def abort(self) -> None:
        """See `gateway.doors.sender.Line`."""
        self._cut_off("the gateway cannot go on with this upload")


def patience_of(config: GatewayConfig) -> Patience:
    """How slowly a recording may arrive."""
    return Patience(config.http_request_s, config.min_upload_rate)


async def pieces(
    config: GatewayConfig,
    read: Callable[[int], Awaitable[bytes]],
    declared: int | None = None,
    max_bytes: int | None = None,
    patience: Patience | None = None,
) -> AsyncIterator[bytes]:
    """A recording as it arrives: `read` gives at most the bytes asked for, none at the end, as bodies and parts do.

    `declared`: its length, if the client says it. `max_bytes`: instead of the setting `max_recording_bytes`.
    `patience`: of the whole body, if the recording is a part of it. Raises RefusedError for one that is too large,
    empty, late or too slow, ConnectionError.
    """
    patience = patience or patience_of(config)
    max_bytes = config.max_recording_bytes if max_bytes is None else max_bytes
    if declared is not None and declared > max_bytes:
        raise _too_large(max_bytes)
    received = 0
    while True:
        try:
            with reading():
                async with patience.waiting():
                    piece = await read(_PIECE_BYTES)
        except TimeoutError:
            raise RefusedError(Problem(Code.DEADLINE_EXCEEDED, "the recording did not arrive in time")) from None
        if not piece:
            break
        received += len(piece)
        patience.received(len(piece))
        if received > max_bytes:
            raise _too_large(max_bytes)
        yield piece
    if not received:
        raise RefusedError(Problem(Code.BAD_MESSAGE, "the body is empty: send the recording as the body"))


def _too_large(max_bytes: int) -> RefusedError:
    return RefusedError(Problem(Code.PAYLOAD_TOO_LARGE, f"a recording may have at most {max_bytes} bytes"))
