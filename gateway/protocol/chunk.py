"""One chunk of a client's media, from the frame that carries it to the request that forwards it."""

from __future__ import annotations

import msgspec


class Chunk(msgspec.Struct, frozen=True):
    """A chunk as received.

    `sequence` is the client's number. `capture_ms` is the client's clock, UNIX milliseconds; None: not given. `arrived`
    is the gateway's clock, UNIX seconds.
    """

    sequence: int
    payload: bytes
    capture_ms: int | None = None
    arrived: float = 0.0


class NumberedChunk(msgspec.Struct, frozen=True):
    """A chunk with its place in the stream.

    `worker_sequence` continues over all recordings and skips one number per lost chunk. `new_recording`: the chunk
    begins with its own container header.
    """

    chunk: Chunk
    worker_sequence: int
    new_recording: bool
