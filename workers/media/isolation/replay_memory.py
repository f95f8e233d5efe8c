"""What a stream must remember to be decoded again from its last restart point.

Invariant: a decoder made from `state` and fed `chunks()` in order is where the lost one was after the last chunk added.
The memory is bounded in bytes; what the engine commits makes room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

CHUNK_OVERHEAD_BYTES = 128


@dataclass(frozen=True, slots=True)
class MediaChunk:
    """One chunk as it was fed: `sequence` rises over the stream, `missing_before` counts chunks lost before it."""

    payload: bytes
    sequence: int
    new_recording: bool = False
    missing_before: int = 0

    @property
    def cost(self) -> int:
        """Bytes that keeping the chunk takes, about."""
        return len(self.payload) + CHUNK_OVERHEAD_BYTES


class ReplayMemory:
    """The last restart point and every chunk from it on."""

    def __init__(self, state: bytes | None, max_bytes: int) -> None:
        self.state = state
        self._max_bytes = max_bytes
        self._chunks: deque[MediaChunk] = deque()
        self._bytes = 0

    @property
    def size(self) -> int:
        """Bytes held, the bookkeeping counted in."""
        return self._bytes

    def has_room_for(self, chunk: MediaChunk) -> bool:
        """Whether the chunk may be added."""
        return self._bytes + chunk.cost <= self._max_bytes

    def add(self, chunk: MediaChunk) -> None:
        """Remember a chunk that was decoded. Raises ValueError when it is older than the last or there is no room."""
        if not self.has_room_for(chunk):
            raise ValueError("no room for the chunk")
        if self._chunks and chunk.sequence <= self._chunks[-1].sequence:
            raise ValueError("the sequence does not rise")
        self._chunks.append(chunk)
        self._bytes += chunk.cost

    def restart_from(self, sequence: int, state: bytes) -> None:
        """Take a newer restart point; chunks before `sequence` are forgotten."""
        self.state = state
        while self._chunks and self._chunks[0].sequence < sequence:
            self._bytes -= self._chunks.popleft().cost

    def clear(self) -> None:
        """Forget every chunk."""
        self._chunks.clear()
        self._bytes = 0

    def chunks(self) -> Iterator[MediaChunk]:
        """Every chunk to feed again, oldest first."""
        return iter(tuple(self._chunks))
