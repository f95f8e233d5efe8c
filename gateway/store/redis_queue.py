"""The queue of writes to Redis: sends them in order, many at a time, and keeps them while Redis takes none."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.store.base import MAX_PENDING_WRITES, StoreError
from gateway.store.redis_ownership import Ownership

log = structlog.get_logger()

BATCH: Final = 128
# The pause between two tries while Redis takes no writes, in addition to the library's own retries.
_PAUSE_S: Final = 0.5

Arguments = tuple[str | bytes | int | float, ...]
Script = Callable[..., Awaitable[object]]


class StoreUnavailableError(StoreError):
    """Redis takes no writes at present; the same writes may succeed later."""


@dataclass(frozen=True, slots=True)
class Write:
    """One script to run for a session. `ownership` is this gateway's ownership of the session when it was queued.

    `confirm` is called when Redis has executed the script. `is_repeated`: Redis did not know the session before.
    `is_entry`: the write enters the session again.
    """

    session_id: str
    ownership: Ownership | None
    script: Script
    arguments: Arguments
    done: Future[None]
    confirm: Callable[[], None] | None = None
    is_repeated: bool = False
    is_entry: bool = False

    def resolve(self, error: StoreError | None) -> None:
        """Complete the future, unless it is complete."""
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


class WriteQueue:
    """At most MAX_PENDING_WRITES writes, in order.

    `execute` sends a batch and returns the answers. It raises StoreUnavailableError if the batch has to be sent again.
    `handle` resolves a write with its answer and returns the writes that must be sent before all that wait.
    """

    def __init__(
        self,
        execute: Callable[[Sequence[Write]], Awaitable[Sequence[object]]],
        handle: Callable[[Write, object], Iterable[Write]],
    ) -> None:
        self._execute = execute
        self._handle = handle
        self._waiting: deque[Write] = deque()
        self._filled = asyncio.Event()
        self._unavailable: StoreUnavailableError | None = None
        # Set while no write waits and none is being sent.
        self.emptied = asyncio.Event()
        self.emptied.set()

    def __len__(self) -> int:
        return len(self._waiting)

    def append(self, write: Write) -> None:
        """Queue a write, or fail it if the queue is full. While Redis takes no writes, its future fails at once."""
        if len(self._waiting) >= MAX_PENDING_WRITES:
            write.resolve(StoreError("too many writes are waiting"))
            return
        self._waiting.append(write)
        if self._unavailable is not None:
            write.resolve(self._unavailable)
        self._mark_filled()

    def put_first(self, writes: Sequence[Write]) -> None:
        """Queue writes before all others, even if the queue is full."""
        if writes:
            self._waiting.extendleft(reversed(writes))
            self._mark_filled()

    def fail_all(self) -> None:
        """Fail and forget all writes."""
        self._fail_waiting(StoreError("the store is closed"))
        self._waiting.clear()

    async def run(self) -> None:
        """Send what is queued, for ever."""
        while True:
            await self._filled.wait()
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            error: StoreUnavailableError | None = StoreUnavailableError("the store does not answer")
            try:
                answers = await self._execute(batch)
                error = None
            except StoreUnavailableError as unavailable:
                error = unavailable
            finally:
                if error is not None:
                    self._waiting.extendleft(reversed(batch))
                    self._fail_waiting(error)
            self._note_availability(error)
            if error is not None:
                await asyncio.sleep(_PAUSE_S)
                continue
            self._handle_answers(batch, answers)
            if not self._waiting:
                self._filled.clear()
                self.emptied.set()

    def _handle_answers(self, batch: Sequence[Write], answers: Sequence[object]) -> None:
        following: list[Write] = []
        for write, answer in zip(batch, answers, strict=True):
            following += self._handle(write, answer)
        self.put_first(following)

    def _note_availability(self, error: StoreUnavailableError | None) -> None:
        if error is not None and self._unavailable is None:
            log.warning("store takes no writes", reason=str(error), writes=len(self._waiting))
        elif error is None and self._unavailable is not None:
            log.warning("store takes writes again", writes=len(self._waiting))
        self._unavailable = error

    def _mark_filled(self) -> None:
        self.emptied.clear()
        self._filled.set()

    def _fail_waiting(self, error: StoreError) -> None:
        for write in self._waiting:
            write.resolve(error)
