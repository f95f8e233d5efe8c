"""Headerless PCM, and WAV (RIFF WAVE, RF64) around it.

Samples are handed out in blocks of 10 ms, so restart points and packets do not depend on how the bytes were cut. A
WAV's prefix is its `fmt ` chunk and a `data` chunk header with the bytes that are left (all ones: unknown).
"""

from __future__ import annotations

import struct

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

_TRACK = 1
_UNKNOWN = 0xFFFF_FFFF
_BLOCKS_A_SECOND = 100
_EXTENSIBLE = 0xFFFE
_FORMAT_BYTES = 40
_MAX_CHANNELS = 8
_MIN_RATE = 4_000
_MAX_RATE = 192_000

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


class PcmDemuxer(Demuxer):
    """Bare interleaved samples to blocks of 10 ms, several to a packet up to a second.

    `encoding`, `rate` (samples per second) and `channels` come from the negotiated format. Raises MediaError when they
    are out of range.
    """

    has_pts = False

    def __init__(self, encoding: PcmEncoding, rate: int, channels: int) -> None:
        super().__init__()
        self._set_format(encoding, rate, channels)

    def prefix(self, anchor: int) -> bytes:
        """Nothing: the format was negotiated."""
        del anchor
        return b""

    def finish(self) -> list[Packet]:
        """The whole samples of the last block."""
        packets: list[Packet] = []
        size = len(self._buffer) // self._frame * self._frame
        if size:
            packets.append(self._packet(size))
            self._consume(size)
        return packets

    def _set_format(self, encoding: PcmEncoding, rate: int, channels: int) -> None:
        if not _MIN_RATE <= rate <= _MAX_RATE or not 1 <= channels <= _MAX_CHANNELS:
            raise DamagedError("the sample rate or the number of channels is out of range")
        self._frame = encoding.sample_bytes * channels
        self._block = rate // _BLOCKS_A_SECOND * self._frame
        self.tracks = {_TRACK: Track(_TRACK, Codec.PCM, rate=rate, channels=channels, pcm=encoding)}

    def _packet(self, size: int) -> Packet:
        return Packet(_TRACK, bytes(self._buffer[:size]), self.position)

    def _step(self, packets: list[Packet]) -> int:
        size = min(len(self._buffer) // self._block, _BLOCKS_A_SECOND) * self._block
        if not size:
            raise Incomplete
        packets.append(self._packet(size))
        return size

    def _seek(self) -> int:
        return 0


class WavDemuxer(PcmDemuxer):
    """Bytes of a WAV file to blocks of 10 ms."""

    def __init__(self) -> None:
        Demuxer.__init__(self)
        self._format = b""
        self._left: int | None = None
        self._ended = False
        self._riff = False
        self._frame = 1
        self._block = 1

    def prefix(self, anchor: int) -> bytes:
        """RIFF, `fmt ` and a `data` chunk of `anchor` bytes."""
        chunk = b"fmt " + struct.pack("<I", len(self._format)) + self._format
        return b"RIFF\xff\xff\xff\xffWAVE" + chunk + b"data" + struct.pack("<I", anchor)

    def finish(self) -> list[Packet]:
        """The whole samples of the last block, when the samples run to the end."""
        return super().finish() if self._in_data else []

    @property
    def _in_data(self) -> bool:
        return self._left is not None and not self._ended

    def _forget(self) -> None:
        """After a loss the size of the data chunk is no guide."""
        if self._in_data:
            self._left = _UNKNOWN

    def _packet(self, size: int) -> Packet:
        left = _UNKNOWN if self._left is None else self._left
        return Packet(_TRACK, bytes(self._buffer[:size]), self.position, anchor=left)

    def _step(self, packets: list[Packet]) -> int:
        if self._left is None:
            return self._chunk()
        if self._ended:
            if not self._buffer:
                raise Incomplete
            return len(self._buffer)
        if self._left == _UNKNOWN:
            return super()._step(packets)
        if not self._left:
            self._ended = True
            raise Incomplete
        whole = self._left if self._left < self._block else self._block
        size = min(len(self._buffer), self._left, _BLOCKS_A_SECOND * self._block) // whole * whole
        if not size:
            raise Incomplete
        usable = size // self._frame * self._frame
        if usable:
            packets.append(self._packet(usable))
        self._left -= size
        return size

    def _chunk(self) -> int:
        buffer = self._buffer
        if not self._riff:
            if len(buffer) < 12:
                raise Incomplete
            if bytes(buffer[:4]) not in (b"RIFF", b"RF64") or buffer[8:12] != b"WAVE":
                raise DamagedError("it does not begin with RIFF WAVE")
            self._riff = True
            return 12
        if len(buffer) < 8:
            raise Incomplete
        kind = bytes(buffer[:4])
        size = int.from_bytes(buffer[4:8], "little")
        if kind == b"data":
            if not self.tracks:
                raise DamagedError("the data come before their format")
            self._left = size if 0 < size < _UNKNOWN - 0xFF else _UNKNOWN
            return 8
        if kind != b"fmt ":
            return check_skip(8 + size + (size & 1))
        if not 16 <= size <= 1024:
            raise DamagedError("the format has a wrong size")
        if len(buffer) < 8 + size:
            raise Incomplete
        self._read_format(bytes(buffer[8 : 8 + size]))
        return 8 + size + (size & 1)

    def _read_format(self, data: bytes) -> None:
        kind, channels, rate, _, align, bits = struct.unpack_from("<HHIIHH", data)
        if kind == _EXTENSIBLE:
            (kind,) = struct.unpack_from("<H", data, 24)
        width = align // channels if channels else 0
        encoding = _ENCODINGS.get((kind, width))
        if encoding is None or align != width * channels or not (width - 1) * 8 < bits <= width * 8:
            raise DamagedError("this kind of PCM is not read")
        self._format = data[: min(len(data) & ~1, _FORMAT_BYTES)]
        self._set_format(encoding, rate, channels)
