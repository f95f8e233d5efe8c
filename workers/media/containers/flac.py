"""Native FLAC (RFC 9639): STREAMINFO, other metadata (skipped), then frames.

A frame has no length: it ends where a header stands that passes its CRC-8 and carries the number that must come next.
If that header is damaged, two later ones whose numbers follow each other show it: the frame in front is lost with it.
A frame is no longer than its samples would be uncompressed; if no such headers stand within that, it is all damage.
Every frame is a restart point; the prefix is `fLaC` and STREAMINFO (42 bytes).
"""

from __future__ import annotations

from dataclasses import dataclass

from workers.media.containers.packet import (
    MAX_CANDIDATES,
    Codec,
    DamagedError,
    Demuxer,
    Incomplete,
    Packet,
    Track,
    check_skip,
)

_TRACK = 1
_STREAMINFO_BYTES = 34
_MIN_FRAME_BYTES = 9
_MAX_HEADER_BYTES = 16
_MAX_SAMPLE_BITS = 33
_FRAME_OVERHEAD_BYTES = 512
_MAX_AWAITED = 1_024


def _crc8_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
        table.append(crc)
    return tuple(table)


_CRC8 = _crc8_table()


@dataclass(frozen=True, slots=True)
class FlacHeader:
    """A frame header: `number` is the coded frame or sample number, `samples` the block size."""

    variable: bool
    number: int
    samples: int

    @property
    def following(self) -> int:
        """The number of the next frame."""
        return self.number + (self.samples if self.variable else 1)


def parse_header(data: bytearray, at: int) -> FlacHeader | None:
    """The frame header at `at` (RFC 9639, 9.1); None when there is none.

    Raises Incomplete when `data` may end before the header does.
    """
    if len(data) < at + _MAX_HEADER_BYTES:
        raise Incomplete
    block, rate, lead = data[at + 2] >> 4, data[at + 2] & 15, data[at + 4]
    if data[at] != 0xFF or data[at + 1] & 0xFE != 0xF8 or not block or rate == 15 or data[at + 3] & 1:
        return None
    if 0x80 <= lead < 0xC0 or lead == 0xFF:
        return None
    extra = 0 if lead < 0x80 else 7 - (lead ^ 0xFF).bit_length()
    number = lead if not extra else lead & (0x3F >> extra)
    for byte in data[at + 5 : at + 5 + extra]:
        number = number << 6 | byte & 0x3F
    end = at + 5 + extra
    samples = 192 if block == 1 else 576 << (block - 2) if block < 6 else 256 << (block - 8) if block > 7 else 0
    if block in (6, 7):
        samples = int.from_bytes(data[end : end + block - 5], "big") + 1
        end += block - 5
    end += {12: 1, 13: 2, 14: 2}.get(rate, 0)
    crc = 0
    for byte in data[at:end]:
        crc = _CRC8[crc ^ byte]
    return FlacHeader(bool(data[at + 1] & 1), number, samples) if crc == data[end] else None


