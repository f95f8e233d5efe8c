"""A small real decoder of pictures, with faults on demand: a chunk that starts with `!` is an order to misbehave."""

from __future__ import annotations

from collections.abc import Sequence

from talkup.v1 import media_pb2

from tests.unit.workers.media.isolation.delta_decoder import misbehave
from workers.chunk import Chunk
from workers.media.errors import MediaError
from workers.media.frames import FrameFlag, FrameRecord
from workers.media.interface import Checkpoint, Parts
from workers.media.isolation.warmup import Clip


class MoodyStills:
    """A picture of 2 x 2 for every chunk, all of it the chunk's first byte."""

    damaged_bytes = 0
    position = 0

    def __init__(self, fmt: media_pb2.MediaFormat, state: bytes | None = None) -> None:
        del fmt, state

    def decode(self, chunk: Chunk) -> tuple[FrameRecord, ...]:
        if chunk.payload[:1] == b"!":
            misbehave(chunk.payload)
        return (FrameRecord(0, 0, 2, 2, FrameFlag.KEY, chunk.payload[:1] * 6),)

    def decode_in_parts(self, chunk: Chunk) -> Parts[tuple[FrameRecord, ...]]:
        yield
        return self.decode(chunk)

    def finish(self) -> tuple[FrameRecord, ...]:
        return ()

    def checkpoint(self, position: int) -> Checkpoint:
        raise MediaError("there is none")


def no_clips() -> Sequence[Clip]:
    return ()
