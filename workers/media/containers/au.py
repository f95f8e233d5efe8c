"""AU, the Sun and NeXT sound file: a header of 24 bytes or more, then samples to the end, whatever length it says."""

from __future__ import annotations

import struct

from workers.media.containers.headed import HeadedPcmDemuxer
from workers.media.containers.packet import DamagedError, Incomplete, PcmEncoding, check_skip
from workers.media.errors import MediaError

_HEAD_BYTES = 24
_ENCODINGS = {
    1: PcmEncoding.MULAW,
    2: PcmEncoding.S8,
    3: PcmEncoding.S16_BIG,
    4: PcmEncoding.S24_BIG,
    5: PcmEncoding.S32_BIG,
    6: PcmEncoding.F32_BIG,
    7: PcmEncoding.F64_BIG,
    27: PcmEncoding.ALAW,
}


class AuDemuxer(HeadedPcmDemuxer):
    """Bytes of an AU file to blocks of 10 ms."""

    has_chunks = False

    def _header(self) -> int:
        if len(self._buffer) < _HEAD_BYTES:
            raise Incomplete
        magic, start, _, code, rate, channels = struct.unpack_from(">4s5I", self._buffer)
        if magic != b".snd" or start < _HEAD_BYTES:
            raise DamagedError("it does not begin with .snd")
        if code not in _ENCODINGS:
            raise MediaError("the sound in this AU file is not supported: send PCM, A-law or mu-law")
        self._begin(_ENCODINGS[code], rate, channels, 0)
        return check_skip(start)
