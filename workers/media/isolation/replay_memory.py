"""What a stream must remember to be decoded again from its last restart point.

Invariant: a decoder made from `state` that decodes `chunks()` in order stands where the lost one stood after the last
chunk added. The memory is bounded in bytes; what the engine commits makes room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from workers.chunk import Chunk

CHUNK_OVERHEAD_BYTES = 128


def cost_of(chunk: Chunk) -> int:
    """About how many bytes keeping a chunk takes."""
    return len(chunk.payload) + CHUNK_OVERHEAD_BYTES


class ReplayMemory:
    """The last restart point and every chunk from it on."""

    def __init__(self, state: bytes | None, max_bytes: int) -> None:
        self.state = state
        self._max_bytes = max_bytes
        self._chunks: deque[Chunk] = deque()
        self._bytes = 0

    @property
    def size(self) -> int:
        """Bytes held, bookkeeping included."""
        return self._bytes

    def has_room_for(self, chunk: Chunk) -> bool:
        """Whether the chunk may be added."""
        return self._bytes + cost_of(chunk) <= self._max_bytes

    def add(self, chunk: Chunk) -> None:
        """Remember a chunk that was decoded. Raises ValueError when it is older than the last or there is no room."""
        if not self.has_room_for(chunk):
            raise ValueError("no room for the chunk")
        if self._chunks and chunk.sequence <= self._chunks[-1].sequence:
            raise ValueError("the sequence must rise")
        self._chunks.append(chunk)
        self._bytes += cost_of(chunk)

    def restart_from(self, sequence: int, state: bytes) -> None:
        """Take a newer restart point; chunks before `sequence` are forgotten."""
        self.state = state
        while self._chunks and self._chunks[0].sequence < sequence:
            self._bytes -= cost_of(self._chunks.popleft())

    def clear(self) -> None:
        """Forget every chunk."""
        self._chunks.clear()
        self._bytes = 0

    def chunks(self) -> Iterator[Chunk]:
        """Every chunk to decode again, oldest first."""
        return iter(tuple(self._chunks))
