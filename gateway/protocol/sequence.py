"""Puts chunks in order and reports each hole once, before the chunk that follows it.

The first sequence of a stream is its base: 0 or a container header at once, any other number as soon as it is clear
that nothing lower comes. After a hole, chunks are held until the hole is filled, until they have waited `gap_seconds`,
or until the window is full; then the hole is given up and reported, and the stream continues after it.

Packet streams (TalkUp's web app) restart their numbers with each recording, and give late blobs of an old recording
numbers of the new one. In these streams a number below the expected one starts a new numbering, unless its bytes show
that it is a duplicate. In streams started by a message only a container header does that; any other number below the
expected one is a duplicate.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

from gateway.protocol.chunk import Chunk
from gateway.protocol.limits import Limits
from gateway.protocol.magic import HeaderMatch, match_header

# Shorter payloads may be equal by chance, such as the one-byte first slices of two recordings.
_MIN_DIGEST_BYTES: Final = 16
_KEPT_DIGESTS: Final = 64
_KEPT_GAPS: Final = 16


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequences given up, both ends included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Stale:
    """A chunk of a recording whose header never came; dropped."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A chunk that was received or given up before; dropped."""

    sequence: int


SequenceEvent = Chunk | Gap | Stale | Duplicate


class Sequencer:
    """Puts the chunks of one stream in order. `packets`: the numbering rules of TalkUp's packet streams."""

    def __init__(self, limits: Limits, *, packets: bool, headers: bool) -> None:
        """`headers`: the format has container headers, which distinguish recordings."""
        self._limits = limits
        self._packets = packets
        self._headers = headers
        self._next: int | None = None
        self._held: dict[int, Chunk] = {}
        self._held_bytes = 0
        self._paused = False
        self._resumed_at = 0.0
        self._digests: dict[int, int] = {}
        self._given_up: list[Gap] = []

    @property
    def next_sequence(self) -> int:
        """The sequence expected next: everything below was received or given up."""
        return 0 if self._next is None else self._next

    @property
    def started(self) -> bool:
        """Whether the stream's first sequence is known."""
        return self._next is not None

    @property
    def next_unused(self) -> int:
        """The sequence after the highest received so far: that of a chunk whose frame carries none."""
        return max(self.next_sequence, max(self._held) + 1) if self._held else self.next_sequence

    def begin_at(self, sequence: int) -> None:
        """Continue from another gateway, which received everything below `sequence`."""
        self._next = sequence

    def follow(self, chunk: Chunk) -> bool:
        """Accept a chunk if it is the expected one and none is held; only packets and headers need more than that."""
        if chunk.sequence != self._next or self._held:
            return False
        self._next = chunk.sequence + 1
        return True

    def offer(self, chunk: Chunk) -> list[SequenceEvent]:
        """Accept a chunk; it comes out now, with later ones, or not at all."""
        if self.follow(chunk):
            self._note(chunk)
            return [chunk]
        if chunk.sequence in self._held:
            return [Duplicate(chunk.sequence)]
        if self._next is None:
            return self._offer_first(chunk)
        if chunk.sequence < self._next:
            return self._offer_old(chunk)
        self._hold(chunk)
        return self._release()

    def poll(self, now: float) -> list[SequenceEvent]:
        """Give up the holes whose time is over."""
        events: list[SequenceEvent] = []
        while (deadline := self.deadline()) is not None and deadline <= now:
            events += self._give_up()
            events += self._release()
        return events

    def deadline(self) -> float | None:
        """When `poll` is due; None while nothing is held, or the client is away."""
        if self._paused or not self._held:
            return None
        first = next(iter(self._held.values()))
        return max(first.arrived, self._resumed_at) + self._limits.gap_seconds

    def drain(self) -> list[SequenceEvent]:
        """Release everything that is held and give up every hole: no more chunks will come."""
        events: list[SequenceEvent] = []
        while self._held:
            events += self._give_up()
            events += self._release()
        return events

    def pause(self) -> None:
        """The client is away: holes may be filled when it returns."""
        self._paused = True

    def proceed(self, now: float) -> None:
        """The client is back; the waiting time of held chunks starts now."""
        self._paused = False
        self._resumed_at = now

    def _offer_first(self, chunk: Chunk) -> list[SequenceEvent]:
        events: list[SequenceEvent] = []
        match = match_header(chunk.payload) if self._headers and chunk.payload else HeaderMatch.NO
        begins = match is HeaderMatch.FULL or (self._packets and match is HeaderMatch.PARTIAL)
        if chunk.sequence == 0 or begins:
            self._next = chunk.sequence
            if self._packets and self._headers:
                events += self._drop_stale(chunk.sequence)
        self._hold(chunk)
        return events + self._release()

    def _drop_stale(self, base: int) -> list[SequenceEvent]:
        """Drop what a client queued before its recording restarted; chunk `base` + 1 may have overtaken `base`."""
        stale = [sequence for sequence in self._held if sequence != base + 1]
        for sequence in stale:
            self._held_bytes -= len(self._held.pop(sequence).payload)
        return [Stale(sequence) for sequence in stale]

    def _offer_old(self, chunk: Chunk) -> list[SequenceEvent]:
        if any(gap.first <= chunk.sequence <= gap.last for gap in self._given_up) or self._is_duplicate(chunk):
            return [Duplicate(chunk.sequence)]
        events = self.drain()
        self._next = chunk.sequence
        self._digests.clear()
        self._given_up.clear()
        self._hold(chunk)
        return events + self._release()

    def _is_duplicate(self, chunk: Chunk) -> bool:
        same = len(chunk.payload) >= _MIN_DIGEST_BYTES and self._digests.get(chunk.sequence) == zlib.crc32(
            chunk.payload
        )
        if self._packets:
            return same
        return same or not self._begins_recording(chunk.payload)

    def _begins_recording(self, payload: bytes) -> bool:
        return self._headers and match_header(payload) is HeaderMatch.FULL

    def _hold(self, chunk: Chunk) -> None:
        self._held[chunk.sequence] = chunk
        self._held_bytes += len(chunk.payload)

    def _release(self) -> list[SequenceEvent]:
        """Release the chunks that are next, and more while the window is overfull."""
        events: list[SequenceEvent] = []
        while True:
            while self._next is not None and (chunk := self._held.pop(self._next, None)) is not None:
                events.append(self._emit(chunk))
                self._next += 1
            if len(self._held) <= self._limits.window_chunks and self._held_bytes <= self._limits.window_bytes:
                return events
            events += self._give_up()

    def _emit(self, chunk: Chunk) -> Chunk:
        self._held_bytes -= len(chunk.payload)
        self._note(chunk)
        return chunk

    def _note(self, chunk: Chunk) -> None:
        """Remember a digest of a chunk that may come again under a number that was reused."""
        if self._packets or self._begins_recording(chunk.payload):
            self._digests[chunk.sequence] = zlib.crc32(chunk.payload)
            if len(self._digests) > _KEPT_DIGESTS:
                del self._digests[next(iter(self._digests))]

    def _give_up(self) -> list[SequenceEvent]:
        """Continue at the lowest sequence held. The stream's first sequence is its base and leaves no gap."""
        lowest = min(self._held)
        if self._next is None or lowest == self._next:
            self._next = lowest
            return []
        gap = Gap(self._next, lowest - 1)
        self._given_up = [*self._given_up, gap][-_KEPT_GAPS:]
        self._next = lowest
        return [gap]
