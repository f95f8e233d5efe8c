"""What waits for one client's socket: bounded, in order, and never a stale interim before a newer one.

A newer interim of a segment, or its final, takes the place of an unsent older one; so does a newer cumulative
`acknowledge` of a stream. Everything else is kept. A client that does not read hits the bound and is closed (1008).
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from concurrent.futures import Future
from dataclasses import dataclass

import msgspec

from gateway.protocol.errors import CloseCode
from gateway.protocol.messages import Acknowledge, ErrorMessage, ServerMessage, StreamEnded, TranscriptUpdate


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One encoded message. It leaves only once `after` is done: the write the client must be able to rely on."""

    message: ServerMessage
    payload: bytes
    after: Future[None] | None


@dataclass(frozen=True, slots=True)
class Closing:
    """The last entry: close the socket."""

    code: int
    reason: str


class Outbox:
    """The queue between a session (puts, never waits) and a socket's writer (takes, waits).

    `max_bytes` and `max_messages` bound what waits; beyond them everything waiting is dropped and the socket closed.
    """

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._waiting: dict[Hashable, Outgoing] = {}
        self._taken: Outgoing | None = None
        self._bytes = 0
        self._serial = 0
        self._closing: Closing | None = None
        self._filled = asyncio.Event()
        self._decided = asyncio.Event()
        self.replaced = 0
        self.overflowed = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def closing(self) -> Closing | None:
        """How the socket is going to be closed, once that is decided."""
        return self._closing

    async def decided(self) -> Closing:
        """Wait until it is decided that, and how, the socket is closed."""
        await self._decided.wait()
        assert self._closing is not None
        return self._closing

    def put(self, message: ServerMessage, after: Future[None] | None = None) -> None:
        """Append a message; ignored once closing."""
        if self._closing is not None:
            return
        slot = _slot(message)
        if slot is not None:
            self._remove(slot)
        if slot is None or _is_kept(message):
            self._serial += 1
            slot = self._serial
        entry = Outgoing(message, msgspec.json.encode(message), after)
        self._waiting[slot] = entry
        self._bytes += len(entry.payload)
        if len(self._waiting) > self._max_messages or self._bytes > self._max_bytes:
            self._waiting.clear()
            self._bytes = 0
            self.overflowed = True
            self.close(CloseCode.POLICY, "the client does not read")
        self._filled.set()

    def close(self, code: int, reason: str) -> None:
        """Close the socket after what waits; the first call wins."""
        if self._closing is None:
            self._closing = Closing(code, reason)
            self._decided.set()
            self._filled.set()

    def unsent(self) -> list[ServerMessage]:
        """What still waits, in order; before it what was taken last, whose sending may have failed with the socket."""
        taken = [] if self._taken is None else [self._taken.message]
        return taken + [entry.message for entry in self._waiting.values()]

    async def take(self) -> Outgoing | Closing:
        """The next entry; waits for one. Once `Closing` came, nothing else does.

        To be called when the entry before has been sent: until then that one counts as unsent.
        """
        self._taken = None
        while not self._waiting:
            if self._closing is not None:
                return self._closing
            self._filled.clear()
            await self._filled.wait()
        entry = self._waiting.pop(next(iter(self._waiting)))
        self._bytes -= len(entry.payload)
        self._taken = entry
        return entry

    def _remove(self, slot: Hashable) -> None:
        stale = self._waiting.pop(slot, None)
        if stale is not None:
            self._bytes -= len(stale.payload)
            self.replaced += 1


def _slot(message: ServerMessage) -> Hashable | None:
    """The place that only the newest message may hold; None for a message that replaces nothing."""
    match message:
        case TranscriptUpdate(data=data):
            return ("transcript", data.stream_id, data.segment_id)
        case Acknowledge(data=data) if data.accepted is msgspec.UNSET and data.flush_id is msgspec.UNSET:
            return ("acknowledge", data.stream_id)
    return None


def must_arrive(message: ServerMessage) -> bool:
    """Whether a client that lost its socket is to be told this on its next one."""
    return _is_kept(message) or isinstance(message, StreamEnded | ErrorMessage)


def stream_of(message: ServerMessage) -> str | None:
    """The stream whose text a message carries: what a client that names its last final gets by its own account."""
    return message.stream_id if isinstance(message, TranscriptUpdate | StreamEnded) else None


def _is_kept(message: ServerMessage) -> bool:
    """Whether nothing may take this message's place: a final."""
    return isinstance(message, TranscriptUpdate) and message.data.is_final
