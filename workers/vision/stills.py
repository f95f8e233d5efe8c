"""Encoded pictures to frames: the decoder of a decoder child, and the clips that it warms up on.

Each chunk is one whole picture. A picture leaves as a video's frames do, as YUV 4:2:0 of `WORK_SIDE` at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from talkup.v1 import media_pb2

from workers.chunk import Chunk
from workers.media.errors import MediaError
from workers.media.frames import FrameFlag, FrameRecord
from workers.media.interface import Checkpoint, Parts
from workers.media.isolation.warmup import Clip
from workers.media.isolation.warmup_video import video_clips
from workers.media.video import VideoDecoder
from workers.vision.image_header import WORK_SIDE, HeaderError, read_header
from workers.vision.pictures import PictureError, decode_image, encode_samples, shrink, to_yuv420

IMAGES: Final = (media_pb2.CONTAINER_JPEG, media_pb2.CONTAINER_WEBP, media_pb2.CONTAINER_PNG)


class StillDecoder:
    """See `workers.media.interface.Decoder`; pictures do not depend on each other, so there is nothing to restore."""

    damaged_bytes = 0

    def __init__(self) -> None:
        self.position = 0

    def decode(self, chunk: Chunk) -> tuple[FrameRecord, ...]:
        """The picture, or a CORRUPT record for one that cannot be decoded."""
        index, self.position = self.position, self.position + 1
        try:
            header = read_header(chunk.payload)
            picture = shrink(decode_image(chunk.payload, reduce=header.reduce), WORK_SIDE)
            planes, width, height = to_yuv420(picture)
        except (HeaderError, PictureError):
            return (FrameRecord(index, 0, 0, 0, FrameFlag.CORRUPT),)
        return (FrameRecord(index, 0, width, height, FrameFlag.KEY, planes),)

    def decode_in_parts(self, chunk: Chunk) -> Parts[tuple[FrameRecord, ...]]:
        """A picture is decoded in one piece."""
        yield
        return self.decode(chunk)

    def finish(self) -> tuple[FrameRecord, ...]:
        """Pictures are whole: nothing is held back."""
        return ()

    def checkpoint(self, position: int) -> Checkpoint:
        """Raises MediaError: nobody needs one."""
        del position
        raise MediaError("pictures have no restart point")


def open_decoder(fmt: media_pb2.MediaFormat, state: bytes | None = None) -> StillDecoder | VideoDecoder:
    """The decoder of a stream of pictures or of a video. Raises MediaError."""
    return StillDecoder() if fmt.container in IMAGES else VideoDecoder(fmt, state)


def still_clips() -> Sequence[Clip]:
    """A small picture of each kind that is read."""
    fmt = media_pb2.MediaFormat(mime_type="image/jpeg", container=media_pb2.CONTAINER_JPEG)
    return tuple(Clip(name, fmt, (data,)) for name, data in encode_samples())


def all_clips() -> Sequence[Clip]:
    """What a child warms up on that decodes videos and pictures."""
    return (*video_clips(), *still_clips())
