"""WAV: RIFF WAVE, and RF64 or BW64 (EBU Tech 3306, ITU-R BS.2088) for more than 4 GiB.

The `data` chunk says how long it is, and is often wrong: a recorder that still writes, or that died, has counted what
was there at the time. So samples go on behind the declared end unless a chunk stands there (`riff.py`). What stands
behind the samples and is no chunk counts as damage. A restart point's prefix is the `fmt ` chunk and a `data` chunk
header with the bytes that are left (all ones: unknown).
"""

from __future__ import annotations

import struct
from enum import Enum, auto

from workers.media.containers import riff
from workers.media.containers.packet import (
    Codec,
    DamagedError,
    Demuxer,
    Incomplete,
    Packet,
    PcmEncoding,
    Track,
    check_skip,
)
from workers.media.containers.raw import PLACEHOLDERS, RATES, TRACK, PcmDemuxer
from workers.media.errors import MediaError

_UNKNOWN = 0xFFFF_FFFF
_LARGEST = _UNKNOWN - 0x100
_EXTENSIBLE = 0xFFFE
_FORMAT_BYTES = 64
_MAX_LONG = 1 << 52

_ENCODINGS = {
    (1, 1): PcmEncoding.U8,
    (1, 2): PcmEncoding.S16,
    (1, 3): PcmEncoding.S24,
    (1, 4): PcmEncoding.S32,
    (3, 4): PcmEncoding.F32,
    (3, 8): PcmEncoding.F64,
    (6, 1): PcmEncoding.ALAW,
    (7, 1): PcmEncoding.MULAW,
}
_BLOCK_CODECS = {0x02: Codec.ADPCM_MS, 0x11: Codec.ADPCM_IMA, 0x31: Codec.GSM_MS}
"""Codecs whose blocks stand for themselves, or nearly so: one block is one packet."""

_MAX_BLOCK_BYTES = 1 << 14
_OTHERS = {
    0x22: "TrueSpeech",
    0x42: "G.723.1",
    0x45: "G.726",
    0x50: "MP2",
    0x55: "MP3",
    0x64: "G.726",
    0x65: "G.722",
    0xFF: "AAC",
    0x161: "WMA",
    0x162: "WMA Pro",
    0x2000: "AC-3",
}
"""Format tags (RFC 2361) of codecs that are not read inside WAV."""

_LINEAR = (1, 3)
_WHOLE_BYTES = (8, 16, 32, 64)


def _sample_bytes(kind: int, channels: int, align: int, bits: int) -> int:
    """The bytes of one sample; 0: the header contradicts itself.

    PCM and float: `bits` decides, since writers get `align` wrong more often. But 12, 20 or 24 bits may be in a
    larger container, and only `align` tells which.
    """
    if kind in _LINEAR and bits in _WHOLE_BYTES:
        return bits // 8
    width = align // channels if channels else 0
    return width if align == width * channels and 0 < bits <= width * 8 else 0


class _Part(Enum):
    """Where the demuxer stands: DAMAGE behind the samples is counted; END, where a gap hides what it is, is not."""

    START = auto()
    CHUNKS = auto()
    DATA = auto()
    TAIL = auto()
    DAMAGE = auto()
    END = auto()


