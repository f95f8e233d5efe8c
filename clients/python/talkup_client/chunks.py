"""The chunks that the gateway may ask for again, and the bytes that it has not received yet.

A chunk is *in flight* until `acknowledge.received` covers it. It is *kept* until `acknowledge.committed` covers it: by
then its final text has been sent, and nobody needs the chunk again. Invariant: the kept chunks are consecutive, and
every chunk in flight is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of media with its place in the stream."""

    sequence: int
    payload: bytes


class UncommittedChunks:
    """Bookkeeping of one stream. `keep_bytes` bounds what is kept beyond the chunks in flight."""

    def __init__(self, next_sequence: int, *, keep_bytes: int) -> None:
        self._next = next_sequence
        self._received = next_sequence - 1
        self._keep_bytes = keep_bytes
        self._kept: deque[Chunk] = deque()
        self._kept_bytes = 0
        self._in_flight_bytes = 0
        self.forgotten_bytes = 0

    @property
    def in_flight_bytes(self) -> int:
        """Bytes of the chunks whose arrival the gateway has not acknowledged."""
        return self._in_flight_bytes

    @property
    def kept_bytes(self) -> int:
        """Bytes of all kept chunks."""
        return self._kept_bytes

    def append(self, payload: bytes) -> Chunk:
        """Give the next chunk its number and keep it."""
        chunk = Chunk(self._next, payload)
        self._next += 1
        self._kept.append(chunk)
        self._kept_bytes += len(payload)
        self._in_flight_bytes += len(payload)
        self._forget_beyond_bound()
        return chunk

    def acknowledge(self, received: int, committed: int) -> None:
        """Record what the gateway has (`received`) and what it will never ask for again (`committed`)."""
        received = min(received, self._next - 1)
        if received > self._received:
            self._in_flight_bytes -= sum(
                len(chunk.payload) for chunk in self._kept if self._received < chunk.sequence <= received
            )
            self._received = received
        while self._kept and self._kept[0].sequence <= min(committed, self._received):
            self._forget_oldest()
        self._forget_beyond_bound()

    def rewind(self, next_sequence: int) -> Iterator[Chunk]:
        """The chunks to resend when the gateway expects `next_sequence`; they count as in flight again."""
        self._received = min(next_sequence - 1, self._next - 1)
        again = [chunk for chunk in self._kept if chunk.sequence > self._received]
        self._in_flight_bytes = sum(len(chunk.payload) for chunk in again)
        self._forget_beyond_bound()
        return iter(again)

    def _forget_oldest(self) -> None:
        size = len(self._kept.popleft().payload)
        self._kept_bytes -= size
        self.forgotten_bytes += size

    def _forget_beyond_bound(self) -> None:
        """Bound the memory when no final comes for a long time: the gateway holds the chunks that it has received."""
        while self._kept_bytes > self._keep_bytes and self._kept and self._kept[0].sequence <= self._received:
            self._forget_oldest()
