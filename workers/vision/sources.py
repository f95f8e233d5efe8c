"""Where a stream's frames come from: pictures as chunks, or a video recording through the decoder children.

A source turns a chunk into frames and drops, in order. It never decodes a picture itself: `Frame.picture` does, on the
thread that analyses it, and only for frames that are analysed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import msgspec
from talkup.v1 import task_pb2

from workers.chunk import Chunk
from workers.media.frames import FrameFlag, FrameRecord
from workers.media.interface import Checkpoint
from workers.vision.counts import ChunkTotals
from workers.vision.image_header import HeaderError, ImageHeader, read_header
from workers.vision.mailbox import Dropped, Mailbox
from workers.vision.pictures import Picture, decode_image, from_yuv420, shrink

WORK_SIDE: Final = 960
"""Pictures are analysed no longer than this on either side."""

MAX_MEDIA_MS: Final = (1 << 32) - 1
DEFAULT_STEP_MS: Final = 100
"""Media time from picture to picture where the sender gives no capture times and no rate."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame to analyse. `arrived` is on the loop's clock; `commits` the last chunk that it completes."""

    index: int
    media_ms: int
    captured_at: int | None
    arrived: float
    width: int
    height: int
    picture: Callable[[], Picture]
    totals: ChunkTotals
    commits: int


class Restart(msgspec.Struct, frozen=True, array_like=True):
    """Where a successor's source begins; `decoder` is the state of a video decoder."""

    index: int = -1
    media_ms: int = 0
    first_capture_ms: int | None = None
    decoder: bytes | None = None
    first_received_ms: int | None = None


class Source(Protocol):
    """One stream's frames, made of chunks in order."""

    async def accept(
        self, chunk: Chunk, totals: ChunkTotals, arrived: float, box: Mailbox[Frame], *, again: bool = False
    ) -> ChunkTotals:
        """Put a chunk's frames and drops into the mailbox; gives the totals with what was damaged in it.

        `again`: an earlier attempt has counted it. Raises MediaError for media that cannot be decoded further.
        """
        ...

    async def finish(self, totals: ChunkTotals, arrived: float, box: Mailbox[Frame]) -> None:
        """The frames that only the end completes. Raises MediaError."""
        ...

    async def restart(self, frame: Frame | None, totals: ChunkTotals) -> tuple[int, Restart] | None:
        """First chunk to replay and the state for a successor that goes on behind a frame (None: behind all).

        None: a successor has to begin where this one did.
        """
        ...

    async def close(self) -> None: ...


class ImageSource:
    """One encoded picture per chunk; a damaged one is a dropped frame."""

    def __init__(self, state: Restart, max_fps: int | None) -> None:
        self._state = state
        self._step_ms = DEFAULT_STEP_MS if max_fps is None else 1000 // max_fps

    async def accept(
        self, chunk: Chunk, totals: ChunkTotals, arrived: float, box: Mailbox[Frame], *, again: bool = False
    ) -> ChunkTotals:
        """See `Source`; what is no JPEG or WebP of a sensible size is dropped as corrupt."""
        media_ms = self._time(chunk.capture_ms, chunk.received_ms, totals.chunks)
        try:
            header = read_header(chunk.payload)
        except HeaderError:
            box.put([Dropped(task_pb2.DROP_REASON_CORRUPT)])
            return totals
        frame = Frame(
            index=chunk.sequence,
            media_ms=media_ms,
            captured_at=chunk.capture_ms,
            arrived=arrived,
            width=header.width,
            height=header.height,
            picture=partial(_picture_of, chunk.payload, header),
            totals=totals,
            commits=chunk.sequence,
        )
        box.put([frame])
        return totals

    async def finish(self, totals: ChunkTotals, arrived: float, box: Mailbox[Frame]) -> None:
        """Pictures are whole: nothing is held back."""

    async def restart(self, frame: Frame | None, totals: ChunkTotals) -> tuple[int, Restart] | None:
        """The next chunk; its time goes on from the frame's."""
        index = totals.last if frame is None else frame.index
        media_ms = self._state.media_ms if frame is None else frame.media_ms
        state = self._state
        return index + 1, Restart(index, media_ms, state.first_capture_ms, None, state.first_received_ms)

    async def close(self) -> None:
        """There is nothing to free."""

    def _time(self, captured: int | None, received: int | None, pictures: int) -> int:
        """The time of picture number `pictures`, by the sender's clock, the gateway's, or the rate; it never falls.

        A clock that appears for the first time continues from the time reached.
        """
        state = self._state
        first_capture, first_received = state.first_capture_ms, state.first_received_ms
        if captured is not None:
            first_capture = captured - state.media_ms if first_capture is None else first_capture
            media_ms = captured - first_capture
        elif received is not None:
            first_received = received - state.media_ms if first_received is None else first_received
            media_ms = received - first_received
        else:
            media_ms = (pictures - 1) * self._step_ms
        media_ms = max(state.media_ms, min(media_ms, MAX_MEDIA_MS))
        self._state = Restart(state.index, media_ms, first_capture, None, first_received)
        return media_ms


