"""Frames from pictures that come as chunks, each decoded in a decoder child before it waits for its analysis.

A picture that takes long to decode goes to a child of its own kind, so that no camera waits behind a photo. What
decoding takes, by the picture's header, is charged to the stream: beyond its share its pictures are dropped, or its
sender waits where every frame is wanted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from talkup.v1 import task_pb2

from workers.chunk import Chunk
from workers.media.frames import FrameRecord
from workers.media.isolation.pacing import Pace
from workers.vision.counts import ChunkTotals
from workers.vision.image_header import HeaderError, ImageHeader, Reason, read_header
from workers.vision.mailbox import Dropped, Mailbox
from workers.vision.options import VisionStreamOptions
from workers.vision.pictures import from_yuv420
from workers.vision.sources import Frame, Restart

MAX_MEDIA_MS: Final = (1 << 32) - 1
DEFAULT_STEP_MS: Final = 100
"""Media time from picture to picture where the sender gives no capture times and no rate."""

LONG_SECONDS: Final = 0.1
"""A picture that takes longer is decoded apart; a camera's picture of 1920 x 1080 takes 3 ms, as PNG 33 ms."""

SHARE: Final = 0.5
BURST_SECONDS: Final = 2.0
"""Seconds of decoding that a stream may take for each second, and at once."""


class StillStream(Protocol):
    """`workers.media.isolation.still_stream`'s stream, as it is used here."""

    async def decode(self, payload: bytes) -> FrameRecord: ...

    async def close(self) -> None: ...


class Stills:
    """One stream's decoders: the usual one, and one for pictures that take long, each opened when it is needed."""

    def __init__(self, usual: Callable[[], StillStream], slow: Callable[[], StillStream]) -> None:
        """Both raise MediaError where no decoder is free."""
        self._openers = {False: usual, True: slow}
        self._open: dict[bool, StillStream] = {}

    async def decode(self, payload: bytes, header: ImageHeader) -> FrameRecord:
        """The picture; a record without one if it cannot be decoded. Raises MediaError."""
        long = header.seconds > LONG_SECONDS
        if long not in self._open:
            self._open[long] = self._openers[long]()
        return await self._open[long].decode(payload)

    async def close(self) -> None:
        """Free both."""
        for stream in self._open.values():
            await stream.close()


class ImageSource:
    """One encoded picture per chunk; one that cannot be read is a dropped frame."""

    def __init__(
        self, state: Restart, options: VisionStreamOptions, stills: Stills, clock: Callable[[], float]
    ) -> None:
        self._state = state
        self._options = options
        self._step_ms = DEFAULT_STEP_MS if options.max_fps is None else 1000 // options.max_fps
        self._stills = stills
        self._clock = clock
        self._pace = Pace(SHARE, BURST_SECONDS, clock())
        self._refusals: list[HeaderError] = []

    async def accept(
        self, chunk: Chunk, totals: ChunkTotals, arrived: float, box: Mailbox[Frame], *, again: bool = False
    ) -> ChunkTotals:
        """See `Source`; what is no picture that is read here is dropped as corrupt, and `take_refusals` says why."""
        media_ms = self._time(chunk.capture_ms, chunk.received_ms, totals.chunks)
        try:
            header = read_header(chunk.payload)
            if delay := self._pace.delay(arrived):
                if not self._options.every_frame:
                    box.put([Dropped(task_pb2.DROP_REASON_OVERLOAD)])
                    return totals
                await asyncio.sleep(delay)
            self._pace.spend(header.seconds, arrived)
            began = self._clock()
            record = await self._stills.decode(chunk.payload, header)
            seconds = self._clock() - began
            if not record.picture:
                raise HeaderError(Reason.DAMAGED, f"the {header.kind} cannot be decoded")
        except HeaderError as refusal:
            self._refusals.append(refusal)
            box.put([Dropped(task_pb2.DROP_REASON_CORRUPT)])
            return totals
        frame = Frame(
            index=chunk.sequence,
            media_ms=media_ms,
            captured_at=chunk.capture_ms,
            arrived=arrived + seconds,
            width=header.width,
            height=header.height,
            picture=partial(from_yuv420, record.picture, record.width, record.height),
            totals=totals,
            commits=chunk.sequence,
            decode_ms=1000 * seconds,
        )
        box.put([frame], frame.arrived)
        return totals

    async def finish(self, totals: ChunkTotals, arrived: float, box: Mailbox[Frame]) -> ChunkTotals:
        """Pictures are whole: nothing is held back."""
        return totals

    async def restart(self, frame: Frame | None, totals: ChunkTotals) -> tuple[int, Restart] | None:
        """The next chunk; its time goes on from the frame's."""
        index = totals.last if frame is None else frame.index
        media_ms = self._state.media_ms if frame is None else frame.media_ms
        state = self._state
        return index + 1, Restart(index, media_ms, state.first_capture_ms, None, state.first_received_ms)

    def take_refusals(self) -> list[HeaderError]:
        """See `Source`."""
        refusals, self._refusals = self._refusals, []
        return refusals

    async def close(self) -> None:
        """Free the decoders."""
        await self._stills.close()

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
