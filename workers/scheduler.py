"""The scheduler: many streams' jobs, one model, a few threads. The most urgent jobs run first, batched if possible.

Jobs are ordered by rank, then by how long they are overdue. A free thread takes the first job and a batch of
others with the same key. It leaves enough for the other free threads, and nothing waits for a batch to fill. Expired
and cancelled jobs are dropped before they cost anything. A live stream submits one job at a time (and one interim
beside it), a recording one per thread, so the queue is bounded by the number of streams admitted.

Jobs of recordings are long: seconds, where a live step takes a tenth. They wait until no live job is queued. While live
streams are at work, and for some seconds after, one thread takes none of them, and the others take one at a time. So a
live job finds a thread at once, or waits for one such batch at most. After each, recordings rest for as long as it
took: otherwise two live jobs at the same time would always wait for each other. Where live streams need half of the
threads or more, one job of a recording begins every ten seconds: live streams keep the machine, and recordings do not
stand still.

Some live streams send their audio faster than it can be spoken. Until such a job is due, it yields: jobs that are due
go first, it leaves them a thread, and it does not count as load. So nobody makes others wait by sending sooner. Nor do
recordings wait for ever: a job of theirs that has waited ten seconds goes before those that are not due.
"""

from __future__ import annotations

import asyncio
import enum
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tracing.spans import Span, current_span
from workers.load_meter import LoadMeter
from workers.observer import NO_OBSERVER, EngineObserver

J = TypeVar("J")
R = TypeVar("R")

_ROOMY_LOAD = 0.5
"""Load, 0 to 1, above which optional jobs do not start.

On the measured machine, the steps of 16 streams alone reach this load; optional jobs above it would delay them.
"""


_LIVE_MEMORY = 30.0
"""Seconds after a live job for which a thread is kept free for the next: longer than a speaker's pause."""


_FILE_INTERVAL = 10.0
"""Seconds between two batches of recordings while live streams have little room."""
_FILE_REST = 1.0
"""How long recordings rest after a batch while live streams are at work, as a multiple of what it took."""
_LOOK_AGAIN = 1.0
"""Seconds after which a thread that waits to run a recording looks at the load again."""


class Rank(enum.IntEnum):
    """The order of jobs."""

    CLOSING = 0
    STEP = 1
    INTERIM = 2
    AHEAD = 3
    """Of a stream ahead of real time, until it is due: whoever speaks now goes first."""
    FILE = 4
    """Of a recording: nobody waits for it."""


class ExpiredError(Exception):
    """The job expired before it started."""


class SchedulerClosedError(Exception):
    """The scheduler is not running."""


@dataclass(slots=True)
class SchedulerStats:
    """Totals since start; the means are `batched / batches` and `waited / batched` (seconds)."""

    batches: int = 0
    batched: int = 0
    expired: int = 0
    cancelled: int = 0
    failed: int = 0
    waited: float = 0.0
    busy: float = 0.0


@dataclass(slots=True, eq=False)
class _Entry(Generic[J, R]):
    job: J
    key: Hashable
    rank: Rank
    due: float
    ahead: bool
    number: int
    expires: float | None
    submitted: float
    span: Span
    future: Future[R] = field(default_factory=Future)
    asked: asyncio.Future[R] | None = None

    @property
    def is_file(self) -> bool:
        return self.rank is Rank.FILE

    def rank_at(self, now: float) -> Rank:
        return Rank.AHEAD if self.ahead and now < self.due else self.rank


_NEEDED = (Rank.CLOSING, Rank.STEP)
_LIVE = (*_NEEDED, Rank.INTERIM)


def _yields(rank: Rank) -> bool:
    return rank >= Rank.AHEAD