class VideoStream(Protocol):
    """`workers.media.isolation.pool`'s stream, as it is used here."""

    @property
    def damaged_bytes(self) -> int: ...

    async def decode(self, chunk: Chunk) -> tuple[FrameRecord, ...]: ...

    async def finish(self) -> tuple[FrameRecord, ...]: ...

    async def checkpoint(self, position: int) -> Checkpoint: ...

    async def close(self) -> None: ...


class VideoSource:
    """A video recording: every packet is decoded, and what cannot be analysed in time is dropped after that."""

    def __init__(self, stream: VideoStream, state: Restart) -> None:
        self._stream = stream
        self._skip_to = state.index
        self._last_index = state.index
        self._last_ms = state.media_ms
        self._keys: deque[int] = deque()
        self._saved = (-1, b"")

    async def accept(
        self, chunk: Chunk, totals: ChunkTotals, arrived: float, box: Mailbox[Frame], *, again: bool = False
    ) -> ChunkTotals:
        """See `Source`; the frames of one chunk are analysed one after the other unless the next chunk comes first."""
        before = self._stream.damaged_bytes
        records = await self._stream.decode(chunk)
        if not again:
            totals = totals.with_damage(self._stream.damaged_bytes - before)
        self._put(records, chunk.capture_ms, totals, arrived, box)
        return totals

    async def finish(self, totals: ChunkTotals, arrived: float, box: Mailbox[Frame]) -> None:
        """The frames that the codec still holds."""
        records = await self._stream.finish()
        self._put(records, None, totals, arrived, box)

    async def restart(self, frame: Frame | None, totals: ChunkTotals) -> tuple[int, Restart] | None:
        """The key frame at or before the frame; frames up to it are decoded again but not reported again."""
        index = self._last_index if frame is None else frame.index
        media_ms = self._last_ms if frame is None else frame.media_ms
        key = None
        while self._keys and self._keys[0] <= index:
            key = self._keys.popleft()
        if key is not None:
            point = await self._stream.checkpoint(key)
            self._saved = (point.replay_from_sequence, point.state)
        if self._saved[0] < 0:
            return None
        return self._saved[0], Restart(index, media_ms, decoder=self._saved[1])

    async def close(self) -> None:
        """Free the decoder."""
        await self._stream.close()

    def _put(
        self,
        records: tuple[FrameRecord, ...],
        captured: int | None,
        totals: ChunkTotals,
        arrived: float,
        box: Mailbox[Frame],
    ) -> None:
        batch: list[Frame | Dropped] = []
        for position, record in enumerate(records):
            if record.flags & FrameFlag.KEY:
                self._keys.append(record.index)
            if record.index <= self._skip_to:
                continue
            self._last_index, self._last_ms = record.index, max(self._last_ms, record.media_ms)
            if record.flags & FrameFlag.CORRUPT:
                batch.append(Dropped(task_pb2.DROP_REASON_CORRUPT))
            elif not record.picture:
                batch.append(Dropped(task_pb2.DROP_REASON_OVERLOAD))
            else:
                commits = totals.last if position == len(records) - 1 else totals.last - 1
                batch.append(_frame_of(record, captured, arrived, totals, commits))
        box.put(batch)


def _frame_of(record: FrameRecord, captured: int | None, arrived: float, totals: ChunkTotals, commits: int) -> Frame:
    return Frame(
        index=record.index,
        media_ms=record.media_ms,
        captured_at=captured,
        arrived=arrived,
        width=record.width,
        height=record.height,
        picture=partial(from_yuv420, record.picture, record.width, record.height),
        totals=totals,
        commits=commits,
    )


def _picture_of(payload: bytes, header: ImageHeader) -> Picture:
    """Decode a picture, a large JPEG at a fraction of its size. Raises PictureError."""
    longest = max(header.width, header.height)
    reduce = max(factor for factor in (1, 2, 4, 8) if factor == 1 or longest >= factor * WORK_SIDE)
    return shrink(decode_image(payload, reduce=reduce if header.jpeg else 1), WORK_SIDE)
