"""A media stream: chunks go in, events come out."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Protocol, Self

from talkup_client import messages
from talkup_client.chunks import Chunk, UncommittedChunks
from talkup_client.errors import NoMediaError, SettingError, TalkupError, from_error_data
from talkup_client.events import (
    Acknowledge,
    AnalysisResult,
    ErrorReceived,
    Notice,
    StreamEnded,
    StreamEvent,
    StreamState,
    TranscriptUpdate,
)
from talkup_client.inbox import Inbox
from talkup_client.messages import StreamOptions

IN_FLIGHT_BYTES = 2 * 2**20
KEEP_BYTES = 32 * 2**20
UNREAD_EVENTS = 10_000
_NOTICES = frozenset({"gap", "orphan_chunk"})


class Link(Protocol):
    """What a stream needs from its client: a way to send."""

    async def hasten(self, stream: Stream, message: str) -> None:
        """Send ahead of everything that waits. Raises TalkupError when it cannot be."""
        ...

    async def deliver(self, stream: Stream, message: str | Chunk) -> None:
        """Send now, or wait until the session is resumed. Raises TalkupError when the session is lost."""
        ...


class Stream:
    """One media stream, created by `Client.stream`. Iterating yields its events and stops after `StreamEnded`.

    The iterator raises errors of this stream in their place among the events. You may continue to iterate after one,
    since other services of the stream may still send events.
    """

    def __init__(self, stream_id: str, options: StreamOptions, link: Link) -> None:
        self.stream_id = stream_id
        self.options = options
        self.start_message = messages.stream_start(stream_id, options)
        self.handle = 0
        self.last_segment_id = 0
        self.last_delivery = -1
        self.ended: StreamEnded | None = None
        self.left = False
        self._link = link
        self._inbox = Inbox(UNREAD_EVENTS)
        self._chunks = UncommittedChunks(0, keep_bytes=KEEP_BYTES)
        self._room = asyncio.Event()
        self._room.set()
        self._accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._flush_ids = itertools.count(1)
        self._flushes: dict[int, asyncio.Future[None]] = {}
        self._failure: TalkupError | None = None
        self._error: TalkupError | None = None
        self._has_sent = False
        self._end_sent = False
        self._end_message = ""
        self._end_repeated = False
        self._start_repeated = False
        self._discarded = False
        self._over = asyncio.Event()

    @property
    def finished(self) -> bool:
        """Whether the last event has arrived."""
        return self._inbox.finished

    @property
    def accepted(self) -> bool:
        """Whether the gateway has accepted the stream."""
        return self._accepted.done() and self._accepted.exception() is None

    @property
    def decoded_nothing(self) -> bool:
        """Whether the stream is over and nothing that was sent could be decoded."""
        return self._has_sent and self.ended is not None and not self.ended.media_seconds

    @property
    def acknowledged_bytes(self) -> int:
        """Bytes that the gateway will never ask for again."""
        return self._chunks.forgotten_bytes

    async def send(self, payload: bytes) -> None:
        """Send the next chunk. Waits while the gateway is too far behind, and while the connection is down.

        Raises TalkupError when the stream has failed, SettingError after `end`.
        """
        if self._end_sent:
            raise SettingError("the stream was ended: nothing more can be sent")
        if not payload:
            return
        await self._room.wait()
        if self._failure is not None:
            raise self._failure
        if self.finished or self._discarded:
            return
        self._has_sent = True
        await self._link.deliver(self, self._chunks.append(payload))
        self._update_room()

    async def flush(self) -> None:
        """Return once everything sent so far is final text.

        Raises TalkupError when the session is lost, or when the stream ends with an error first.
        """
        if self._failure is not None:
            raise self._failure
        if self.finished or self._end_sent:
            return
        flush_id = next(self._flush_ids)
        done = self._flushes[flush_id] = asyncio.get_running_loop().create_future()
        await self._link.deliver(self, messages.stream_flush(self.stream_id, flush_id))
        await done

    async def end(self) -> None:
        """Say that no more chunks will follow; the remaining events and `StreamEnded` still arrive."""
        if not self._end_sent and not self.finished:
            self.end_on_resumption()
            await self._link.deliver(self, self._end_message)

    async def discard(self) -> None:
        """End the stream at once: the gateway drops what is not text yet, so the worker is free for others.

        `StreamEnded` still arrives. Raises TalkupError when the session is lost.
        """
        if self.finished:
            return
        self._discarded = self._end_sent = True
        self._end_repeated = False
        self._end_message = messages.stream_end(self.stream_id, discard=True)
        self._room.set()
        await self._link.hasten(self, self._end_message)

    async def wait_over(self) -> None:
        """Wait until the last event has arrived, or the session is lost."""
        await self._over.wait()

    def end_on_resumption(self) -> None:
        """End while the connection is down: the next resumption sends the end."""
        if not self._end_sent:
            self._end_sent = True
            self._end_message = messages.stream_end(self.stream_id)

    def leave(self) -> None:
        """The program reads no more events: drop those that still arrive."""
        self.left = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        event = await self._inbox.get()
        if event is None:
            raise StopAsyncIteration
        return event

    async def finals(self) -> AsyncIterator[TranscriptUpdate]:
        """Yield only the final segments.

        Raises what iterating raises, and at the end NoMediaError when nothing that was sent could be decoded.
        """
        async for event in self:
            if isinstance(event, TranscriptUpdate) and event.is_final:
                yield event
        if self.decoded_nothing:
            raise NoMediaError("nothing that was sent could be decoded: it is not a recording in the announced format")

    # The client's reader calls the following methods. Only `wait_accepted` waits.

    async def wait_accepted(self) -> None:
        """Wait for the answer to the start. Raises RefusedError when the gateway refuses."""
        await asyncio.shield(self._accepted)  # a caller that gives up must not cancel it for others

    def receive(self, event: StreamEvent) -> None:
        """Pass on an event; skip what a resumption repeats."""
        if isinstance(event, TranscriptUpdate) and event.is_final:
            if event.segment_id <= self.last_segment_id:
                return
            self.last_segment_id = event.segment_id
        if isinstance(event, AnalysisResult) and event.delivery is not None:
            number = int(event.data["frame_seq"])
            if number <= self.last_delivery:
                return
            self.last_delivery = number
        if isinstance(event, StreamEnded):
            self.ended = event
        self._put(event)
        if self.finished:
            self._release()

    def receive_acknowledge(self, acknowledge: Acknowledge) -> None:
        """Handle an acknowledgement, which may also answer a start or a flush."""
        if acknowledge.handle is not None:
            self.handle = acknowledge.handle
        if acknowledge.accepted:
            self._accept(acknowledge.next_sequence)
        self._chunks.acknowledge(acknowledge.received, acknowledge.committed)
        self._update_room()
        flush = self._flushes.pop(acknowledge.flush_id, None) if acknowledge.flush_id is not None else None
        if flush is not None and not flush.done():
            flush.set_result(None)

    def receive_error(self, error: ErrorReceived) -> None:
        """Handle an error about this stream."""
        problem = from_error_data(error.data)
        if not self._accepted.done():
            self._refuse(problem)
            self._inbox.finish(None)
        elif problem.code in _NOTICES or _is_wait(problem) or error.data.get("reason"):
            self._put(Notice(self.stream_id, problem.code, problem.message))
        else:
            self._error = problem
            self._put(problem)

    def resumed(self, state: StreamState) -> Iterator[str | Chunk]:
        """What to resend after a resumption, in order: chunks, unanswered flushes, the end."""
        self.handle = state.handle
        self._accept(state.next_sequence)  # the answer to the start may have been lost with the connection
        self._end_repeated = self._end_sent  # unless the gateway knows it already
        if self._discarded and state.state != "ended":
            self._end_repeated = True
            yield self._end_message
        elif state.state == "open":
            yield from self._chunks.rewind(state.next_sequence)
            yield from (messages.stream_flush(self.stream_id, flush_id) for flush_id in sorted(self._flushes))
            if self._end_sent:
                self._end_repeated = True
                yield messages.stream_end(self.stream_id)

    def started_again(self) -> str:
        """The start message again, for a gateway that does not know the stream."""
        self._start_repeated = True
        return self.start_message

    def has_repeated(self, message: str | Chunk) -> bool:
        """Whether a resumption has already sent this start or end. Repeated chunks and flushes do no harm."""
        if message is self.start_message:
            return self._start_repeated
        if self._discarded and message is not self._end_message:
            return True  # nothing else matters any more
        return self._end_repeated and message is self._end_message

    def fail(self, error: TalkupError) -> None:
        """The session is lost: end the stream with `error`."""
        if not self._accepted.done():
            self._refuse(error)
        if not self.finished:
            self._failure = error
        self._inbox.finish(error)
        self._release()

    def _accept(self, next_sequence: int) -> None:
        if not self._accepted.done():
            self._chunks = UncommittedChunks(next_sequence, keep_bytes=KEEP_BYTES)
            self._accepted.set_result(None)

    def _refuse(self, error: TalkupError) -> None:
        self._accepted.set_exception(error)
        self._accepted.exception()  # mark it as retrieved, in case nobody waits any more

    def _update_room(self) -> None:
        if self._chunks.in_flight_bytes < IN_FLIGHT_BYTES or self.finished:
            self._room.set()
        else:
            self._room.clear()

    def _put(self, entry: StreamEvent | TalkupError) -> None:
        if not self.left or isinstance(entry, StreamEnded):
            self._inbox.put(entry)

    def _release(self) -> None:
        """The stream is over: wake everything that waits, with the error if there is one."""
        self._room.set()
        self._over.set()
        problem = self._failure or self._error
        for flush in self._flushes.values():
            if flush.done():
                continue
            if problem is None:
                flush.set_result(None)
            else:
                flush.set_exception(problem)
                flush.exception()  # mark it as retrieved, in case nobody waits any more
        self._flushes.clear()


def _is_wait(problem: TalkupError) -> bool:
    """Whether the stream only waits for a worker. If it had ended, the error would have no `retry_after_ms`."""
    return problem.code == "no_worker" and problem.retry_after_ms is not None
