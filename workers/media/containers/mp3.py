"""MPEG audio of every layer (ISO/IEC 11172-3, 13818-3): a stream of frames, with or without ID3 tags.

The first frame is not audio when it holds a Xing or Info table.
"""

from __future__ import annotations

from workers.media.containers.packet import Codec, Packet, Track
from workers.media.containers.synced import TRACK, FrameDemuxer, FrameHeader

HEAD_BYTES = 4
_MPEG1 = 3
_LAYER1, _LAYER2, _LAYER3 = 3, 2, 1
_RATES = (44_100, 48_000, 32_000)
_KBITS = {
    (True, _LAYER1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, _LAYER2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, _LAYER3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, _LAYER1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, _LAYER2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, _LAYER3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}

Mp3Header = FrameHeader


def parse_header(data: bytes | bytearray, at: int = 0) -> Mp3Header | None:
    """The frame header in the four bytes at `at`; None when there is none. Free format is not read."""
    if data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, data[at + 1] >> 1 & 3
    bits, rate = data[at + 2] >> 4, data[at + 2] >> 2 & 3
    if layer == 0 or version == 1 or bits in (0, 15) or rate == 3:
        return None
    mpeg1 = version == _MPEG1
    hertz = _RATES[rate] >> {_MPEG1: 0, 2: 1, 0: 2}[version]
    bit_rate, pad = _KBITS[mpeg1, layer][bits] * 1000, data[at + 2] >> 1 & 1
    if layer == _LAYER1:
        size = (12 * bit_rate // hertz + pad) * 4
    else:
        size = (144 if mpeg1 or layer == _LAYER2 else 72) * bit_rate // hertz + pad
    return Mp3Header(size, hertz, 1 if data[at + 3] >> 6 == 3 else 2)


class Mp3Demuxer(FrameDemuxer):
    """Bytes of an MPEG audio stream to its frames."""

    head_bytes = HEAD_BYTES
    name = "MPEG audio"

    def __init__(self, *, resumed: bool = False) -> None:
        super().__init__(Track(TRACK, Codec.MP3), resumed=resumed)

    def _parse(self, at: int) -> FrameHeader | None:
        return parse_header(self._buffer, at)

    def _frame(self, size: int, packets: list[Packet]) -> None:
        first = not self._found
        super()._frame(size, packets)
        if first and any(name in packets[-1].data[:64] for name in (b"Xing", b"Info")):
            packets.pop()
