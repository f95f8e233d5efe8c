"""Recordings within a stream: which chunk begins one, and which chunks belong to none.

A recorder that restarts writes a new container header; only the header's magic marks this, never a number. Browsers may
send a first slice of one byte, so a chunk that could be the beginning of a header waits for the next one. While the
encoder has nothing yet they send empty slices, too: an empty chunk decides nothing, and is no orphan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from talkup.v1 import media_pb2

from gateway.protocol.chunk import Chunk
from gateway.protocol.magic import HEADER_BYTES, HeaderMatch, match_first, match_header, match_media

# A header is complete within its first 12 bytes; if more chunks than this wait, all of them are nearly empty.
_MAX_PENDING: Final = 16

_WITH_HEADER: Final = frozenset(
    {media_pb2.CONTAINER_WEBM, media_pb2.CONTAINER_OGG, media_pb2.CONTAINER_MP4, media_pb2.CONTAINER_WAV}
)


class Accepted(msgspec.Struct, frozen=True):
    """A chunk that belongs to a recording, or is empty; `new_recording`: it begins one with its own header."""

    chunk: Chunk
    new_recording: bool


@dataclass(frozen=True, slots=True)
class Orphan:
    """A chunk that belongs to no recording; dropped."""

    chunk: Chunk


RecordingEvent = Accepted | Orphan


def has_headers(fmt: media_pb2.MediaFormat) -> bool:
    """Whether recordings in this format begin with a header that identifies them."""
    sniffed = fmt.container == media_pb2.CONTAINER_SNIFF and fmt.mime_type != "image"
    return sniffed or fmt.container in _WITH_HEADER


class Recordings:
    """Assigns one stream's chunks, in order, to recordings."""

    def __init__(self, fmt: media_pb2.MediaFormat) -> None:
        self._tracked = has_headers(fmt)
        # Opus declared without a container is bare packets: there is no header to wait for.
        self._sniffed = fmt.container == media_pb2.CONTAINER_SNIFF
        self._quicktime = fmt.container == media_pb2.CONTAINER_MP4
        self._open = not self._tracked or (self._sniffed and fmt.mime_type.startswith("audio/opus"))
        self._pending: list[Chunk] = []

    @property
    def pending(self) -> Sequence[Chunk]:
        """Chunks that are waiting for more bytes."""
        return self._pending

    def resume(self) -> None:
        """Continue a recording that began at another gateway."""
        self._open = True

    def place(self, chunk: Chunk) -> list[RecordingEvent]:
        """Assign a chunk to a recording; one that may be the beginning of a header comes out with a later chunk."""
        if not self._tracked or (not chunk.payload and not self._pending):
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
            match = self._match(chunk.payload)
        if match is HeaderMatch.PARTIAL:
            self._pending.append(chunk)
        elif match is HeaderMatch.FULL:
            events += self._begin(chunk)
        else:
            events.append(self._place(chunk))
        return events

    def drain(self) -> list[RecordingEvent]:
        """Release the chunks that wait for more bytes, because they are not a header. No header spans a hole."""
        pending, self._pending = self._pending, []
        return [self._place(chunk) for chunk in pending]

    def _match(self, data: bytes) -> HeaderMatch:
        if self._open:
            return match_header(data)
        return match_media(data) if self._sniffed else match_first(data, quicktime=self._quicktime)

    def _begin(self, chunk: Chunk) -> list[RecordingEvent]:
        chunks, self._pending = [*self._pending, chunk], []
        self._open = True
        return [Accepted(each, new_recording=index == 0) for index, each in enumerate(chunks)]

    def _place(self, chunk: Chunk) -> RecordingEvent:
        if (
            self._sniffed and not self._open
        ):  # the worker knows formats without a magic, and names what it does not read
            self._open = True
            return Accepted(chunk, new_recording=True)
        return Accepted(chunk, new_recording=False) if self._open else Orphan(chunk)
