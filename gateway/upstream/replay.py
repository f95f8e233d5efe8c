"""The replay buffer: the part of one stream that another worker needs if the present worker is lost.

A worker reports in `progress` which chunks are covered by finals (`committed_sequence`) and from which chunk another
worker has to read (`replay_from_sequence`, at most one above). The buffer forgets the chunks before that one and keeps
the rest in one list. Its first entries were handed out in the present attempt and are still needed; the others wait. A
new attempt begins at the front, so the next worker reads those requests again, in order, before anything new.

Requests are kept serialised: as a message, a chunk takes 1.4 KB more, whatever its size (measured, protobuf 6).

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
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from talkup.v1 import task_pb2

# Bytes counted for each entry in addition to its payload, so that the bound also holds for empty chunks and flushes.
_ENTRY_OVERHEAD = 256
_UINT32_MAX = 2**32 - 1
_MAX_GAPS = 64


class Gap(NamedTuple):
    """Chunks that are lost for good: the first and the last worker sequence."""

    first: int
    last: int


class WireRequest(msgspec.Struct, frozen=True, gc=False):
    """A serialised TaskRequest; `kind` is the name of its payload."""

    kind: str | None
    data: bytes


class _Entry(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A request as it was offered, without the fields that all requests of a stream share.

    `missing_before` and `worker_sequence` are those of a chunk; `worker_sequence` is None for a flush or the end.
    """

    kind: str | None
    data: bytes
    size: int
    offered_at: float
    worker_sequence: int | None = None
    missing_before: int = 0
    flush_id: int | None = None


