"""Streams of frames that follow one another without a container: each begins with a header that says how long it is.

Every frame is a restart point and needs no prefix. In step, one good header is believed; out of step, a frame counts
only when another header follows it. Bytes at the end that are no frames may be tags and are no damage.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from workers.media.containers import tags
from workers.media.containers.packet import (
    MAX_CANDIDATES,
    DamagedError,
    Demuxer,
    Incomplete,
    Packet,
    Track,
    check_skip,
)
from workers.media.errors import MediaError

TRACK = 1
_SCAN_FRAMES = 3
_SCAN_BYTES = 64 << 10

_Bytes = bytes | bytearray


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """A frame: bytes in all, samples per second, channels."""

    size: int
    rate: int
    channels: int


Parser = Callable[[_Bytes, int], FrameHeader | None]
"""Reads the header at a place that has at least its bytes; None if there is no header."""


def are_frames(data: _Bytes, parse: Parser, head_bytes: int, sync: bytes = b"\xff") -> bool:
    """Whether these bytes contain three frames in a row."""
    at = data.find(sync)
    while 0 <= at <= len(data) - head_bytes:
        frames, end = 0, at
        while frames < _SCAN_FRAMES and end + head_bytes <= len(data):
            header = parse(data, end)
            if header is None:
                break
            frames, end = frames + 1, end + header.size
        if frames == _SCAN_FRAMES:
            return True
        at = data.find(sync, at + 1)
    return False


class FrameDemuxer(Demuxer):
    """Bytes of such a stream to its frames; `resumed`: they begin at a restart point.

    `name`: the format as a person calls it. `candidate`: the first three bytes of a frame at most, or of a tag.
    """

    has_pts = False
    tail_counts = False
    name: ClassVar[str]
    head_bytes: ClassVar[int]
    candidate: ClassVar[re.Pattern[bytes]]

    def __init__(self, track: Track, *, resumed: bool = False) -> None:
        super().__init__()
        self.tracks = {TRACK: track}
        self._found = resumed
        self._lost = -1 if resumed else 0

    @abstractmethod
    def _parse(self, at: int) -> FrameHeader | None:
        """The header at `at` of the buffer, where at least `head_bytes` stand; None when there is none."""

    def prefix(self, anchor: int) -> bytes:
        """Nothing: a frame stands for itself."""
        del anchor
        return b""

    def finish(self) -> list[Packet]:
        """A lone frame that nothing follows. Raises MediaError for a recording without any frame."""
        packets: list[Packet] = []
        if len(self._buffer) >= self.head_bytes:
            header = self._parse(0)
            if header and len(self._buffer) >= header.size:
                self._frame(header.size, packets)
        if not self._found and self.received:
            raise MediaError(f"no {self.name} frame is found in the recording")
        return packets

    def _step(self, packets: list[Packet]) -> int:
        buffer = self._buffer
        if len(buffer) < self.head_bytes:
            raise Incomplete
        if buffer[:3] == tags.ID3V2:
            if len(buffer) < tags.ID3V2_HEAD_BYTES:
                raise Incomplete
            return check_skip(tags.id3v2_size(buffer))
        header = self._parse(0)
        if header is None:
            raise DamagedError("not a frame")
        if len(buffer) < header.size:
            raise Incomplete
        self._frame(header.size, packets)
        return header.size

    def _frame(self, size: int, packets: list[Packet]) -> None:
        packets.append(Packet(TRACK, bytes(self._buffer[:size]), self.position))
        self._found = True

    def _seek(self) -> int:
        """The next tag, or the next frame that another frame or tag follows."""
        buffer, at = self._buffer, 0
        for _ in range(MAX_CANDIDATES):
            if len(buffer) - at < self.head_bytes:
                break
            end = at + _SCAN_BYTES
            match = self.candidate.search(buffer, at, end)
            if match is None:
                at = max(at, min(end, len(buffer)) - 2)
                break
            at = match.start()
            if len(buffer) - at < self.head_bytes:
                break
            if buffer.startswith(tags.ID3V2, at):
                return at
            self._effort += 1
            header = self._parse(at)
            if header:
                end = at + header.size
                if len(buffer) < end + self.head_bytes:
                    break
                if self._agrees(header, end):
                    return at
            at += 1
        if at <= 0:
            raise Incomplete
        return at

    def _agrees(self, header: FrameHeader, end: int) -> bool:
        following = self._parse(end)
        tagged = self._buffer[end : end + 3] == tags.ID3V1
        return tagged or (following is not None and following.rate == header.rate)
