"""AAC in ADTS frames (ISO/IEC 14496-3, 1.A.2): a stream of frames, each with a header of its own."""

from __future__ import annotations

import re

from workers.media.containers.packet import Codec, Track
from workers.media.containers.synced import TRACK, FrameDemuxer, FrameHeader

HEAD_BYTES = 7
_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)


def parse_header(data: bytes | bytearray, at: int = 0) -> FrameHeader | None:
    """The frame header in the seven bytes at `at`; None when there is none."""
    if data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:
        return None
    rate = data[at + 2] >> 2 & 15
    channels = (data[at + 2] & 1) << 2 | data[at + 3] >> 6
    size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    if rate >= len(_RATES) or size <= HEAD_BYTES:
        return None
    return FrameHeader(size, _RATES[rate], channels)


class AdtsDemuxer(FrameDemuxer):
    """Bytes of an ADTS stream to its frames, headers included: the decoder reads them."""

    head_bytes = HEAD_BYTES
    name = "AAC"
    candidate = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]|ID3")

    def __init__(self, *, resumed: bool = False) -> None:
        super().__init__(Track(TRACK, Codec.AAC), resumed=resumed)

    def _parse(self, at: int) -> FrameHeader | None:
        return parse_header(self._buffer, at)
