"""CAF, the Core Audio Format (Apple): chunks; `desc` with the format, `data` with the samples."""

from __future__ import annotations

import math
import struct

from workers.media.containers.headed import HeadedPcmDemuxer, other_codec
from workers.media.containers.packet import DamagedError, Incomplete, PcmEncoding, check_skip

_DESCRIPTION_BYTES = 32
_FLOAT, _LITTLE = 1, 2
_ENCODINGS = {
    (b"lpcm", 0, 1): PcmEncoding.S8,
    (b"lpcm", _LITTLE, 1): PcmEncoding.S8,
    (b"lpcm", 0, 2): PcmEncoding.S16_BIG,
    (b"lpcm", _LITTLE, 2): PcmEncoding.S16,
    (b"lpcm", 0, 3): PcmEncoding.S24_BIG,
    (b"lpcm", _LITTLE, 3): PcmEncoding.S24,
    (b"lpcm", 0, 4): PcmEncoding.S32_BIG,
    (b"lpcm", _LITTLE, 4): PcmEncoding.S32,
    (b"lpcm", _FLOAT, 4): PcmEncoding.F32_BIG,
    (b"lpcm", _FLOAT | _LITTLE, 4): PcmEncoding.F32,
    (b"lpcm", _FLOAT, 8): PcmEncoding.F64_BIG,
    (b"lpcm", _FLOAT | _LITTLE, 8): PcmEncoding.F64,
    (b"ulaw", 0, 1): PcmEncoding.MULAW,
    (b"alaw", 0, 1): PcmEncoding.ALAW,
}


class CafDemuxer(HeadedPcmDemuxer):
    """Bytes of a CAF file of plain samples to blocks of 10 ms."""

    def __init__(self, *, resumed: bool = False) -> None:
        super().__init__(resumed=resumed)
        self._caff = False
        self._description: tuple[PcmEncoding, int, int] | None = None

    def _header(self) -> int:
        buffer = self._buffer
        if not self._caff:
            if len(buffer) < 8:
                raise Incomplete
            if buffer[:4] != b"caff":
                raise DamagedError("it does not begin with caff")
            self._caff = True
            return 8
        if len(buffer) < 12:
            raise Incomplete
        kind, size = struct.unpack_from(">4sq", buffer)
        if kind == b"data":
            if self._description is None:
                raise DamagedError("the samples come before their format")
            self._begin(*self._description, size - 4)
            return 16  # the samples follow a count of edits
        if size < 0:
            raise DamagedError("a chunk has no size")
        if kind != b"desc":
            return check_skip(12 + size)
        if size != _DESCRIPTION_BYTES:
            raise DamagedError("the format has a wrong size")
        if len(buffer) < 12 + _DESCRIPTION_BYTES:
            raise Incomplete
        self._description = _read_description(bytes(buffer[12 : 12 + _DESCRIPTION_BYTES]))
        return 12 + _DESCRIPTION_BYTES


def _read_description(data: bytes) -> tuple[PcmEncoding, int, int]:
    """Encoding, samples a second, channels."""
    rate, name, flags, packet_bytes, _, channels, _ = struct.unpack(">d4sIIIII", data)
    width = packet_bytes // channels if channels else 0
    encoding = _ENCODINGS.get((name, flags & 3 if name == b"lpcm" else 0, width))
    if encoding is None:
        raise other_codec("CAF file", name if name != b"lpcm" else b"?", "WAV, FLAC or M4A")
    return encoding, int(rate) if math.isfinite(rate) else 0, channels
