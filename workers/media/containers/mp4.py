"""MP4, QuickTime and 3GP (ISO/IEC 14496-12): in fragments, or in one piece whose index comes first.

In fragments: ftyp, moov, then pairs of moof and mdat. A moof is a restart point, made self-describing by its tfdt; the
prefix is ftyp and moov. Sample offsets are taken from the first byte of the moof, as `default-base-is-moof` says and as
writers of an explicit base mean it. A sample leaves as soon as its last byte is here, not with the end of its mdat: a
file may hold one fragment only.

In one piece: the moov box says where every sample lies (`mp4_index.py`), so the boxes around them do not matter. Every
sample is a restart point; the prefix is what is left of the index, in a box of our own. Where chunks are lost nobody
knows how many bytes they had, so the rest of such a file cannot be read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from workers.media.containers import mp4_index
from workers.media.containers.mp4_tracks import boxes, parse_movie
from workers.media.containers.packet import (
    MAX_CANDIDATES,
    Codec,
    DamagedError,
    Demuxer,
    Incomplete,
    Packet,
    check_header,
    check_size,
    check_skip,
)
from workers.media.errors import MediaError

_MAX_MOOV_BYTES = 8 << 20
_CARRIED = b"tkix"
"""Our box around an index in a prefix."""


_MAX_FRAGMENT_SAMPLES = 65_536
_SAMPLES_A_STEP = 256
_MIN_MOOF_BYTES = 24
_NOT_SYNC = 0x10000


@dataclass(frozen=True, slots=True)
class _Sample:
    """One sample of a fragment; `offset` is from the first byte of the moof, `pts` in milliseconds."""

    track: int
    offset: int
    size: int
    pts: float
    key: bool


@dataclass(frozen=True, slots=True)
class _Defaults:
    """What trex and tfhd say for samples that do not say it themselves; duration in the track's timescale."""

    duration: int = 0
    size: int = 0
    flags: int = 0


