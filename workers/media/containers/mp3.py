"""MPEG audio layer III (ISO/IEC 11172-3, 13818-3): a stream of frames, with or without ID3 tags.

Every frame is a restart point and needs no prefix. The first frame is not audio when it holds a Xing or Info table.
In step, one good header is believed; out of step, a frame counts only when another header follows it.
"""

from __future__ import annotations

from dataclasses import dataclass

from workers.media.containers.packet import Codec, DamagedError, Demuxer, Incomplete, Packet, Track, check_skip

_MPEG1 = 3
_LAYER3 = 1
_RATES = (44_100, 48_000, 32_000)
_KBITS_MPEG1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_MPEG2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_ID3_HEAD = 10
_HEAD = 4
_TRACK = 1


@dataclass(frozen=True, slots=True)
class Mp3Header:
    """A frame: bytes in all, samples per second, channels."""

    size: int
    rate: int
    channels: int


def parse_header(data: bytes | bytearray, at: int = 0) -> Mp3Header | None:
    """The frame header in the four bytes at `at`; None when there is none. Free format is not read."""
    if data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, data[at + 1] >> 1 & 3
    bits, rate = data[at + 2] >> 4, data[at + 2] >> 2 & 3
    if layer != _LAYER3 or version == 1 or bits in (0, 15) or rate == 3:
        return None
    hertz = _RATES[rate] >> {_MPEG1: 0, 2: 1, 0: 2}[version]
    slots = 144 * _KBITS_MPEG1[bits] if version == _MPEG1 else 72 * _KBITS_MPEG2[bits]
    size = slots * 1000 // hertz + (data[at + 2] >> 1 & 1)
    return Mp3Header(size, hertz, 1 if data[at + 3] >> 6 == 3 else 2)


class Mp3Demuxer(Demuxer):
    """Bytes of an MP3 stream to its frames; `resumed`: they begin at a restart point."""

    has_pts = False
    tail_counts = False

    def __init__(self, *, resumed: bool = False) -> None:
        super().__init__()
        self.tracks = {_TRACK: Track(_TRACK, Codec.MP3)}
        self._first = not resumed
        self._lost = -1 if resumed else 0

    def prefix(self, anchor: int) -> bytes:
        """Nothing: a frame stands for itself."""
        del anchor
        return b""

    def finish(self) -> list[Packet]:
        """A lone frame that nothing follows."""
        packets: list[Packet] = []
        if len(self._buffer) > _HEAD:
            header = parse_header(self._buffer)
            if header and len(self._buffer) >= header.size:
                self._frame(header.size, packets)
        return packets

    def _step(self, packets: list[Packet]) -> int:
        buffer = self._buffer
        if len(buffer) < _HEAD:
            raise Incomplete
        if buffer[:3] == b"ID3":
            if len(buffer) < _ID3_HEAD:
                raise Incomplete
            return check_skip(_ID3_HEAD + (buffer[6] << 21 | buffer[7] << 14 | buffer[8] << 7 | buffer[9]))
        header = parse_header(buffer)
        if header is None:
            raise DamagedError("not a frame")
        if len(buffer) < header.size:
            raise Incomplete
        self._frame(header.size, packets)
        return header.size

    def _frame(self, size: int, packets: list[Packet]) -> None:
        frame = bytes(self._buffer[:size])
        table = self._first and (b"Xing" in frame[:64] or b"Info" in frame[:64])
        if not table:
            packets.append(Packet(_TRACK, frame, self.position))
        self._first = False

    def _seek(self) -> int:
        """The next tag, or the next frame that another frame or tag follows."""
        buffer = self._buffer
        at = 0
        while len(buffer) - at >= _HEAD:
            if buffer[at] != 0xFF:
                if buffer[at : at + 3] == b"ID3":
                    return at
                following = [found for found in (buffer.find(b"\xff", at), buffer.find(b"ID3", at)) if found >= 0]
                at = min(following, default=len(buffer) - 2)
                continue
            header = parse_header(buffer, at)
            if header:
                end = at + header.size
                if len(buffer) < end + _HEAD:
                    break
                if self._agrees(header, end):
                    return at
            at += 1
        if at <= 0:
            raise Incomplete
        return at

    def _agrees(self, header: Mp3Header, end: int) -> bool:
        following = parse_header(self._buffer, end)
        return self._buffer[end : end + 3] == b"TAG" or (following is not None and following.rate == header.rate)
