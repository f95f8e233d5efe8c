"""What a store keeps, and how: final segments, the directory of sessions, and where each stream stands.

With that another process takes a session up behind its last commit. Media is never stored. Writes are handed over
without waiting; each returns a future that is done once the write survives the death of the process. The order of
writes is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from enum import Enum
from typing import Final, Protocol

import msgspec

from gateway.transcript import Segment, StreamTranscript, Transcript

MAX_PENDING_WRITES: Final = 10_000


class StoreError(Exception):
    """A write or read that the store could not do. Carries no text of a transcript."""


class SessionUnknownError(StoreError):
    """A write for a session that the store has forgotten, as a Redis does that restarts without its data."""


class StreamStart(msgspec.Struct, frozen=True):
    """A media stream begins. `stream_key` is unique over all sessions and time, `started_at` UNIX seconds."""

    session_id: str
    stream_key: str
    stream_id: str
    started_at: float


class StoredStream(msgspec.Struct, frozen=True):
    """A stream as another process left it. `state` is what `save_state` was given last, empty if nothing."""

    stream_key: str
    stream_id: str
    started_at: float
    ended: bool
    state: bytes
    segments: tuple[Segment, ...]


class StoredSession(msgspec.Struct, frozen=True):
    """A session as another process left it, its streams in the order in which they began.

    `closed`: it was over, `deleted`: it must not come to life again.
    """

    created_at: float = 0.0
    closed: bool = False
    deleted: bool = False
    streams: tuple[StoredStream, ...] = ()


class LossReason(Enum):
    """Why a session is no longer this gateway's."""

    CLAIMED = "claimed"
    DELETED = "deleted"


class Store(Protocol):
    """Where finals are kept. Futures of writes fail with StoreError; a deleted session takes no writes.

    A session belongs to one gateway at a time: to the last that claimed it. From others it takes no writes.
    """

    @property
    def durable(self) -> bool:
        """Whether what is kept outlives this process."""

    def watch(self, lost: Callable[[str, LossReason], None]) -> None:
        """Have `lost` called, on the event loop, with each session that another gateway claimed, or deleted."""

    async def start(self) -> None:
        """Make ready. Raises StoreError when the place cannot be used."""

    async def close(self) -> None:
        """Finish what was handed over, then let go."""

    async def holds(self, session_id: str) -> bool:
        """Whether a session is still this gateway's own; a lease that ran out is taken again."""

    async def claim(self, session_id: str) -> StoredSession | None:
        """Make a session this gateway's own, and read it; None when it is unknown. A deleted one is not claimed."""

    def begin_session(self, session_id: str) -> Future[None]:
        """Enter a session into the directory as this gateway's own."""

    async def touch(self, session_ids: Sequence[str]) -> None:
        """Spare these sessions from retention for now. Gives way to other writes. Raises StoreError."""

    def release(self, session_id: str, *, closed: bool) -> Future[None]:
        """Let go of a session. `closed`: it is over; else another gateway may take it up."""

    def begin_stream(self, stream: StreamStart) -> Future[None]:
        """Enter a media stream of a known session."""

    def add_segment(self, session_id: str, stream_key: str, segment: Segment, state: bytes | None) -> Future[None]:
        """Keep a final, and in the same write where the stream stands with it.

        A segment already kept stays as it is, for finals never change. `state` None: the one before stays.
        """

    def save_state(self, session_id: str, stream_key: str, state: bytes) -> Future[None]:
        """Keep where a stream stands."""

    def end_stream(self, session_id: str, stream_key: str, state: bytes) -> Future[None]:
        """No more segments come; `state` tells how the stream ended."""

    async def transcript(self, session_id: str) -> Transcript | None:
        """What is kept of a session; None when it is unknown or deleted."""

    async def delete(self, session_id: str) -> bool:
        """Delete a session with all its text at once; its bare name stays until retention ends. False if unknown."""

    async def sweep(self, retention_s: float) -> int:
        """Delete sessions not touched for longer than that; returns how many."""


def transcript_of(session_id: str, stored: StoredSession) -> Transcript:
    """What is read of a session."""
    return Transcript(
        session_id,
        stored.created_at,
        tuple(StreamTranscript(s.stream_id, s.started_at, s.ended, s.segments) for s in stored.streams),
    )
