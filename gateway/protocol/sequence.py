"""The order of chunks: numbers in, the same chunks in order out, each hole told once.

A stream's first number is its base: 0 or a container header at once, any other number as soon as it is clear that
nothing lower comes. Behind a hole, chunks are held until it is filled, until they have waited `gap_seconds`, or until
the window is full; then the hole is given up, told once, and the stream goes on behind it.

Packet streams (TalkUp's web app) number each recording anew and number late blobs of an old recording from the new
counter. There a number already passed begins a new numbering, unless its bytes show that it is a duplicate. In streams
that were started by message only a container header does that; anything else already passed is a duplicate.
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from gateway.protocol.limits import Limits
from gateway.protocol.magic import HeaderMatch, match_header

# Shorter payloads are equal by accident: the one-byte first slices of two recordings are.
_MIN_DIGEST_BYTES: Final = 16
_KEPT_DIGESTS: Final = 64
_KEPT_GAPS: Final = 16


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk in its place, `arrived` in UNIX seconds. `missing_before` chunks directly before it are lost for good."""

    number: int
    payload: bytes
    capture_ms: int | None = None
    missing_before: int = 0
    arrived: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers given up, both ends included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Stale:
    """A chunk of a recording whose header was never seen here; dropped."""

    number: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A number that was received before or given up; dropped."""

    number: int


SequenceEvent = Piece | Gap | Stale | Duplicate


@dataclass(slots=True)
class _Held:
    payload: bytes
    capture_ms: int | None
    arrived: float


class Sequencer:
    """Puts the chunks of one stream in order. `packets`: number rules of TalkUp's packet streams."""

    def __init__(self, limits: Limits, *, packets: bool, headers: bool) -> None:
        """`headers`: the format has container headers, so that they can tell recordings apart."""
        self._limits = limits
        self._packets = packets
        self._headers = headers
        self._next: int | None = None
        self._held: dict[int, _Held] = {}
        self._held_bytes = 0
        self._missing = 0
        self._paused = False
        self._digests: dict[int, int] = {}
        self._given_up: deque[Gap] = deque(maxlen=_KEPT_GAPS)

    @property
    def next_number(self) -> int:
        """The number expected next: everything below was received or given up."""
        return 0 if self._next is None else self._next

    @property
    def started(self) -> bool:
        """Whether the stream's first number is known."""
        return self._next is not None

    def begin_at(self, number: int) -> None:
        """Everything below `number` was taken before, by another gateway."""
        self._next = number

    def offer(self, number: int | None, payload: bytes, capture_ms: int | None, now: float) -> list[SequenceEvent]:
        """Take a chunk; `number` None: the one after the highest received so far."""
        if number is None:
            number = max([self.next_number, *(held + 1 for held in self._held)])
        held = _Held(payload, capture_ms, now)
        if number in self._held:
            return [Duplicate(number)]
        if self._next is None:
            return self._offer_first(number, held)
        if number < self._next:
            return self._offer_passed(number, held)
        self._hold(number, held)
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
        return next(iter(self._held.values())).arrived + self._limits.gap_seconds

    def drain(self) -> list[SequenceEvent]:
        """Release all that is held, giving up every hole: nothing more comes."""
        events: list[SequenceEvent] = []
        while self._held:
            events += self._give_up()
            events += self._release()
        return events

    def pause(self) -> None:
        """The client is away: holes may still be filled when it comes back."""
        self._paused = True

    def proceed(self, now: float) -> None:
        """The client is back; what is held waits anew."""
        self._paused = False
        for held in self._held.values():
            held.arrived = now

    def _offer_first(self, number: int, held: _Held) -> list[SequenceEvent]:
        events: list[SequenceEvent] = []
        match = match_header(held.payload) if self._headers and held.payload else HeaderMatch.NO
        begins = match is HeaderMatch.FULL or (self._packets and match is HeaderMatch.PARTIAL)
        if number == 0 or begins:
            self._next = number
            if self._packets and self._headers:
                events += self._drop_stale(number)
        self._hold(number, held)
        return events + self._release()

    def _drop_stale(self, base: int) -> list[SequenceEvent]:
        """Forget what a client queued before it began anew; its direct successor may just have overtaken `base`."""
        stale = [number for number in self._held if number != base + 1]
        for number in stale:
            self._held_bytes -= len(self._held.pop(number).payload)
        return [Stale(number) for number in stale]

    def _offer_passed(self, number: int, held: _Held) -> list[SequenceEvent]:
        if any(gap.first <= number <= gap.last for gap in self._given_up) or self._is_duplicate(number, held.payload):
            return [Duplicate(number)]
        events = self.drain()
        self._next = number
        self._digests.clear()
        self._given_up.clear()
        self._hold(number, held)
        return events + self._release()

    def _is_duplicate(self, number: int, payload: bytes) -> bool:
        same = len(payload) >= _MIN_DIGEST_BYTES and self._digests.get(number) == zlib.crc32(payload)
        if self._packets:
            return same
        return same or not self._begins_recording(payload)

    def _begins_recording(self, payload: bytes) -> bool:
        return self._headers and match_header(payload) is HeaderMatch.FULL

    def _hold(self, number: int, held: _Held) -> None:
        self._held[number] = held
        self._held_bytes += len(held.payload)

    def _release(self) -> list[SequenceEvent]:
        """What stands next, and more while the window is overfull."""
        events: list[SequenceEvent] = []
        while True:
            while self._next is not None and (held := self._held.pop(self._next, None)) is not None:
                events.append(self._pass(self._next, held))
                self._next += 1
            if len(self._held) <= self._limits.window_chunks and self._held_bytes <= self._limits.window_bytes:
                return events
            events += self._give_up()

    def _pass(self, number: int, held: _Held) -> Piece:
        self._held_bytes -= len(held.payload)
        if self._packets or self._begins_recording(held.payload):
            self._digests[number] = zlib.crc32(held.payload)
            if len(self._digests) > _KEPT_DIGESTS:
                del self._digests[next(iter(self._digests))]
        missing, self._missing = self._missing, 0
        return Piece(number, held.payload, held.capture_ms, missing, held.arrived)

    def _give_up(self) -> list[SequenceEvent]:
        """Go on at the lowest number held; the first number of a stream is its base and leaves no gap."""
        lowest = min(self._held)
        if self._next is None or lowest == self._next:
            self._next = lowest
            return []
        gap = Gap(self._next, lowest - 1)
        self._given_up.append(gap)
        self._missing += lowest - self._next
        self._next = lowest
        return [gap]
