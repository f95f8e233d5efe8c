"""A store around another one that reports to an observer how long each operation takes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import Protocol, TypeVar

from gateway.analyses import StoredAnalysis
from gateway.store.base import LossReason, Store, StoredSession, StreamStart, ignore_forgotten
from gateway.transcript import Segment, Transcript

T = TypeVar("T")


class StoreObserver(Protocol):
    """Receives the outcome of operations. It is called from any thread."""

    def answered(self, operation: str, seconds: float) -> None:
        """An operation (the name of its method in Store) has ended, done or failed, after `seconds`."""
        ...


class ObservedStore:
    """See Store."""

    def __init__(self, inner: Store, observer: StoreObserver, clock: Callable[[], float] = time.monotonic) -> None:
        self._inner = inner
        self._observer = observer
        self._clock = clock

    @property
    def durable(self) -> bool:
        """See Store."""
        return self._inner.durable

    @property
    def pending_writes(self) -> int:
        """See Store."""
        return self._inner.pending_writes

    def watch(
        self, lost: Callable[[str, LossReason], None], forgotten: Callable[[str, int], None] = ignore_forgotten
    ) -> None:
        """See Store."""
        self._inner.watch(lost, forgotten)

    async def start(self) -> None:
        """See Store."""
        await self._inner.start()

    async def close(self) -> None:
        """See Store."""
        await self._inner.close()

    async def holds(self, session_id: str) -> bool:
        """See Store."""
        return await self._timed("holds", self._inner.holds(session_id))

    async def claim(self, session_id: str) -> StoredSession | None:
        """See Store."""
        return await self._timed("claim", self._inner.claim(session_id))

    async def owner(self, session_id: str) -> str | None:
        """See Store."""
        return await self._timed("owner", self._inner.owner(session_id))

    def begin_session(self, session_id: str, owner: str = "") -> Future[None]:
        """See Store."""
        return self._written("begin_session", self._inner.begin_session(session_id, owner))

    async def touch(self, session_ids: Sequence[str]) -> int:
        """See Store."""
        return await self._timed("touch", self._inner.touch(session_ids))

    def release(self, session_id: str, *, closed: bool) -> Future[None]:
        """See Store."""
        return self._written("release", self._inner.release(session_id, closed=closed))

    def begin_stream(self, stream: StreamStart) -> Future[None]:
        """See Store."""
        return self._written("begin_stream", self._inner.begin_stream(stream))

    def add_segment(
        self,
        session_id: str,
        stream_key: str,
        segment: Segment,
        state: bytes | None,
        analyses: Sequence[StoredAnalysis] = (),
    ) -> Future[None]:
        """See Store."""
        return self._written("add_segment", self._inner.add_segment(session_id, stream_key, segment, state, analyses))

    def save_state(
        self, session_id: str, stream_key: str, state: bytes, analyses: Sequence[StoredAnalysis] = ()
    ) -> Future[None]:
        """See Store."""
        return self._written("save_state", self._inner.save_state(session_id, stream_key, state, analyses))

    def add_analyses(self, session_id: str, stream_key: str, analyses: Sequence[StoredAnalysis]) -> Future[None]:
        """See Store."""
        return self._written("add_analyses", self._inner.add_analyses(session_id, stream_key, analyses))

    def end_stream(self, session_id: str, stream_key: str, state: bytes) -> Future[None]:
        """See Store."""
        return self._written("end_stream", self._inner.end_stream(session_id, stream_key, state))

    async def transcript(self, session_id: str) -> Transcript | None:
        """See Store."""
        return await self._timed("transcript", self._inner.transcript(session_id))

    async def record(self, session_id: str) -> StoredSession | None:
        """See Store."""
        return await self._timed("record", self._inner.record(session_id))

    async def delete(self, session_id: str) -> bool:
        """See Store."""
        return await self._timed("delete", self._inner.delete(session_id))

    async def sweep(self, retention_s: float) -> int:
        """See Store."""
        return await self._timed("sweep", self._inner.sweep(retention_s))

    async def _timed(self, operation: str, answer: Awaitable[T]) -> T:
        began = self._clock()
        try:
            return await answer
        finally:
            self._observer.answered(operation, self._clock() - began)

    def _written(self, operation: str, write: Future[None]) -> Future[None]:
        began = self._clock()
        write.add_done_callback(lambda _: self._observer.answered(operation, self._clock() - began))
        return write
