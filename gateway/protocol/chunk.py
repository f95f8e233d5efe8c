"""One chunk of a client's media, from the frame that carries it to the request that forwards it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk as it came in.

    `sequence` is the client's number. `capture_ms` is the client's clock, UNIX milliseconds; None: not given. `arrived`
    is the gateway's clock, UNIX seconds.
    """

    sequence: int
    payload: bytes
    capture_ms: int | None = None
    arrived: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class NumberedChunk:
    """A chunk in its place in the stream.

    `worker_sequence` counts on over all recordings and leaves out a number per lost chunk. `new_recording`: the chunk
    begins with a container header of its own.
    """

    chunk: Chunk
    worker_sequence: int
    new_recording: bool
