"""The replay buffer: the part of one stream that another worker needs if the present worker is lost.

A worker reports in `progress` which chunks are covered by finals (`committed_sequence`) and from which chunk another
worker has to read (`replay_from_sequence`, at most one above). The buffer forgets the chunks before that one and keeps
the rest. It has two queues: `sent` (handed out in the present attempt and still needed) and `unsent`. A new attempt
puts `sent` back in front of `unsent`, so the next worker reads those requests again, in order, before anything new.

Invariants, which tests/unit/gateway/upstream/test_replay.py checks with generated sequences of calls:

- within an attempt, every retained chunk is handed out exactly once, in order of sequence;
- a chunk is forgotten only when progress covers it, or when the buffer is full. In the second case its loss is
  declared: by `missing_before` on the next chunk handed out, and by a `Gap`.

When the buffer drops a chunk that was handed out, the chunk is only at risk, because the present worker has it. It is
declared lost only if a new attempt begins before progress covers it. The buffer never drops the latest flush, because
the answer to that flush also answers all flushes before it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from talkup.v1 import task_pb2

# Bytes counted for each entry in addition to its payload, so that the bound also holds for empty chunks and flushes.
_ENTRY_OVERHEAD = 256
_UINT32_MAX = 2**32 - 1
_MAX_GAPS = 64


class Gap(NamedTuple):
    """Chunks that are lost for good: the first and the last worker sequence."""

    first: int
    last: int


@dataclass(slots=True)
class _Entry:
    """A request as it was offered, except for its attempt; `worker_sequence` is None for a flush or the end."""

    request: task_pb2.TaskRequest
    size: int
    offered_at: float
    worker_sequence: int | None = None


class ReplayBuffer:
    """The requests that may be needed again, bounded by `max_bytes` and by their age (`max_seconds`).

    `clock` gives seconds. The buffer keeps requests without copying, and sets their attempt: they belong to it.
    """

    def __init__(
        self,
        max_bytes: int,
        max_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        resume_state: bytes = b"",
    ) -> None:
        """`resume_state` is the state of a stream that ran before; the first chunk offered continues from it."""
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._clock = clock
        self._sent: deque[_Entry] = deque()
        self._unsent: deque[_Entry] = deque()
        self._bytes = 0
        self._unsent_bytes = 0
        self._committed: int | None = None
        self._replay_from: int | None = None
        self._resume_state = resume_state
        self._next_expected: int | None = None
        self._at_risk: list[Gap] = []
        self._lost: list[Gap] = []
        self._latest_flush: _Entry | None = None

    @property
    def committed(self) -> int | None:
        """The highest worker sequence that finals cover; None if there is none yet."""
        return self._committed

    @property
    def replay_from(self) -> int:
        """The first worker sequence that another worker needs."""
        return self._replay_from or 0

    @property
    def resume_state(self) -> bytes:
        """The state that another worker needs in addition to the chunks; empty at the beginning of a stream."""
        return self._resume_state

    @property
    def retained_bytes(self) -> int:
        """The size of all entries, including their overhead."""
        return self._bytes

    @property
    def behind_bytes(self) -> int:
        """The size of the entries not yet handed out in this attempt, including their overhead."""
        return self._unsent_bytes

    @property
    def behind_ms(self) -> int:
        """The age in milliseconds of the oldest request not yet handed out; 0 if there is none."""
        if not self._unsent:
            return 0
        return int(1000 * (self._clock() - self._unsent[0].offered_at))

    def offer(self, request: task_pb2.TaskRequest) -> None:
        """Append a chunk, flush or end; drop the oldest entries while the buffer is over its bound."""
        entry = self._entry(request)
        self._unsent.append(entry)
        self._bytes += entry.size
        self._unsent_bytes += entry.size
        if request.WhichOneof("payload") == "flush":
            self._latest_flush = entry
        oldest = self._sent[0] if self._sent else self._unsent[0]
        if self._bytes <= self._max_bytes and entry.offered_at - oldest.offered_at <= self._max_seconds:
            return
        while (place := self._oldest()) is not None and self._over_bound(place, entry):
            self._drop(*place)

    def next_request(self, attempt: int) -> task_pb2.TaskRequest | None:
        """The next request for the present worker, with `attempt` and `missing_before` set; None if none is waiting.

        Serialise it before the next attempt begins. It is a copy only if `missing_before` differs from what was
        offered, because a later attempt needs that.
        """
        if not self._unsent:
            return None
        entry = self._unsent.popleft()
        self._unsent_bytes -= entry.size
        self._sent.append(entry)
        request, sequence = entry.request, entry.worker_sequence
        if sequence is not None:
            missing = 0 if self._next_expected is None else min(sequence - self._next_expected, _UINT32_MAX)
            if missing > request.chunk.missing_before:
                request = task_pb2.TaskRequest()
                request.CopyFrom(entry.request)
                request.chunk.missing_before = missing
            self._next_expected = sequence + 1
        request.attempt = attempt
        return request

    @property
    def has_gaps(self) -> bool:
        """Whether losses are certain and not yet declared."""
        return bool(self._lost)

    def take_gaps(self) -> list[Gap]:
        """The losses that are certain and not yet declared. Each is returned once.

        Call this when the chunk after them is handed out: the ranges are complete then.
        """
        gaps, self._lost = self._lost, []
        return gaps

    def commit(self, progress: task_pb2.Progress) -> bool:
        """Forget the chunks that `progress` covers; True if `committed` rose. Progress that goes back is ignored."""
        rose = progress.HasField("committed_sequence") and (
            self._committed is None or progress.committed_sequence > self._committed
        )
        if rose:
            self._committed = progress.committed_sequence
            self._at_risk = [gap for gap in self._at_risk if gap.last > progress.committed_sequence]
        if progress.replay_from_sequence >= self.replay_from and self._within_handed_out(progress):
            self._replay_from = progress.replay_from_sequence
            self._resume_state = progress.resume_state
            self._forget_before(progress.replay_from_sequence)
        return rose

    def answer_flush(self, flush_id: int) -> None:
        """Forget a flush that was answered: no later worker needs it."""
        kept = [e for e in self._sent if not _is_flush(e.request, flush_id)]
        if len(kept) < len(self._sent):
            self._sent = deque(kept)
            self._bytes = sum(e.size for e in kept) + self._unsent_bytes

    def arrival_of(self, sequence: int) -> float | None:
        """When a chunk that was handed out was offered, on the buffer's clock; None if it is not kept any more."""
        for entry in self._sent:
            if entry.worker_sequence is not None and entry.worker_sequence >= sequence:
                return entry.offered_at if entry.worker_sequence == sequence else None
        return None

    def begin_attempt(self) -> int:
        """Begin again with the oldest retained request, for another worker; returns the bytes of media sent again."""
        replayed = sum(entry.size - _ENTRY_OVERHEAD for entry in self._sent)
        self._unsent.extendleft(reversed(self._sent))
        self._sent.clear()
        self._unsent_bytes = self._bytes
        self._next_expected = self._replay_from
        self._lost = [gap for risk in self._at_risk for gap in _above(risk, self._committed)] + self._lost
        self._at_risk = []
        return replayed

    def _entry(self, request: task_pb2.TaskRequest) -> _Entry:
        if request.WhichOneof("payload") != "chunk":
            return _Entry(request, _ENTRY_OVERHEAD, self._clock())
        chunk = request.chunk
        if self._replay_from is None:
            self._replay_from = chunk.sequence - min(chunk.missing_before, chunk.sequence)
            self._next_expected = self._replay_from
        return _Entry(request, _ENTRY_OVERHEAD + len(chunk.payload), self._clock(), chunk.sequence)

    def _oldest(self) -> tuple[deque[_Entry], int] | None:
        """The queue and the index of the oldest entry that may be dropped."""
        for queue in (self._sent, self._unsent):
            for index in range(min(2, len(queue))):
                if queue[index] is not self._latest_flush:
                    return queue, index
        return None

    def _over_bound(self, place: tuple[deque[_Entry], int], newest: _Entry) -> bool:
        queue, index = place
        oldest = queue[index]
        if oldest is newest:
            return False
        return self._bytes > self._max_bytes or newest.offered_at - oldest.offered_at > self._max_seconds

    def _drop(self, queue: deque[_Entry], index: int) -> None:
        entry = queue[index]
        del queue[index]
        handed_out = queue is self._sent
        self._bytes -= entry.size
        if not handed_out:
            self._unsent_bytes -= entry.size
        sequence = entry.worker_sequence
        if sequence is None or (self._committed is not None and sequence <= self._committed):
            return
        _add(self._at_risk if handed_out else self._lost, sequence)

    def _within_handed_out(self, progress: task_pb2.Progress) -> bool:
        return self._next_expected is not None and progress.replay_from_sequence <= self._next_expected

    def _forget_before(self, sequence: int) -> None:
        without_sequence: list[_Entry] = []
        while self._sent:
            found = self._sent[0].worker_sequence
            if found is not None and found >= sequence:
                break
            entry = self._sent.popleft()
            if found is None:
                without_sequence.append(entry)
            else:
                self._bytes -= entry.size
        self._sent.extendleft(reversed(without_sequence))


def _is_flush(request: task_pb2.TaskRequest, flush_id: int) -> bool:
    return request.WhichOneof("payload") == "flush" and request.flush.flush_id == flush_id


def _above(gap: Gap, committed: int | None) -> list[Gap]:
    """The part of a gap that is not committed, if any."""
    if committed is None:
        return [gap]
    return [Gap(max(gap.first, committed + 1), gap.last)] if gap.last > committed else []


def _add(gaps: list[Gap], sequence: int) -> None:
    """Extend the last range, or begin another. At the limit, the last range grows and covers more than was lost."""
    if gaps and (gaps[-1].last == sequence - 1 or len(gaps) >= _MAX_GAPS):
        gaps[-1] = Gap(gaps[-1].first, sequence)
    else:
        gaps.append(Gap(sequence, sequence))
