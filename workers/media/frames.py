"""Frames of a video as they leave a decoder child: what is known of each, and its picture."""

from __future__ import annotations

from enum import IntFlag
from typing import Annotated, Final

import msgspec

MAX_SIDE: Final = 960
"""The longest side of a picture that leaves the child, pixels; both sides are even."""

_Natural = Annotated[int, msgspec.Meta(ge=0)]


class FrameFlag(IntFlag):
    """What is known of a frame. CORRUPT and SKIPPED ones carry no picture."""

    NONE = 0
    KEY = 1
    CORRUPT = 2
    SKIPPED = 4


class FrameRecord(msgspec.Struct, frozen=True, array_like=True):
    """A frame of a video stream.

    `index` counts the frames of the stream in the order in which they are shown, `media_ms` is on the stream's clock,
    `flags` are of `FrameFlag`. `picture` is planar YUV 4:2:0 of `width` x `height`, or empty.
    """

    index: _Natural
    media_ms: _Natural
    width: _Natural
    height: _Natural
    flags: _Natural
    picture: bytes = b""


def is_usable(record: FrameRecord) -> bool:
    """Whether a record from a child is valid: its picture is empty or has the size that it claims."""
    size = len(record.picture)
    return size == 0 or (size == record.width * record.height * 3 // 2 and max(record.width, record.height) <= MAX_SIDE)
