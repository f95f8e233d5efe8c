"""Puts a client's chunks in order and numbers them for the workers.

Clients may number chunks as they like, and start each new recording from 0; workers get one sequence that rises over
the entire stream. Only the magic of a container header marks the beginning of a recording, never a number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.protocol.chunk import Chunk, NumberedChunk
from gateway.protocol.errors import Code, Problem
from gateway.protocol.limits import Limits
from gateway.protocol.negotiation import StreamSpec
from gateway.protocol.recordings import Accepted, Orphan, RecordingEvent, Recordings, has_headers
from gateway.protocol.sequence import Duplicate, Gap, SequenceEvent, Sequencer, Stale
from gateway.protocol.totals import Totals

# Uncommitted chunks that are remembered one by one: with more of them, the counts in a snapshot are too high.
_MAX_UNCOMMITTED: Final = 65_536


@dataclass(frozen=True, slots=True)
class Hole:
    """Chunks lost for good, in the client's sequences, both ends included.

    `with_gateway`: they were lost with another gateway.
    """

    first: int
    last: int
    with_gateway: bool = False


@dataclass(frozen=True, slots=True)
class Dropped:
    """Media without its container header was dropped; reported once per run of such chunks."""


IntakeEvent = NumberedChunk | Hole | Dropped


def problem_of(loss: Hole | Dropped) -> Problem:
    """The error for the client."""
    match loss:
        case Hole(first, last, with_gateway):
            why = "were lost with a gateway" if with_gateway else "did not arrive in time"
            text = f"chunks {first} to {last} {why}; the stream continues without them"
            return Problem(Code.GAP, text, from_sequence=first, to_sequence=last)
        case Dropped():
            text = "media without the header of its container is dropped: declare the format that it has"
            return Problem(Code.ORPHAN_CHUNK, text)


class _Uncommitted(msgspec.Struct, frozen=True, gc=False):
    """What is kept of a forwarded chunk until its commit; `size` in bytes."""

    worker_sequence: int
    sequence: int
    size: int


@dataclass(frozen=True, slots=True)
class _Numbering:
    """The current recording: its first chunk in the workers' and in the client's sequence."""

    first_worker_sequence: int = 0
    first_sequence: int = 0

    def to_client(self, worker_sequence: int) -> int:
        """The client's sequence of a chunk; for an earlier recording, the one before this recording's first."""
        offset = max(worker_sequence, self.first_worker_sequence - 1) - self.first_worker_sequence
        return offset + self.first_sequence


class Intake:
    """Processes the chunks of one stream and counts them in `totals`. Returns numbered chunks, holes and drops."""

    def __init__(self, spec: StreamSpec, limits: Limits, totals: Totals) -> None:
        self._totals = totals
        self._sequencer = Sequencer(limits, packets=spec.packets, headers=has_headers(spec.format))
        self._recordings = Recordings(spec.format)
        # Whether chunks are media alone: without headers, and numbered in one way.
        self._is_plain = not (spec.packets or has_headers(spec.format))
        self._numbering = _Numbering()
        self._uncommitted: list[_Uncommitted] = []
        self._uncommitted_bytes = 0
        self.next_worker_sequence = 0
        # Chunks lost directly before the next forwarded one: on the way here, and with another gateway.
        self._missing = 0
        self._missing_at_other_gateway = 0
        # First and last sequence of the chunks that an earlier gateway received and the client has not resent.
        self._to_resend: tuple[int, int] | None = None
        self._drop_reported = False

    @property
    def next_sequence(self) -> int:
        """The client's sequence expected next: everything below was received or given up."""
        return self._sequencer.next_sequence

    @property
    def next_unused(self) -> int:
        """The sequence for a chunk whose frame carries none."""
        return self._sequencer.next_unused

    def to_client(self, worker_sequence: int) -> int:
        """Convert a worker sequence to the client's numbering."""
        return self._numbering.to_client(worker_sequence)

    def offer(self, chunk: Chunk) -> list[IntakeEvent]:
        """Process a chunk."""
        if self._is_plain and self._to_resend is None and self._sequencer.follow(chunk):
            self._totals.chunks += 1
            self._totals.bytes += len(chunk.payload)
            return [self._assign_number(chunk, new_recording=False)]
        return self._process_ordered(self._sequencer.offer(chunk))

    def poll(self, now: float) -> list[IntakeEvent]:
        """Give up the holes whose time is over."""
        return self._process_ordered(self._sequencer.poll(now))

    def release_headers(self) -> list[IntakeEvent]:
        """Release chunks that are waiting for the rest of a container header: a flush needs them now."""
        return self._process_placed(self._recordings.drain())

    def drain(self) -> list[IntakeEvent]:
        """Release everything that is held: no more chunks will come."""
        return [*self._process_ordered(self._sequencer.drain()), *self.release_headers()]

    def deadline(self) -> float | None:
        """When `poll` is due, UNIX seconds; None: nothing is held."""
        return self._sequencer.deadline()

    def pause(self) -> None:
        """The client lost its connection: holes wait until it returns."""
        self._sequencer.pause()

    def proceed(self, now: float) -> None:
        """The client is connected again."""
        self._sequencer.proceed(now)

    # --- for another gateway ---

    def totals_at(self, committed: int) -> Totals:
        """The totals as of this committed worker sequence: the client will resend the rest."""
        is_kept = (number for number, each in enumerate(self._uncommitted) if each.worker_sequence > committed)
        self._forget_uncommitted(next(is_kept, len(self._uncommitted)))
        pending = self._recordings.pending
        size = self._uncommitted_bytes + sum(len(chunk.payload) for chunk in pending)
        totals = self._totals
        return Totals(
            chunks=totals.chunks - len(self._uncommitted) - len(pending),
            bytes=totals.bytes - size,
            gaps=totals.gaps,
            missing_chunks=totals.missing_chunks,
            duplicate_chunks=totals.duplicate_chunks,
            orphan_chunks=totals.orphan_chunks,
            failovers=totals.failovers,
            damaged_bytes=totals.damaged_bytes,
            speech_without_words_ms=totals.speech_without_words_ms,
        )

    def sequence_after(self, committed: int) -> int | None:
        """The client's sequence of the first chunk after this committed one; None: any may come first."""
        if self._uncommitted:
            first = self._uncommitted[0]
            return max(0, first.sequence - (first.worker_sequence - committed - 1))
        if self._recordings.pending:
            return self._recordings.pending[0].sequence
        return self._sequencer.next_sequence if self._sequencer.started else None

    def resume(self, next_worker_sequence: int, next_sequence: int | None, received: int) -> None:
        """Continue from another gateway's state; it had received chunks up to `received`."""
        self.next_worker_sequence = next_worker_sequence
        if next_sequence is not None:
            self._sequencer.begin_at(next_sequence)
            self._numbering = _Numbering(next_worker_sequence, next_sequence)
            if received >= next_sequence:
                self._to_resend = (next_sequence, received)
        if next_worker_sequence:
            self._recordings.resume()

    # --- processing ---

    def _process_ordered(self, events: Iterable[SequenceEvent]) -> list[IntakeEvent]:
        found: list[IntakeEvent] = []
        for event in events:
            match event:
                case Chunk():
                    found += self._lost_with_gateway(event)
                    self._totals.chunks += 1
                    self._totals.bytes += len(event.payload)
                    found += self._process_placed(self._recordings.place(event))
                case Gap(first, last):
                    self._totals.count_gap(first, last)
                    found.append(Hole(first, last))
                    found += self.release_headers()
                    self._missing += last - first + 1
                case Stale():
                    found += self._count_drop()
                case Duplicate():
                    self._totals.duplicate_chunks += 1
        return found

    def _lost_with_gateway(self, chunk: Chunk) -> list[IntakeEvent]:
        """Chunks lost with another gateway: those the client did not resend before its recorder restarted."""
        if self._to_resend is None:
            return []
        first, last = self._to_resend
        if chunk.sequence >= first:
            self._to_resend = (chunk.sequence + 1, last) if chunk.sequence < last else None
            return []
        self._to_resend = None
        self._missing_at_other_gateway = last - first + 1
        self._totals.count_gap(first, last)
        return [Hole(first, last, with_gateway=True)]

    def _process_placed(self, events: Iterable[RecordingEvent]) -> list[IntakeEvent]:
        found: list[IntakeEvent] = []
        for event in events:
            match event:
                case Accepted(chunk, new_recording):
                    found.append(self._assign_number(chunk, new_recording=new_recording))
                case Orphan():
                    self._missing = 0
                    found += self._count_drop()
        return found

    def _count_drop(self) -> list[IntakeEvent]:
        self._totals.orphan_chunks += 1
        if self._drop_reported:
            return []
        self._drop_reported = True
        return [Dropped()]

    def _assign_number(self, chunk: Chunk, *, new_recording: bool) -> NumberedChunk:
        # A worker that continues from a resume_state would take the next sequence for a chunk that it already knows.
        missing = self._missing + self._missing_at_other_gateway if self.next_worker_sequence else 0
        self._missing = self._missing_at_other_gateway = 0
        worker_sequence = self.next_worker_sequence + missing
        self.next_worker_sequence = worker_sequence + 1
        self._drop_reported = self._drop_reported and not chunk.payload
        numbering = self._numbering
        if worker_sequence - numbering.first_worker_sequence != chunk.sequence - numbering.first_sequence:
            self._numbering = _Numbering(worker_sequence, chunk.sequence)
        self._uncommitted.append(_Uncommitted(worker_sequence, chunk.sequence, len(chunk.payload)))
        self._uncommitted_bytes += len(chunk.payload)
        if len(self._uncommitted) > _MAX_UNCOMMITTED:
            self._forget_uncommitted(1)
        return NumberedChunk(chunk, worker_sequence, new_recording)

    def _forget_uncommitted(self, count: int) -> None:
        """Forget the oldest ones."""
        self._uncommitted_bytes -= sum(each.size for each in self._uncommitted[:count])
        del self._uncommitted[:count]