class Mp4Demuxer(Demuxer):
    """Bytes of an MP4 recording to packets of all its tracks; `resumed`: they begin with a prefix."""

    def __init__(self, *, resumed: bool = False) -> None:
        super().__init__()
        self._resumed = resumed
        self._index: mp4_index.SampleIndex | None = None
        self._in_index = False
        self._shift = 0  # from an offset in the file to one of this demuxer
        self._header = b""
        self._timescales: dict[int, int] = {}
        self._edits: dict[int, int] = {}
        self._defaults: dict[int, _Defaults] = {}
        self._samples: Iterator[_Sample] = iter(())
        self._sample: _Sample | None = None
        self._left = self._unused = -1
        self._moof_at = 0

    @property
    def floor(self) -> int:
        """The moof whose mdat is not all here yet."""
        return self._moof_at if self._sample else self.position

    def prefix(self, anchor: int) -> bytes:
        """ftyp and moov, if fragments come; and, with an `anchor` above 0, the index from that sample on."""
        if self._index is None or not anchor:
            return self._header
        carried = self._index.carried(anchor - 1)
        return self._header + struct.pack(">I4s", 8 + len(carried), _CARRIED) + carried

    def resynchronise(self) -> None:
        """See `Demuxer`. Raises MediaError for a recording in one piece."""
        if self._in_index:
            raise MediaError("a part of this MP4 is lost, and without fragments the rest cannot be read")
        super().resynchronise()

    def _broken_off(self) -> int:
        """The samples that the index or a fragment promises, or a fragment whose own index is not here whole."""
        if self._index is not None and self._in_index:
            return self._index.left_bytes()
        if self._sample is not None:
            return self._sample.size + sum(sample.size for sample in self._samples)
        return len(self._buffer) if self._buffer[4:8] == b"moof" else 0

    def _forget(self) -> None:
        self._samples, self._sample = iter(()), None

    def _step(self, packets: list[Packet]) -> int:
        if self._index is not None and self._in_index:
            return self._indexed(self._index, packets)
        buffer = self._buffer
        if len(buffer) < 8:
            raise Incomplete
        size, kind = struct.unpack_from(">I4s", buffer)
        head = 8
        if size == 1:
            if len(buffer) < 16:
                raise Incomplete
            (size,), head = struct.unpack_from(">Q", buffer, 8), 16
        if kind == b"mdat" and not self.tracks:
            raise MediaError(
                "the index of this MP4 (its moov box) stands at its end: send it first, as `ffmpeg -i IN -c copy "
                "-movflags +faststart OUT.mp4` writes it, or send the recording in fragments"
            )
        if size < head or not all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in kind):
            raise DamagedError("not a box")
        if kind not in self._read_boxes() or (kind == b"mdat" and self._sample is None):
            return check_skip(size)
        if kind == b"moov" and size > _MAX_MOOV_BYTES:
            raise mp4_index.too_long()
        if kind != b"moov":
            check_size(size)
        if kind == b"mdat" and self._data(size, packets):
            return 0
        if len(buffer) < size:
            raise Incomplete
        self._box(kind, bytes(buffer[:size]), head)
        return int(size)

    def _read_boxes(self) -> tuple[bytes, ...]:
        return (b"ftyp", b"moov", b"moof", b"mdat", _CARRIED) if self._resumed else (b"ftyp", b"moov", b"moof", b"mdat")

    def _indexed(self, index: mp4_index.SampleIndex, packets: list[Packet]) -> int:
        """The next sample of a recording in one piece, or the bytes before it."""
        sample = index.peek()
        if not self._buffer:
            raise Incomplete
        if sample is None:
            if self._defaults:  # the rest is in fragments
                self._in_index, self._lost = False, 0
                return 0
            return len(self._buffer)
        gap = sample.offset - self._shift - self.position
        if gap < 0:
            raise MediaError("the index of this MP4 names bytes that come before it: send the index first")
        if gap:
            return gap
        if len(self._buffer) < sample.size:
            raise Incomplete
        data = bytes(self._buffer[: sample.size])
        packets.append(Packet(sample.track, data, self.position, sample.pts, sample.key, sample.number + 1))
        index.advance()
        return sample.size

    def _box(self, kind: bytes, box: bytes, head: int) -> None:
        if kind == _CARRIED:
            self._index, self._in_index = mp4_index.restore(box[head:]), True
            self.tracks = self._index.tracks
            sample = self._index.peek()
            self._shift = (sample.offset if sample else 0) - self.position - len(box)
        elif kind == b"moof":
            if not self.tracks:
                raise DamagedError("a fragment comes before the moov box")
            self._samples = self._fragment(box, head)
            if self.origin is None:  # a fragment holds its tracks one after the other
                samples = list(self._samples)
                self.origin = min((sample.pts for sample in samples), default=None)
                self._samples = iter(samples)
                self._effort = len(samples)
            self._sample = next(self._samples, None)
            self._moof_at = self.position
            self._left = -1
        elif kind == b"mdat":
            self._forget()
        elif kind == b"ftyp" and not self.tracks:
            self._header = check_header(self._header + box)
        elif kind == b"moov" and not self.tracks:
            self._movie(box, head)

    def _data(self, size: int, packets: list[Packet]) -> bool:
        """The next samples of the mdat at the start of the buffer, in order, as far as they are here.

        Returns whether there may be more. A sample has a byte at least, nearly always.
        """
        shift = self._moof_at - self.position
        if self._left < 0:
            self._left = self._unused = size
        for _ in range(_SAMPLES_A_STEP):
            sample = self._sample
            if sample is None:
                return False
            at = sample.offset + shift
            if at >= 0 and at + sample.size <= size:
                if at + sample.size > len(self._buffer):
                    return False
                self._unused -= sample.size
                if self._unused < 0:
                    raise DamagedError("the samples of a fragment overlap")
                data = bytes(self._buffer[at : at + sample.size])
                packets.append(Packet(sample.track, data, self._moof_at, pts=sample.pts, key=sample.key))
            self._left -= 1
            if self._left < 0:
                raise DamagedError("a fragment has more samples than bytes")
            self._sample = next(self._samples, None)
        return True

    def _movie(self, moov: bytes, head: int) -> None:
        movie = parse_movie(moov[head:])
        for each in movie.tracks:
            self._timescales[each.track.number] = each.timescale
            self._edits[each.track.number] = mp4_index.shift(each, movie.timescale)
        for number, duration, size, flags in movie.fragment_defaults:
            self._defaults[number] = _Defaults(duration, size, flags)
        if self._defaults:
            self._header = check_header(self._header + moov)
        if not self._resumed:
            self._index = mp4_index.build(movie)
        if self._index is not None:
            self._in_index = True
            self.origin = self._index.first_pts
        elif not self._defaults and any(each.track.codec is not Codec.UNKNOWN for each in movie.tracks):
            raise MediaError("the index of this MP4 names no samples")
        self.tracks = {each.track.number: each.track for each in movie.tracks}

    def _fragment(self, moof: bytes, head: int) -> Iterator[_Sample]:
        """The samples of a fragment, made as they are needed: a few bytes can promise many."""
        left = _MAX_FRAGMENT_SAMPLES
        for kind, traf in boxes(moof, head):
            if kind != b"traf":
                continue
            number, decode_time, offset = 0, 0, len(moof) + 8
            defaults = _Defaults()
            for inner, content in boxes(traf):
                if inner == b"tfhd":
                    number = struct.unpack_from(">I", content, 4)[0]
                    defaults = _header_defaults(content, self._defaults.get(number, defaults))
                elif inner == b"tfdt":
                    decode_time = struct.unpack_from(">Q" if content[0] else ">I", content, 4)[0]
                    decode_time -= self._edits.get(number, 0)
                elif inner == b"trun" and number in self._timescales:
                    run = _Run(number, self._timescales[number], defaults, decode_time, offset)
                    for sample in run.samples(content, left):
                        left -= 1
                        yield sample
                    decode_time, offset = run.decode_time, run.offset

    def _seek(self) -> int:
        """The next moof: its size is plausible and its first child is an mfhd."""
        buffer = self._buffer
        at = buffer.find(b"moof")
        for _ in range(MAX_CANDIDATES):
            if at < 0:
                return self._drop(len(buffer) - 7)
            self._effort += 1
            start = at - 4
            if start >= 0:
                if len(buffer) < at + 12:
                    return self._drop(start)
                size = int.from_bytes(buffer[start:at], "big")
                if size >= _MIN_MOOF_BYTES and buffer[at + 8 : at + 12] == b"mfhd":
                    return start
            at = buffer.find(b"moof", at + 1)
        return self._drop(at - 4 if at >= 0 else len(buffer) - 7)

    @staticmethod
    def _drop(size: int) -> int:
        if size <= 0:
            raise Incomplete
        return size


