"""AMR and AMR-WB files (RFC 4867, section 5): a magic line, then speech frames of 20 ms.

A frame has no sync word: out of step, one is believed when the next byte could begin another. A restart point's prefix
is the magic.
"""

from __future__ import annotations

import re

from workers.media.containers.packet import Codec, DamagedError, Incomplete, Packet, Track
from workers.media.containers.synced import TRACK, FrameDemuxer, FrameHeader

NARROW, WIDE = b"#!AMR\n", b"#!AMR-WB\n"
_SIZES = {8_000: (12, 13, 15, 17, 19, 20, 26, 31, 5), 16_000: (17, 23, 32, 36, 40, 46, 50, 58, 60, 5)}
"""Bytes that follow the first one of a frame, by its kind."""

_EMPTY_KINDS = (14, 15)
_UNUSED_BITS = 0x83


class AmrDemuxer(FrameDemuxer):
    """Bytes of an AMR file to its frames."""

    name = "AMR"
    head_bytes = 1
    candidate = re.compile(b"[" + b"".join(b"\\x%02x" % byte for byte in range(0, 0x80, 4)) + b"]|ID3")

    def __init__(self) -> None:
        super().__init__(Track(TRACK, Codec.AMR_NB), resumed=True)
        self.tracks = {}
        self._rate = 0

    def prefix(self, anchor: int) -> bytes:
        """The magic."""
        del anchor
        return WIDE if self._rate == 16_000 else NARROW

    def _parse(self, at: int) -> FrameHeader | None:
        sizes = _SIZES[self._rate]
        kind = self._buffer[at] >> 3 & 15
        if self._buffer[at] & _UNUSED_BITS or (kind >= len(sizes) and kind not in _EMPTY_KINDS):
            return None
        return FrameHeader(1 + (sizes[kind] if kind < len(sizes) else 0), self._rate, 1)

    def _step(self, packets: list[Packet]) -> int:
        if self.tracks:
            return super()._step(packets)
        if not self._buffer.startswith((NARROW, WIDE)):
            if WIDE.startswith(self._buffer) or NARROW.startswith(self._buffer):
                raise Incomplete
            raise DamagedError("it does not begin with #!AMR")
        wide = self._buffer.startswith(WIDE)
        self._rate = 16_000 if wide else 8_000
        codec = Codec.AMR_WB if wide else Codec.AMR_NB
        self.tracks = {TRACK: Track(TRACK, codec, rate=self._rate, channels=1)}
        return len(WIDE if wide else NARROW)
