"""How decoded frames travel from a decoder child: records of 4-byte words, in the place of audio's samples.

A record is eight little-endian u32 (magic, index, media time in ms, width, height, flags, bytes of picture, 0), then
the picture as planar YUV 4:2:0, filled up to whole words. The pool counts words as it counts samples, so a replay
after a child's death gives no frame twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.media.errors import MediaError

Words = NDArray[np.float32]
"""Words on the wire; their numbers mean nothing as such."""

_HEADER: Final = struct.Struct("<8I")
_MAGIC: Final = 0x4D415246
MAX_SIDE: Final = 960
"""Pictures leave the child no longer than this on either side, and with even sides."""


class FrameFlag(IntFlag):
    """What is known of a frame. CORRUPT and SKIPPED ones carry no picture."""

    NONE = 0
    KEY = 1
    CORRUPT = 2
    SKIPPED = 4


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """A frame of a video stream; `index` rises from packet to packet, `media_ms` is on the stream's clock.

    `start` is the number of words of the stream before this record.
    """

    index: int
    media_ms: int
    width: int
    height: int
    flags: FrameFlag
    picture: bytes = b""
    start: int = 0


def pack(record: FrameRecord) -> bytes:
    """The bytes of a record, a multiple of 4."""
    size = len(record.picture)
    header = _HEADER.pack(
        _MAGIC, record.index, record.media_ms, record.width, record.height, int(record.flags), size, 0
    )
    return header + record.picture + bytes(-size % 4)


def unpack(words: Words, start: int) -> Iterator[FrameRecord]:
    """The records in a call's words, `start` words into the stream. Raises MediaError for what is none."""
    data = words.tobytes()
    at = 0
    while at < len(data):
        if at + _HEADER.size > len(data):
            raise MediaError("the decoder gave no usable frame")
        magic, index, media_ms, width, height, flags, size, _ = _HEADER.unpack_from(data, at)
        body = at + _HEADER.size
        whole = size == width * height * 3 // 2 and max(width, height) <= MAX_SIDE
        if magic != _MAGIC or body + size > len(data) or not (whole or size == 0):
            raise MediaError("the decoder gave no usable frame")
        picture = data[body : body + size]
        yield FrameRecord(index, media_ms, width, height, FrameFlag(flags & 7), picture, start + at // 4)
        at = body + size + -size % 4
