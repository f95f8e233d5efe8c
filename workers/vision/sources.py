"""Where a stream's frames come from: pictures as chunks, or a video recording through the decoder children.

A source turns a chunk into frames and drops, in order. Decoding happens in the decoder children; `Frame.picture` only
brings a decoded picture into the form that is analysed. For pictures, see `image_source.py`.
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
from workers.vision.image_header import HeaderError
from workers.vision.mailbox import Dropped, Mailbox
from workers.vision.pictures import Picture, from_yuv420

MAX_SPAN: Final = 2.0
"""Seconds: the longest stretch of media that a chunk may hold without its last frames being stale."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame to analyse.

    `arrived` is on the loop's clock, for a later frame of a chunk as if it came in its own time; `decode_ms` what
    decoding took before; `commits` the last chunk that it completes.
    """

    index: int
    media_ms: int
    captured_at: int | None
    arrived: float
    width: int
    height: int
    picture: Callable[[], Picture]
    totals: ChunkTotals
    commits: int
    decode_ms: float = 0.0


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

    async def finish(self, totals: ChunkTotals, arrived: float, box: Mailbox[Frame]) -> ChunkTotals:
        """Put the frames that only the end completes; gives the totals, as `accept`. Raises MediaError."""
        ...

    async def restart(self, frame: Frame | None, totals: ChunkTotals) -> tuple[int, Restart] | None:
        """First chunk to replay and the state for a successor that goes on behind a frame (None: behind all).

        None: a successor has to begin where this one did.
        """
        ...

    def take_refusals(self) -> list[HeaderError]:
        """Why pictures were refused since the last call."""
        ...

    async def close(self) -> None: ...


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

    async def finish(self, totals: ChunkTotals, arrived: float, box: Mailbox[Frame]) -> ChunkTotals:
        """The frames that the codec still holds, and what the recording broke off within."""
        before = self._stream.damaged_bytes
        records = await self._stream.finish()
        totals = totals.with_damage(self._stream.damaged_bytes - before)
        self._put(records, None, totals, arrived, box)
        return totals

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

    def take_refusals(self) -> list[HeaderError]:
        """None: frames of a video are damaged at most."""
        return []

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
                due = arrived + (record.media_ms - records[0].media_ms) / 1000
                batch.append(_frame_of(record, captured, max(arrived, min(due, arrived + MAX_SPAN)), totals, commits))
        span = (records[-1].media_ms - records[0].media_ms) / 1000 if records else 0.0
        box.put(batch, arrived, max(0.0, min(span, MAX_SPAN)))


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
