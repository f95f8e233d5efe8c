"""AIFF and AIFF-C (Apple, 1989 and 1991): chunks in a FORM, COMM with the format, SSND with the samples."""

from __future__ import annotations

import struct

from workers.media.containers.headed import HeadedPcmDemuxer, other_codec
from workers.media.containers.packet import DamagedError, Incomplete, PcmEncoding, check_skip

_BIG = {1: PcmEncoding.S8, 2: PcmEncoding.S16_BIG, 3: PcmEncoding.S24_BIG, 4: PcmEncoding.S32_BIG}
_ENCODINGS = {
    b"sowt": {1: PcmEncoding.S8, 2: PcmEncoding.S16, 3: PcmEncoding.S24, 4: PcmEncoding.S32},
    b"raw ": {1: PcmEncoding.U8},
    b"in24": {3: PcmEncoding.S24_BIG},
    b"in32": {4: PcmEncoding.S32_BIG},
    b"fl32": {4: PcmEncoding.F32_BIG},
    b"fl64": {8: PcmEncoding.F64_BIG},
    b"ulaw": {1: PcmEncoding.MULAW, 2: PcmEncoding.MULAW},
    b"alaw": {1: PcmEncoding.ALAW, 2: PcmEncoding.ALAW},
    b"none": _BIG,
    b"twos": _BIG,
}
_MAX_COMM_BYTES = 1024


class AiffDemuxer(HeadedPcmDemuxer):
    """Bytes of an AIFF or AIFF-C file to blocks of 10 ms."""

    def __init__(self, *, resumed: bool = False) -> None:
        super().__init__(resumed=resumed)
        self._form = False
        self._common: tuple[PcmEncoding, int, int] | None = None

    def _header(self) -> int:
        buffer = self._buffer
        if not self._form:
            if len(buffer) < 12:
                raise Incomplete
            if buffer[:4] != b"FORM" or bytes(buffer[8:12]) not in (b"AIFF", b"AIFC"):
                raise DamagedError("it does not begin with FORM AIFF")
            self._form = True
            return 12
        if len(buffer) < 8:
            raise Incomplete
        kind, size = bytes(buffer[:4]), int.from_bytes(buffer[4:8], "big")
        if kind == b"SSND":
            return self._samples(size)
        if kind != b"COMM":
            return check_skip(8 + size + (size & 1))
        if not 18 <= size <= _MAX_COMM_BYTES:
            raise DamagedError("the format has a wrong size")
        if len(buffer) < 8 + size:
            raise Incomplete
        self._common = _read_common(bytes(buffer[8 : 8 + size]))
        return 8 + size + (size & 1)

    def _samples(self, size: int) -> int:
        if self._common is None:
            raise DamagedError("the samples come before their format")
        if len(self._buffer) < 16:
            raise Incomplete
        offset = int.from_bytes(self._buffer[8:12], "big")
        length = size - 8 - offset if size < 0xFFFF_FF00 else 0
        self._begin(*self._common, length)
        return check_skip(16 + offset)


def _read_common(comm: bytes) -> tuple[PcmEncoding, int, int]:
    """Encoding, samples a second, channels; the rate is an 80-bit float."""
    channels, _, bits, exponent, mantissa = struct.unpack_from(">hIhHQ", comm)
    rate = mantissa >> max(0, 16_446 - (exponent & 0x7FFF))
    name = comm[18:22] or b"NONE"
    width = -(-bits // 8)
    encoding = _ENCODINGS.get(name.lower(), {}).get(width)
    if encoding is None:
        raise other_codec("AIFF", name if name.lower() not in (b"none", b"twos") else b"?", "PCM, WAV or FLAC")
    return encoding, rate, channels
