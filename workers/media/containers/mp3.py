"""MPEG audio of every layer (ISO/IEC 11172-3, 13818-3): a stream of frames, with or without ID3 tags.

The first frame is not audio when it holds a Xing or Info table; behind it LAME and its heirs write how many samples
their encoder put in front.
"""

from __future__ import annotations

import re

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

_TABLE_FIELDS = (4, 4, 100, 4)
"""The fields of a Xing table, each present where a bit of its flags says so: frames, bytes, places, quality."""

_DECODER_DELAY = 529

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


def _encoder_delay(frame: bytes, table: int) -> int:
    """Samples that precede the sound: what the encoder says, and what every decoder of layer III adds."""
    (flags,) = frame[table + 7 : table + 8] or (0,)
    encoder = table + 8 + sum(size for bit, size in enumerate(_TABLE_FIELDS) if flags >> bit & 1)
    delay = frame[encoder + 21 : encoder + 23]
    if not frame[encoder : encoder + 4].isalnum() or len(delay) < 2:
        return 0
    encoded = delay[0] << 4 | delay[1] >> 4
    return encoded + _DECODER_DELAY if encoded else 0


class Mp3Demuxer(FrameDemuxer):
    """Bytes of an MPEG audio stream to its frames."""

    head_bytes = HEAD_BYTES
    name = "MPEG audio"
    candidate = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][\x10-\xef]|ID3")

    def __init__(self, *, resumed: bool = False) -> None:
        super().__init__(Track(TRACK, Codec.MP3), resumed=resumed)

    def _parse(self, at: int) -> FrameHeader | None:
        return parse_header(self._buffer, at)

    def _frame(self, size: int, packets: list[Packet]) -> None:
        first = not self._found
        super()._frame(size, packets)
        if not first:
            return
        frame = packets[-1].data
        table = next((at for at in (frame.find(name, 0, 64) for name in (b"Xing", b"Info")) if at >= 0), None)
        if table is None:
            return
        packets.pop()
        header = parse_header(frame)
        if header:
            self.tracks = {TRACK: Track(TRACK, Codec.MP3, rate=header.rate, delay=_encoder_delay(frame, table))}