class FlacDemuxer(Demuxer):
    """Bytes of a FLAC stream to its frames; a frame comes out when the next one begins."""

    def __init__(self) -> None:
        super().__init__()
        self._header = b""
        self._in_metadata = True
        self._block_samples = 0
        self._rate = 1
        self._channels = 1
        self._scanned = 0
        self._current: FlacHeader | None = None
        self._awaited: set[int] = set()

    def prefix(self, anchor: int) -> bytes:
        """`fLaC` and STREAMINFO, marked as the last metadata block."""
        del anchor
        return self._header

    def finish(self) -> list[Packet]:
        """The last frame, which no other follows."""
        if self._in_metadata or self._lost >= 0 or len(self._buffer) < _MIN_FRAME_BYTES or self._current is None:
            return []
        return [self._packet(self._current, len(self._buffer))]

    def _forget(self) -> None:
        self._begin_frame(None)

    def _begin_frame(self, header: FlacHeader | None) -> None:
        self._current, self._scanned = header, 0
        self._awaited.clear()

    def _step(self, packets: list[Packet]) -> int:
        if self._in_metadata:
            return self._metadata()
        if self._current is None:
            self._current = parse_header(self._buffer, 0)
            if self._current is None:
                raise DamagedError("not a frame")
        found = self._next_frame(self._current)
        if found is None:
            return 0
        end, following = found
        packets.append(self._packet(self._current, end))
        self._begin_frame(following)
        return end

    def _metadata(self) -> int:
        buffer = self._buffer
        if len(buffer) < 4:
            raise Incomplete
        if not self._header:
            if buffer[:4] != b"fLaC":
                raise DamagedError("it does not begin with fLaC")
            if len(buffer) < 8 + _STREAMINFO_BYTES:
                raise Incomplete
            if buffer[4] & 0x7F or int.from_bytes(buffer[5:8], "big") != _STREAMINFO_BYTES:
                raise DamagedError("STREAMINFO is missing")
            self._streaminfo(bytes(buffer[8 : 8 + _STREAMINFO_BYTES]))
            self._in_metadata = not buffer[4] & 0x80
            return 8 + _STREAMINFO_BYTES
        self._in_metadata = not buffer[0] & 0x80
        return check_skip(4 + int.from_bytes(buffer[1:4], "big"))

    def _streaminfo(self, info: bytes) -> None:
        self._header = b"fLaC\x80\0\0" + bytes([_STREAMINFO_BYTES]) + info
        packed = int.from_bytes(info[10:14], "big")
        self._block_samples = int.from_bytes(info[2:4], "big")
        self._rate = packed >> 12
        self._channels = (packed >> 9 & 7) + 1
        if not self._rate:
            raise DamagedError("STREAMINFO has no sample rate")
        self.tracks = {_TRACK: Track(_TRACK, Codec.FLAC, info, self._rate, self._channels)}

    def _next_frame(self, current: FlacHeader) -> tuple[int, FlacHeader] | None:
        """Where the next frame begins, and its header; remembers how far it has looked. None: not found yet.

        Raises DamagedError when the frame would be longer than its samples.
        """
        buffer = self._buffer
        longest = current.samples * self._channels * _MAX_SAMPLE_BITS // 8 + _FRAME_OVERHEAD_BYTES
        due = current.following
        at = max(self._scanned, _MIN_FRAME_BYTES)
        for _ in range(MAX_CANDIDATES):
            at = buffer.find(b"\xff", at, longest)
            if at < 0:
                self._scanned = min(len(buffer), longest)
                if self._scanned == longest:
                    raise DamagedError("a frame without end", drop=longest)
                raise Incomplete
            self._scanned = at
            self._effort += 1
            header = parse_header(buffer, at)
            if header and header.variable == current.variable:
                if header.number == due:
                    return at, header
                self._check_later(header, due)
            at += 1
        self._scanned = at
        return None

    def _check_later(self, header: FlacHeader, due: int) -> None:
        """Raise DamagedError for the second of two headers beyond the one that is due; one alone may be chance."""
        if header.number in self._awaited:
            raise DamagedError("the header of a frame is damaged")
        if header.number > due and len(self._awaited) < _MAX_AWAITED:
            self._awaited.add(header.following)

    def _packet(self, header: FlacHeader, size: int) -> Packet:
        first = header.number if header.variable else header.number * self._block_samples
        return Packet(_TRACK, bytes(self._buffer[:size]), self.position, pts=first * 1000 / self._rate)

    def _seek(self) -> int:
        """The next valid header, whatever its number."""
        self._forget()
        at = self._buffer.find(b"\xff")
        for _ in range(MAX_CANDIDATES):
            if at < 0:
                break
            self._effort += 1
            try:
                header = parse_header(self._buffer, at)
            except Incomplete:
                if at:
                    return at
                raise
            if header:
                return at
            at = self._buffer.find(b"\xff", at + 1)
        if at > 0:
            return at
        if not self._buffer:
            raise Incomplete
        return len(self._buffer)