class Scheduler(Generic[J, R]):
    """Runs jobs in batches on threads of its own.

    `run` gets jobs of one `key` and returns one result per job, in order; it is called from several threads at once.
    `clock` gives seconds, on the same scale as `due` and `expires` (the event loop's clock is monotonic time).
    """

    def __init__(
        self,
        run: Callable[[Sequence[J]], Sequence[R]],
        key: Callable[[J], Hashable],
        *,
        threads: int,
        batch: int,
        clock: Callable[[], float] = time.monotonic,
        observer: EngineObserver = NO_OBSERVER,
    ) -> None:
        if threads < 1 or batch < 1:
            raise ValueError("a scheduler needs a thread and a batch size of at least one")
        self._run = run
        self._key = key
        self._batch = batch
        self._clock = clock
        self._observer = observer
        self._changed = threading.Condition()
        self._queue: list[_Entry[J, R]] = []
        self._free = 0
        self._batches_of = Counter[Rank]()
        self._file_at = -math.inf
        self._files_rest_until = -math.inf
        self._live_at = -math.inf
        self._spoken_at = -math.inf
        self._submitted = 0
        self._open = False
        self._loads = {rank: LoadMeter(threads, clock()) for rank in Rank}
        self._threads = [threading.Thread(target=self._work, name=f"model-{n}", daemon=True) for n in range(threads)]
        self.stats = SchedulerStats()
        observer.watch_queue(lambda: len(self._queue))

    def start(self) -> None:
        """Start the threads; once."""
        with self._changed:
            self._open = True
        for thread in self._threads:
            thread.start()

    @property
    def roomy(self) -> bool:
        """Whether an optional job may start: a thread is free, and live streams use at most one half of them lately."""
        with self._changed:
            now = self._clock()
            waiting = sum(not _yields(entry.rank_at(now)) for entry in self._queue)
            return self._free > waiting and self._used_by(_LIVE) < _ROOMY_LOAD

    @property
    def load(self) -> float:
        """Part of the threads' time that live streams needed in the last seconds, 0 to 1.

        Optional jobs are left out: no word depends on them, so they must lengthen no step.
        """
        with self._changed:
            return self._used_by(_NEEDED)

    @property
    def utilisation(self) -> float:
        """Part of the threads' time that all but recordings used in the last seconds, 0 to 1."""
        with self._changed:
            return self._used_by((*_LIVE, Rank.AHEAD))

    @property
    def quiet(self) -> bool:
        """Whether nothing is queued or running, and no live stream has asked for anything for half a minute."""
        with self._changed:
            resting = self._open and self._free == len(self._threads)
            return resting and not self._queue and self._until_quiet() <= 0

    def submit(
        self, job: J, *, rank: Rank, due: float, expires: float | None = None, ahead: bool = False
    ) -> asyncio.Future[R]:
        """Queue a job from the event loop; `ahead`: its stream is ahead of real time, and it yields until it is due.

        The future gets the result, what `run` raised, or ExpiredError; cancelling it drops a job that has not begun.
        Raises SchedulerClosedError before `start` and after `close`.
        """
        with self._changed:
            if not self._open:
                raise SchedulerClosedError
            self._submitted += 1
            now = self._clock()
            if rank is not Rank.FILE:
                self._live_at = now
                if not ahead:
                    self._spoken_at = now
            span = current_span().step("worker.step", rank=rank.name.lower())
            entry: _Entry[J, R] = _Entry(job, self._key(job), rank, due, ahead, self._submitted, expires, now, span)
            entry.future.add_done_callback(lambda _: span.end())
            entry.asked = asked = asyncio.wrap_future(entry.future)
            self._queue.append(entry)
            self._changed.notify()
        return asked

    def withdraw(self, asked: asyncio.Future[R]) -> bool:
        """Drop the job of this future if it has not begun; its future is then cancelled. False: it has begun."""
        with self._changed:
            for entry in self._queue:
                if entry.asked is asked:
                    self._queue.remove(entry)
                    self.stats.cancelled += 1
                    entry.future.cancel()
                    return True
        return False

    def close(self) -> None:
        """Cancel the queued jobs, let the running ones finish, and stop the threads."""
        with self._changed:
            was_open, self._open = self._open, False
            waiting, self._queue = self._queue, []
            self._changed.notify_all()
        for entry in waiting:
            entry.future.cancel()
        if was_open:
            for thread in self._threads:
                thread.join()

    def _work(self) -> None:
        while (taken := self._next_batch()) is not None:
            rank, batch = taken
            began, failed = self._clock(), 0
            try:
                results = self._run([entry.job for entry in batch])
            except Exception as error:  # noqa: BLE001 - the outermost edge of a thread: the jobs' owners get it
                failed = len(batch)
                for entry in batch:
                    entry.future.set_exception(error)
            else:
                for entry, result in zip(batch, results, strict=True):
                    entry.future.set_result(result)
            self._count(rank, batch, began, failed)

    def _next_batch(self) -> tuple[Rank, list[_Entry[J, R]]] | None:
        """The next batch and the rank of its first job, waiting for work; None when closed."""
        with self._changed:
            self._free += 1
            try:
                while True:
                    if not self._open:
                        return None
                    self._drop_expired()
                    taken = self._pick()
                    if taken is None:
                        self._changed.wait(self._look_again() if self._queue else None)
                    elif taken[1]:  # not all of them were cancelled meanwhile
                        self._begin(*taken)
                        return taken
            finally:
                self._free -= 1

    def _drop_expired(self) -> None:
        now = self._clock()
        expired = [entry for entry in self._queue if entry.expires is not None and entry.expires <= now]
        for entry in expired:
            self._queue.remove(entry)
            if entry.future.set_running_or_notify_cancel():
                self.stats.expired += 1
                entry.future.set_exception(ExpiredError())

    def _is_overlooked(self, entry: _Entry[J, R], now: float) -> bool:
        """Whether a job of a recording has waited so long that it goes before jobs that are not due yet."""
        since = max(entry.submitted, self._file_at)
        return entry.is_file and now - since >= _FILE_INTERVAL and now >= self._files_rest_until

    def _place(self, entry: _Entry[J, R], now: float) -> tuple[Rank, int, float, int]:
        rank, last = (Rank.AHEAD, 0) if self._is_overlooked(entry, now) else (entry.rank_at(now), 1)
        return rank, last, entry.due, entry.number

    def _may_run(self, entry: _Entry[J, R], now: float) -> bool:
        """Whether a free thread may take a job now: jobs that yield have only some of the threads."""
        if not _yields(entry.rank_at(now)):
            return True
        is_last = entry.is_file and not self._is_overlooked(entry, now)
        limit = self._file_threads() if is_last else self._ahead_threads()
        return self._batches_of[Rank.AHEAD] + self._batches_of[Rank.FILE] < limit

    def _ahead_threads(self) -> int:
        """How many threads jobs that are not due yet may take now."""
        is_alone = self._clock() >= self._spoken_at + _LIVE_MEMORY
        return len(self._threads) if is_alone else max(1, len(self._threads) - 1)

    def _file_threads(self) -> int:
        """How many threads jobs of recordings may take now."""
        now = self._clock()
        if self._until_quiet() <= 0:
            return len(self._threads)
        if now < self._files_rest_until:
            return 0
        if self._used_by(_LIVE) >= _ROOMY_LOAD and now - self._file_at < _FILE_INTERVAL:
            return 0
        return max(1, len(self._threads) - 1)

    def _look_again(self) -> float:
        """Seconds after which a job that may not begin now may be allowed to."""
        now = self._clock()
        due = [entry.due - now for entry in self._queue if entry.rank_at(now) is Rank.AHEAD]
        rest = self._files_rest_until - now
        return max(0.0, min([_LOOK_AGAIN, self._until_quiet(), *due, *([rest] if rest > 0 else [])]))

    def _used_by(self, ranks: Iterable[Rank]) -> float:
        """Part of the threads' time that batches of these ranks took in the last seconds, 0 to 1."""
        now = self._clock()
        return sum(self._loads[rank].at(now) for rank in ranks)

    def _until_quiet(self) -> float:
        """Seconds until live streams count as away, if no further job of theirs comes."""
        return max(0.0, self._live_at + _LIVE_MEMORY - self._clock())

    def _pick(self) -> tuple[Rank, list[_Entry[J, R]]] | None:
        """Take the first job that may run and its share of those that can run with it; None if there is none.

        Jobs that yield share no batch with others, which would wait for them.
        """
        now = self._clock()
        ranks = {entry.number: entry.rank_at(now) for entry in self._queue}
        self._queue.sort(key=lambda entry: self._place(entry, now))
        first = next((entry for entry in self._queue if self._may_run(entry, now)), None)
        if first is None:
            return None
        rank = ranks[first.number]
        fellows = {rank} if _yields(rank) else set(_LIVE)
        alike = [entry for entry in self._queue if entry.key == first.key and ranks[entry.number] in fellows]
        share = min(self._batch, -(-len(alike) // self._free))
        if first.is_file and self._until_quiet() > 0:
            share = 1
        batch = []
        for entry in alike[:share]:
            self._queue.remove(entry)
            if entry.future.set_running_or_notify_cancel():
                batch.append(entry)
            else:
                self.stats.cancelled += 1
        if batch:
            self.stats.batches += 1
            self.stats.batched += len(batch)
            self.stats.waited += sum(now - entry.submitted for entry in batch)
        return rank, batch

    def _begin(self, rank: Rank, batch: Sequence[_Entry[J, R]]) -> None:
        """Record that a thread begins a batch."""
        now = self._clock()
        self._batches_of[rank] += 1
        self._loads[rank].change(1, now)
        if rank is Rank.FILE:
            self._file_at = now
        for entry in batch:
            entry.span.event("begun", batch=len(batch))

    def _count(self, rank: Rank, batch: Sequence[_Entry[J, R]], began: float, failed: int) -> None:
        """Record that a thread has finished the batch that it began at `began`."""
        with self._changed:
            now = self._clock()
            self._batches_of[rank] -= 1
            self._loads[rank].change(-1, now)
            if rank is Rank.FILE:
                self._files_rest_until = now + _FILE_REST * (now - began)
            if _yields(rank):
                self._changed.notify()  # another thread may have waited for this one's place
            self.stats.failed += failed
            self.stats.busy += now - began
        kind = rank.name.lower()
        self._observer.worked(kind, now - began)
        for entry in batch:
            self._observer.waited(kind, began - entry.submitted)