class WavDemuxer(PcmDemuxer):
    """Bytes of a WAV file to blocks of 10 ms, or to blocks of its codec."""

    def __init__(self) -> None:
        Demuxer.__init__(self)
        self._format = b""
        self._part = _Part.START
        self._left: int | None = 0
        self._riff_end = 0
        self._long_data: int | None = None
        self._behind = 0
        self._set_blocks(1, 1, 1)

    def prefix(self, anchor: int) -> bytes:
        """RIFF, `fmt ` and a `data` chunk of `anchor` bytes, below 0 an unknown number."""
        chunk = b"WAVEfmt " + struct.pack("<I", len(self._format)) + self._format
        whole = len(chunk) + 8 + anchor + self._behind
        if anchor < 0:
            return b"RIFF\xff\xff\xff\xff" + chunk + b"data\xff\xff\xff\xff"
        if whole < _LARGEST:
            return b"RIFF" + struct.pack("<I", whole) + chunk + b"data" + struct.pack("<I", anchor)
        sizes = b"ds64" + struct.pack("<IQQQI", 28, whole + 36, anchor, 0, 0)
        return b"RF64\xff\xff\xff\xff" + chunk[:4] + sizes + chunk[4:] + b"data\xff\xff\xff\xff"

    def finish(self) -> list[Packet]:
        """The samples of the last block."""
        if self._part is not _Part.DATA:
            known = riff.is_chunk(self._buffer + bytes(8), 0, 0)
            self._damaged += len(self._buffer) if self._part is _Part.TAIL and not known else 0
            return []
        size, left = len(self._buffer), self._left
        if left is None:
            found = riff.find_chunk(self._buffer)
            return self._rest(size if found < 0 else found)
        chunk = any(riff.is_chunk(self._buffer, left + pad, self._behind) for pad in (0, 1))
        if chunk or size - left == 1:  # a byte that makes an odd size even
            size = left
        return self._rest(size)

    def _broken_off(self) -> int:
        """The samples that the header promises."""
        return max(0, (self._left or 0) - len(self._buffer)) if self._part is _Part.DATA else 0

    def _forget(self) -> None:
        """After a loss the size of the data chunk is no guide."""
        self._left = None
        if self._part is not _Part.DATA:
            self._part = _Part.END

    def _packet(self, size: int) -> Packet:
        return Packet(TRACK, bytes(self._buffer[:size]), self.position, anchor=-1 if self._left is None else self._left)

    def _rest(self, size: int) -> list[Packet]:
        """The last block: its whole samples."""
        usable = size // self._frame * self._frame
        if self._most == 1 and self._frame > 1:
            usable = size
        return [self._packet(usable)] if usable else []

    def _step(self, packets: list[Packet]) -> int:
        try:
            return self._element(packets)
        except DamagedError:
            self._part = _Part.DAMAGE
            raise

    def _element(self, packets: list[Packet]) -> int:
        match self._part:
            case _Part.START:
                return self._start()
            case _Part.CHUNKS:
                return self._chunk()
            case _Part.DATA:
                return self._endless(packets) if self._left is None else self._counted(self._left, packets)
            case _Part.TAIL:
                return self._tail()
        if not self._buffer:
            raise Incomplete
        self._damaged += len(self._buffer) if self._part is _Part.DAMAGE else 0
        return len(self._buffer)

    def _start(self) -> int:
        buffer = self._buffer
        if len(buffer) < 12:
            raise Incomplete
        if bytes(buffer[:4]) not in (b"RIFF", b"RF64", b"BW64") or buffer[8:12] != b"WAVE":
            raise DamagedError("it does not begin with RIFF WAVE")
        self._riff_end = self.position + 8 + int.from_bytes(buffer[4:8], "little")
        self._long_data = None
        self._part = _Part.CHUNKS
        return 12

    def _chunk(self) -> int:
        buffer = self._buffer
        if len(buffer) < 8:
            raise Incomplete
        kind = bytes(buffer[:4])
        size = int.from_bytes(buffer[4:8], "little")
        if kind == b"data":
            self._begin_data(size)
            return 8
        if kind not in (b"fmt ", b"ds64"):
            return check_skip(8 + size + (size & 1))
        if not 16 <= size <= 1024:
            raise DamagedError("the format has a wrong size")
        if len(buffer) < 8 + size:
            raise Incomplete
        content = bytes(buffer[8 : 8 + size])
        if kind == b"ds64":
            whole, self._long_data = struct.unpack_from("<QQ", content)
            self._riff_end += whole - _UNKNOWN if whole < _MAX_LONG else 0
        elif not self.tracks:
            self._read_format(content)
        elif content[: len(self._format)] != self._format:
            raise DamagedError("the format changes")
        return 8 + size + (size & 1)

    def _begin_data(self, size: int) -> None:
        if not self.tracks:
            raise DamagedError("the data come before their format")
        if size >= _LARGEST:
            size = self._long_data or 0
        self._left = size if 0 < size < _MAX_LONG and size not in PLACEHOLDERS else None
        self._behind = max(0, self._riff_end - self.position - 8 - size)
        self._part = _Part.DATA

    def _endless(self, packets: list[Packet]) -> int:
        """Samples of unknown number: a chunk that cannot be mistaken ends them."""
        found = riff.find_chunk(self._buffer)
        if found < 0:
            return self._blocks(len(self._buffer) - riff.LOOK_AHEAD, packets)
        size = min(found // self._block, self._most) * self._block
        if size:
            packets.append(self._packet(size))
            return size
        packets += self._rest(found)
        self._part = _Part.TAIL
        return found

    def _counted(self, left: int, packets: list[Packet]) -> int:
        if left >= self._block:
            size = self._blocks(min(len(self._buffer), left), packets)
            self._left = left - size
            return size
        if len(self._buffer) < left + 1 + riff.LOOK_AHEAD:
            raise Incomplete
        for pad in (0, 1):
            if riff.is_chunk(self._buffer, left + pad, self._behind):
                packets += self._rest(left)
                self._part = _Part.TAIL
                return left + pad
        self._left = None
        return 0

    def _tail(self) -> int:
        """Behind the samples: chunks, or bytes that make no sense."""
        buffer = self._buffer
        if len(buffer) < riff.LOOK_AHEAD:
            raise Incomplete
        if bytes(buffer[:4]) in (b"RIFF", b"RF64", b"BW64") and buffer[8:12] == b"WAVE":
            return self._start()
        if buffer[:3] == b"TAG":
            return riff.ID3V1_BYTES
        if buffer[:4] == b"data":
            return self._chunk()
        if riff.is_chunk(buffer, 0, self._riff_end - self.position):
            size = int.from_bytes(buffer[4:8], "little")
            return check_skip(8 + size + (size & 1))
        self._part = _Part.DAMAGE
        return 0

    def _read_format(self, data: bytes) -> None:
        kind, channels, rate, _, align, bits = struct.unpack_from("<HHIIHH", data)
        if kind == _EXTENSIBLE:
            (kind,) = struct.unpack_from("<H", data, 24)
        self._format = data[: min(len(data) & ~1, _FORMAT_BYTES)]
        if kind in _BLOCK_CODECS:
            self._read_block_format(_BLOCK_CODECS[kind], channels, rate, align)
            return
        encoding = _ENCODINGS.get((kind, _sample_bytes(kind, channels, align, bits)))
        if kind in _OTHERS:
            raise MediaError(f"the sound in this WAV is {_OTHERS[kind]}, which is not supported: send PCM or ADPCM")
        if encoding is None:
            raise MediaError("the sound in this WAV is of an unknown kind: send PCM, A-law, mu-law or ADPCM")
        self._set_format(encoding, rate, channels)

    def _read_block_format(self, codec: Codec, channels: int, rate: int, align: int) -> None:
        if rate not in RATES or not 1 <= channels <= 2 or not 4 * channels < align <= _MAX_BLOCK_BYTES:
            raise DamagedError("the sample rate, the channels or the block size is out of range")
        self._set_blocks(align, 1, 1)
        private = self._format[18:] if codec is Codec.ADPCM_MS else b""
        self.tracks = {TRACK: Track(TRACK, codec, private, rate, channels)}
