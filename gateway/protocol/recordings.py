"""Recordings within a stream: which chunk begins one, and which chunks belong to none.

A recorder that restarts writes a new container header; the header's magic, never a number, tells where. Browsers may
make a first slice of one byte, so a chunk that could be the beginning of a header waits for the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from talkup.v1 import media_pb2

from gateway.protocol.chunk import Chunk
from gateway.protocol.magic import HEADER_BYTES, HeaderMatch, match_header, match_media

# A header is complete within its first 12 bytes; more waiting chunks than that hold nothing.
_MAX_PENDING: Final = 16

_WITH_HEADER: Final = frozenset(
    {media_pb2.CONTAINER_WEBM, media_pb2.CONTAINER_OGG, media_pb2.CONTAINER_MP4, media_pb2.CONTAINER_WAV}
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A chunk that belongs to a recording; `new_recording`: it begins one with a header of its own."""

    chunk: Chunk
    new_recording: bool


@dataclass(frozen=True, slots=True)
class Orphan:
    """A chunk without a recording to belong to; dropped."""

    chunk: Chunk


RecordingEvent = Accepted | Orphan


def has_headers(fmt: media_pb2.MediaFormat) -> bool:
    """Whether recordings of this format begin with a header that identifies them."""
    sniffed = fmt.container == media_pb2.CONTAINER_SNIFF and fmt.mime_type != "image"
    return sniffed or fmt.container in _WITH_HEADER


class Recordings:
    """Follows one stream's chunks, in order, from recording to recording."""

    def __init__(self, fmt: media_pb2.MediaFormat) -> None:
        self._tracked = has_headers(fmt)
        # A declared Opus without a container is bare packets: nothing to wait for.
        self._sniffed = fmt.container == media_pb2.CONTAINER_SNIFF
        self._open = not self._tracked or (self._sniffed and fmt.mime_type.startswith("audio/opus"))
        self._pending: list[Chunk] = []

    @property
    def pending(self) -> Sequence[Chunk]:
        """Chunks that wait for more bytes."""
        return self._pending

    def resume(self) -> None:
        """A recording began at another gateway."""
        self._open = True

    def place(self, chunk: Chunk) -> list[RecordingEvent]:
        """Find the recording of a chunk; chunks that may be the beginning of a header come out with a later one."""
        if not self._tracked:
            return [Accepted(chunk, new_recording=False)]
        events: list[RecordingEvent] = []
        if len(self._pending) >= _MAX_PENDING:
            events += self.drain()
        if self._pending:
            heads = b"".join(waiting.payload[:HEADER_BYTES] for waiting in self._pending)
            match = self._match(heads + chunk.payload[:HEADER_BYTES])
            if match is HeaderMatch.NO:
                events += self.drain()
        if not self._pending:
            match = self._match(chunk.payload) if chunk.payload else HeaderMatch.NO
        if match is HeaderMatch.PARTIAL:
            self._pending.append(chunk)
        elif match is HeaderMatch.FULL:
            events += self._begin(chunk)
        else:
            events.append(self._place(chunk))
        return events

    def drain(self) -> list[RecordingEvent]:
        """Let go of what waits for more bytes: it is not a header. Also before a hole, which no header spans."""
        pending, self._pending = self._pending, []
        return [self._place(chunk) for chunk in pending]

    def _match(self, data: bytes) -> HeaderMatch:
        return match_media(data) if self._sniffed and not self._open else match_header(data)

    def _begin(self, chunk: Chunk) -> list[RecordingEvent]:
        chunks, self._pending = [*self._pending, chunk], []
        self._open = True
        return [Accepted(each, new_recording=index == 0) for index, each in enumerate(chunks)]

    def _place(self, chunk: Chunk) -> RecordingEvent:
        return Accepted(chunk, new_recording=False) if self._open else Orphan(chunk)
