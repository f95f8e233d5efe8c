"""The replay buffer: everything of one stream that another worker would need if the present one were lost.

A worker says with `progress` which chunks are covered by finals (`committed_sequence`) and from which chunk another
worker would have to read (`replay_from_sequence`, at most one above). Chunks before that are forgotten, the rest stay.
The buffer is two queues: `sent` (handed out in the present attempt and still needed) and `unsent`. A new attempt puts
`sent` back in front of `unsent`, so the next worker reads them again, in order, before anything new.

Invariants, attacked by tests/unit/gateway/upstream/test_replay.py:

- within an attempt every retained chunk is handed out exactly once, in order of sequence;
- a chunk is forgotten only when it is covered by progress, or when the bound is hit and then its loss is declared:
  by `missing_before` on the next chunk handed out and by a `Gap`, never silently.

A chunk that falls out after it was handed out is merely at risk: the present worker has it. It becomes a declared
loss only if a new attempt begins before progress covers it. The latest flush never falls out: its answer stands for all
flushes before it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from talkup.v1 import task_pb2

# Room that an entry takes beside its payload, so that empty chunks and flushes are bounded too (bytes, rounded up).
_ENTRY_OVERHEAD = 256
_UINT32_MAX = 2**32 - 1
_MAX_GAPS = 64


class Gap(NamedTuple):
    """Chunks lost for good: first and last sequence."""

    first: int
    last: int


@dataclass(slots=True)
class _Entry:
    request: task_pb2.TaskRequest
    size: int
    offered_at: float
    # Of a chunk; None for flush and end.
    sequence: int | None = None
    # Chunks lost before this one on their way to the gateway.
    missing: int = 0


class ReplayBuffer:
    """What was offered and may be needed again, bounded by `max_bytes` and by `max_seconds` of offering.

    `clock` gives seconds. Requests offered belong to the buffer: it stamps `attempt` and `missing_before` on them.
    """

    def __init__(
        self,
        max_bytes: int,
        max_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        resume_state: bytes = b"",
    ) -> None:
        """`resume_state`: what a stream that ran before begins with; its first chunk is the one that belongs to it."""
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
        """Highest sequence covered by finals; None: none yet."""
        return self._committed

    @property
    def replay_from(self) -> int:
        """First sequence that another worker would need."""
        return self._replay_from or 0

    @property
    def resume_state(self) -> bytes:
        """What another worker needs beside the chunks; empty for a start from the beginning."""
        return self._resume_state

    @property
    def retained_bytes(self) -> int:
        """Everything held, entry overhead included."""
        return self._bytes

    @property
    def behind_bytes(self) -> int:
        """What is not yet handed out in this attempt, entry overhead included."""
        return self._unsent_bytes

    @property
    def behind_ms(self) -> int:
        """Age of the oldest request that is not yet handed out, milliseconds; 0 when there is none."""
        if not self._unsent:
            return 0
        return int(1000 * (self._clock() - self._unsent[0].offered_at))

    def offer(self, request: task_pb2.TaskRequest) -> None:
        """Append a chunk, flush or end; drop from the far end what no longer fits."""
        entry = self._entry(request)
        self._unsent.append(entry)
        self._bytes += entry.size
        self._unsent_bytes += entry.size
        if request.WhichOneof("payload") == "flush":
            self._latest_flush = entry
        while (place := self._oldest()) is not None and self._over_bound(place, entry):
            self._drop(*place)

    def next_request(self, attempt: int) -> task_pb2.TaskRequest | None:
        """The next request for the present worker, stamped with `attempt`; None: nothing is waiting."""
        if not self._unsent:
            return None
        entry = self._unsent.popleft()
        self._unsent_bytes -= entry.size
        self._sent.append(entry)
        request = entry.request
        request.attempt = attempt
        if entry.sequence is not None:
            expected = entry.sequence if self._next_expected is None else self._next_expected
            request.chunk.missing_before = min(max(entry.missing, entry.sequence - expected), _UINT32_MAX)
            self._next_expected = entry.sequence + 1
        return request

    def take_gaps(self) -> list[Gap]:
        """The losses that are certain and not yet declared; declared by taking them.

        To be asked when the chunk after them is handed out: the ranges are complete then.
        """
        gaps, self._lost = self._lost, []
        return gaps

    def commit(self, progress: task_pb2.Progress) -> bool:
        """Forget what `progress` makes needless; True when `committed` rose. Progress that goes back is ignored."""
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
        """The flush was answered: no later worker needs it."""
        kept = [e for e in self._sent if not _is_flush(e.request, flush_id)]
        if len(kept) < len(self._sent):
            self._sent = deque(kept)
            self._bytes = sum(e.size for e in kept) + self._unsent_bytes

    def begin_attempt(self) -> None:
        """Put everything retained in front again, for another worker."""
        self._unsent.extendleft(reversed(self._sent))
        self._sent.clear()
        self._unsent_bytes = self._bytes
        self._next_expected = self._replay_from
        self._lost = [gap for risk in self._at_risk for gap in _above(risk, self._committed)] + self._lost
        self._at_risk = []

    def _entry(self, request: task_pb2.TaskRequest) -> _Entry:
        size = _ENTRY_OVERHEAD
        if request.WhichOneof("payload") != "chunk":
            return _Entry(request, size, self._clock())
        chunk = request.chunk
        if self._replay_from is None:
            self._replay_from = chunk.sequence - min(chunk.missing_before, chunk.sequence)
            self._next_expected = self._replay_from
        size += len(chunk.payload)
        return _Entry(request, size, self._clock(), chunk.sequence, chunk.missing_before)

    def _oldest(self) -> tuple[deque[_Entry], int] | None:
        """The queue and the place in it of the first entry that may be dropped."""
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
        if entry.sequence is None or (self._committed is not None and entry.sequence <= self._committed):
            return
        _add(self._at_risk if handed_out else self._lost, entry.sequence)

    def _within_handed_out(self, progress: task_pb2.Progress) -> bool:
        return self._next_expected is not None and progress.replay_from_sequence <= self._next_expected

    def _forget_before(self, sequence: int) -> None:
        open_flushes: list[_Entry] = []
        while self._sent and (self._sent[0].sequence is None or self._sent[0].sequence < sequence):
            entry = self._sent.popleft()
            if entry.sequence is None:
                open_flushes.append(entry)
            else:
                self._bytes -= entry.size
        self._sent.extendleft(reversed(open_flushes))


def _is_flush(request: task_pb2.TaskRequest, flush_id: int) -> bool:
    return request.WhichOneof("payload") == "flush" and request.flush.flush_id == flush_id


def _above(gap: Gap, committed: int | None) -> list[Gap]:
    if committed is None:
        return [gap]
    return [Gap(max(gap.first, committed + 1), gap.last)] if gap.last > committed else []


def _add(gaps: list[Gap], sequence: int) -> None:
    """Extend the last range, or begin another. Past the limit ranges grow together: that tells too much, never less."""
    if gaps and (gaps[-1].last == sequence - 1 or len(gaps) >= _MAX_GAPS):
        gaps[-1] = Gap(gaps[-1].first, sequence)
    else:
        gaps.append(Gap(sequence, sequence))