class ReplayBuffer:
    """The requests that may be needed again, bounded by `max_bytes` and by their age (`max_seconds`).

    `clock` gives seconds.
    """

    def __init__(
        self,
        max_bytes: int,
        max_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        start: task_pb2.TaskRequest | None = None,
    ) -> None:
        """`start` begins the stream. The first chunk offered continues from its `resume_state`, if it has one."""
        start = start or task_pb2.TaskRequest()
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._clock = clock
        # A list and not two deques, which take 1.5 KB while they are empty.
        self._entries: list[_Entry] = []
        self._handed_out = 0
        # What follows the payload of every request of one attempt, serialised.
        self._head = _head_of(start)
        self._tail = b""
        self._bytes = 0
        self._unsent_bytes = 0
        self._committed: int | None = None
        self._replay_from: int | None = None
        self._resume_state = start.start.resume_state
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
        if self._handed_out == len(self._entries):
            return 0
        return int(1000 * (self._clock() - self._entries[self._handed_out].offered_at))

    def offer(self, request: task_pb2.TaskRequest) -> str | None:
        """Append a chunk, flush or end; returns which. Drops the oldest entries while the buffer is over its bound."""
        entry = self._entry(request)
        self._entries.append(entry)
        self._bytes += entry.size
        self._unsent_bytes += entry.size
        if entry.kind == "flush":
            self._latest_flush = entry
        if self._bytes > self._max_bytes or entry.offered_at - self._entries[0].offered_at > self._max_seconds:
            while (index := self._oldest()) is not None and self._over_bound(self._entries[index], entry):
                self._drop(index)
        return entry.kind

    def next_request(self, attempt: int) -> WireRequest | None:
        """The next request for the present worker, with head, `attempt` and `missing_before`; None: none is waiting."""
        if self._handed_out == len(self._entries):
            return None
        entry = self._entries[self._handed_out]
        self._handed_out += 1
        self._unsent_bytes -= entry.size
        data, sequence = entry.data, entry.worker_sequence
        if sequence is not None:
            missing = 0 if self._next_expected is None else min(sequence - self._next_expected, _UINT32_MAX)
            if missing > entry.missing_before:
                data = _with_missing(data, missing)
            self._next_expected = sequence + 1
        if attempt != self._head.attempt:
            self._head.attempt = attempt
            self._tail = self._head.SerializeToString()
        # Serialised messages that are joined are one message with the fields of both (protobuf's encoding).
        return WireRequest(entry.kind, data + self._tail)

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
        sent = self._entries[: self._handed_out]
        kept = [entry for entry in sent if entry.flush_id != flush_id]
        if len(kept) < len(sent):
            self._entries[: self._handed_out] = kept
            self._handed_out = len(kept)
            self._bytes = sum(entry.size for entry in kept) + self._unsent_bytes

    def arrival_of(self, sequence: int) -> float | None:
        """When a chunk that was handed out was offered, on the buffer's clock; None if it is not kept any more."""
        for index in range(self._handed_out):
            entry = self._entries[index]
            if entry.worker_sequence is not None and entry.worker_sequence >= sequence:
                return entry.offered_at if entry.worker_sequence == sequence else None
        return None

    def begin_attempt(self) -> int:
        """Begin again with the oldest retained request, for another worker; returns the bytes of media sent again."""
        replayed = sum(entry.size - _ENTRY_OVERHEAD for entry in self._entries[: self._handed_out])
        self._handed_out = 0
        self._unsent_bytes = self._bytes
        self._next_expected = self._replay_from
        self._lost = [gap for risk in self._at_risk for gap in _above(risk, self._committed)] + self._lost
        self._at_risk = []
        return replayed

    def _entry(self, request: task_pb2.TaskRequest) -> _Entry:
        kind, data, now = request.WhichOneof("payload"), request.SerializeToString(), self._clock()
        if kind != "chunk":
            flush_id = request.flush.flush_id if kind == "flush" else None
            return _Entry(kind, data, _ENTRY_OVERHEAD, now, flush_id=flush_id)
        chunk = request.chunk
        sequence, missing = chunk.sequence, chunk.missing_before
        if self._replay_from is None:
            self._replay_from = self._next_expected = sequence - min(missing, sequence)
        return _Entry(kind, data, _ENTRY_OVERHEAD + len(chunk.payload), now, sequence, missing)

    def _oldest(self) -> int | None:
        """The index of the oldest entry that may be dropped."""
        for index, entry in enumerate(self._entries[:2]):
            if entry is not self._latest_flush:
                return index
        return None

    def _over_bound(self, oldest: _Entry, newest: _Entry) -> bool:
        if oldest is newest:
            return False
        return self._bytes > self._max_bytes or newest.offered_at - oldest.offered_at > self._max_seconds

    def _drop(self, index: int) -> None:
        entry = self._entries.pop(index)
        handed_out = index < self._handed_out
        self._bytes -= entry.size
        if handed_out:
            self._handed_out -= 1
        else:
            self._unsent_bytes -= entry.size
        sequence = entry.worker_sequence
        if sequence is None or (self._committed is not None and sequence <= self._committed):
            return
        _add(self._at_risk if handed_out else self._lost, sequence)

    def _within_handed_out(self, progress: task_pb2.Progress) -> bool:
        return self._next_expected is not None and progress.replay_from_sequence <= self._next_expected

    def _forget_before(self, sequence: int) -> None:
        """Forget the chunks that were handed out before this one; flushes and the end between them stay."""
        kept: list[_Entry] = []
        count = 0
        while count < self._handed_out:
            entry = self._entries[count]
            found = entry.worker_sequence
            if found is None:
                kept.append(entry)
            elif found < sequence:
                self._bytes -= entry.size
            else:
                break
            count += 1
        self._entries[:count] = kept
        self._handed_out += len(kept) - count


def _head_of(start: task_pb2.TaskRequest) -> task_pb2.TaskRequest:
    """The fields that all requests of a stream share, without an attempt."""
    return task_pb2.TaskRequest(
        session_id=start.session_id,
        stream_id=start.stream_id,
        service_type=start.service_type,
        protocol_version=start.protocol_version,
    )


def _with_missing(data: bytes, missing: int) -> bytes:
    """A serialised chunk with another `missing_before`."""
    request = task_pb2.TaskRequest.FromString(data)
    request.chunk.missing_before = missing
    return request.SerializeToString()


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