@dataclass(slots=True)
class _Run:
    """A track run, read sample by sample; `decode_time` and `offset` move on."""

    track: int
    timescale: int
    defaults: _Defaults
    decode_time: int
    offset: int

    def samples(self, trun: bytes, most: int) -> Iterator[_Sample]:
        flags = int.from_bytes(trun[1:4], "big")
        (count,) = struct.unpack_from(">I", trun, 4)
        if count > most:
            raise DamagedError("a fragment has too many samples")
        at = 8
        first_flags = self.defaults.flags
        if flags & 0x001:
            (self.offset,) = struct.unpack_from(">i", trun, at)
            at += 4
        if flags & 0x004:
            (first_flags,) = struct.unpack_from(">I", trun, at)
            at += 4
        for index in range(count):
            duration, size = self.defaults.duration, self.defaults.size
            sample_flags = self.defaults.flags if index else first_flags
            shift = 0
            if flags & 0x100:
                (duration,) = struct.unpack_from(">I", trun, at)
                at += 4
            if flags & 0x200:
                (size,) = struct.unpack_from(">I", trun, at)
                at += 4
            if flags & 0x400:
                (sample_flags,) = struct.unpack_from(">I", trun, at)
                at += 4
            if flags & 0x800:
                (shift,) = struct.unpack_from(">i", trun, at)
                at += 4
            pts = (self.decode_time + shift) * 1000 / self.timescale
            yield _Sample(self.track, self.offset, size, pts, not sample_flags & _NOT_SYNC)
            self.offset += size
            self.decode_time += duration


def _header_defaults(tfhd: bytes, defaults: _Defaults) -> _Defaults:
    flags = int.from_bytes(tfhd[1:4], "big")
    at = 8 + (8 if flags & 0x01 else 0) + (4 if flags & 0x02 else 0)
    values = [defaults.duration, defaults.size, defaults.flags]
    for index, bit in enumerate((0x08, 0x10, 0x20)):
        if flags & bit:
            (values[index],) = struct.unpack_from(">I", tfhd, at)
            at += 4
    return _Defaults(*values)
