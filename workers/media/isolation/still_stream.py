"""Encoded pictures, decoded one by one in a decoder child that may die.

Pictures do not depend on each other, so nothing is remembered and nothing is decoded again. A picture that ends the
child is the loss of this picture; the second one to do so ends the stream, since each death holds up the streams that
share the child.
"""

from __future__ import annotations

import asyncio
from itertools import count

from talkup.v1 import media_pb2

from workers.chunk import Chunk
from workers.media.errors import MediaError
from workers.media.frames import FrameFlag, FrameRecord, is_usable
from workers.media.isolation import ipc
from workers.media.isolation.decoder_stream import Child, ChildSource
from workers.media.isolation.process import ChildGoneError

_MAX_STRIKES = 2
_MAX_KILLS_PER_CALL = 8
_LOST = FrameRecord(0, 0, 0, 0, FrameFlag.CORRUPT)


class StillStream:
    """One stream's pictures; calls wait for each other. A cancelled call has no effect."""

    def __init__(self, stream_id: int, fmt: media_pb2.MediaFormat, source: ChildSource) -> None:
        self._id = stream_id
        self._format = fmt.SerializeToString()
        self._source = source
        self._numbers = count()
        self._turn = asyncio.Lock()
        self._opened_in: Child | None = None
        self._strikes = 0
        self._closed = False

    async def decode(self, payload: bytes) -> FrameRecord:
        """The picture, or a CORRUPT record without one. Raises MediaError when the stream cannot go on."""
        async with self._turn:
            for _ in range(_MAX_KILLS_PER_CALL):
                if self._closed:
                    raise MediaError("the stream is closed")
                if self._strikes >= _MAX_STRIKES:
                    raise MediaError("pictures of this stream ended the decoder twice")
                child = await self._source.child()
                try:
                    return await self._decode_in(child, payload)
                except ChildGoneError as gone:
                    if gone.death.suspect == self._id and gone.death.self_inflicted:
                        self._strikes += 1
                        return _LOST
            raise MediaError("the decoder was killed repeatedly")

    async def close(self) -> None:
        """Free the decoder; may be called at any time, and twice."""
        if not self._closed:
            self._closed = True
            if self._opened_in is not None:
                self._opened_in.tell(ipc.Close(self._id))
            self._source.leave(self._id)

    async def _decode_in(self, child: Child, payload: bytes) -> FrameRecord:
        if self._opened_in is not child:
            self._opened_in = None
            opened = await child.ask(ipc.Open(self._id, self._format, None))
            if not isinstance(opened, ipc.Opened):
                raise MediaError("no decoder can be opened")
            self._opened_in = child
        answer = await child.ask(ipc.Decode(self._id, Chunk(next(self._numbers), payload)))
        if isinstance(answer, ipc.Working):  # a picture is one part, so the next answer is the last
            answer = await child.ask(ipc.Continue(self._id))
        match answer:
            case ipc.Failed():
                return _LOST
            case ipc.Frames(frames=(record,)) if is_usable(record):
                return record
        child.disown()
        raise MediaError("the decoder gave no usable answer")
