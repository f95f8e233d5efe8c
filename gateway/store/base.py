"""What a store keeps, and how: final segments, the directory of sessions, and the state of each stream.

With these, another process can continue a session after its last commit. No store keeps media. A write does not wait:
it returns a future, which completes once the write survives the death of the process. The order of writes is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from enum import Enum
from typing import Final, Protocol

import msgspec

from gateway.analyses import StoredAnalysis
from gateway.transcript import Segment, StreamTranscript, Transcript

MAX_PENDING_WRITES: Final = 10_000
# While this many writes wait, sessions are not renewed, so that a renewal never takes the place of a final.
RENEWALS_STOP_AT: Final = MAX_PENDING_WRITES * 9 // 10


class StoreError(Exception):
    """The store could not do a write or read. The message contains no text of a transcript."""


class SessionUnknownError(StoreError):
    """The store does not know the session or stream of a write, for example because Redis restarted empty."""


def ignore_forgotten(session_id: str, finals: int) -> None:
    """The default for `forgotten` in `Store.watch`."""


class StreamStart(msgspec.Struct, frozen=True):
    """A media stream begins. `stream_key` is unique over all sessions and time, `started_at` UNIX seconds."""

    session_id: str
    stream_key: str
    stream_id: str
    started_at: float


class StoredStream(msgspec.Struct, frozen=True):
    """A stream as another process left it. `state` is the last one that was saved, empty if there is none.

    `analyses` have no order.
    """

    stream_key: str
    stream_id: str
    started_at: float
    ended: bool
    state: bytes
    segments: tuple[Segment, ...]
    analyses: tuple[StoredAnalysis, ...] = ()

    @property
    def is_blank(self) -> bool:
        """Whether its gateway died right after its beginning: nothing more was kept, and its client begins it again."""
        return not (self.ended or self.state or self.segments)


class StoredSession(msgspec.Struct, frozen=True):
    """A session as another process left it, its streams in the order in which they began.

    `closed`: it is over. `deleted`: it must not be continued or begun again. `owner`: whose API key opened it, empty if
    nobody's.
    """

    created_at: float = 0.0
    closed: bool = False
    deleted: bool = False
    streams: tuple[StoredStream, ...] = ()
    owner: str = ""


class LossReason(Enum):
    """Why this gateway no longer owns a session."""

    CLAIMED = "claimed"
    DELETED = "deleted"


class Store(Protocol):
    """The place where finals are kept. The futures of writes fail with StoreError.

    One gateway at a time owns a session: the one that claimed it last. The store refuses writes from other gateways,
    and all writes for a deleted session.
    """

    @property
    def durable(self) -> bool:
        """Whether the data outlive this process."""

    @property
    def pending_writes(self) -> int:
        """Writes that are not done: they wait, are under way, or failed and will be repeated."""

    def watch(
        self, lost: Callable[[str, LossReason], None], forgotten: Callable[[str, int], None] = ignore_forgotten
    ) -> None:
        """Set callbacks, which run on the event loop.

        The store calls `lost` when another gateway has claimed a session of this gateway, or a session was deleted. It
        calls `forgotten` when its server has lost a session, with the number of finals that are lost with it.
        """

    async def start(self) -> None:
        """Open the store. Raises StoreError."""

    async def close(self) -> None:
        """Finish the queued writes, then close the store."""

    async def holds(self, session_id: str) -> bool:
        """Whether this gateway still owns a session. Renews the lease, even if it has expired."""

    async def claim(self, session_id: str) -> StoredSession | None:
        """Read a session and make this gateway its owner. None if it is unknown. A deleted session gets no owner."""

    async def owner(self, session_id: str) -> str | None:
        """Whose API key opened a session, empty if nobody's; None if the session is unknown or deleted."""

    def begin_session(self, session_id: str, owner: str = "") -> Future[None]:
        """Enter a session into the directory, with this gateway as its holder.

        `owner`: whose API key opened it. It never changes.
        """

    async def touch(self, session_ids: Sequence[str]) -> int:
        """Renew the retention time of these sessions. Returns for how many it did not, because finals were waiting.

        Raises StoreError.
        """

    def release(self, session_id: str, *, closed: bool) -> Future[None]:
        """Give up the ownership of a session. `closed`: it is over; otherwise another gateway may claim it."""

    def begin_stream(self, stream: StreamStart) -> Future[None]:
        """Enter a media stream of a known session."""

    def add_segment(
        self,
        session_id: str,
        stream_key: str,
        segment: Segment,
        state: bytes | None,
        analyses: Sequence[StoredAnalysis] = (),
    ) -> Future[None]:
        """Keep a final and, in the same write, the state of its stream. `state` None leaves the state as it is.

        A segment that is already kept does not change, because finals never do. `analyses` as in `add_analyses`.
        """

    def save_state(
        self, session_id: str, stream_key: str, state: bytes, analyses: Sequence[StoredAnalysis] = ()
    ) -> Future[None]:
        """Keep the state of a stream, unless it has ended, and in the same write `analyses`, as in `add_analyses`."""

    def add_analyses(self, session_id: str, stream_key: str, analyses: Sequence[StoredAnalysis]) -> Future[None]:
        """Keep what lasts of a stream's analysis. One whose key is already kept replaces it."""

    def end_stream(self, session_id: str, stream_key: str, state: bytes) -> Future[None]:
        """Mark a stream as ended and keep its last state. An ended stream stays ended."""

    async def transcript(self, session_id: str) -> Transcript | None:
        """The transcript of a session; None if it is unknown or deleted."""

    async def record(self, session_id: str) -> StoredSession | None:
        """Everything that is kept of a session; None if it is unknown or deleted. Its ownership does not change."""

    async def delete(self, session_id: str) -> bool:
        """Delete a session with all its text. False if it is unknown.

        Its id stays, also if it was unknown, until no token can name it any more: nobody can begin it again.
        """

    async def sweep(self, retention_s: float) -> int:
        """Delete the sessions without a write or renewal for longer than `retention_s`. Returns how many.

        Runs even if the queue of writes is full. Raises StoreError.
        """


def transcript_of(session_id: str, stored: StoredSession) -> Transcript:
    """The transcript of a session."""
    return Transcript(
        session_id,
        stored.created_at,
        tuple(StreamTranscript(s.stream_id, s.started_at, s.ended, s.segments) for s in stored.streams),
    )
