"""Fragmented MP4 (ISO/IEC 14496-12): ftyp, moov, then pairs of moof and mdat.

A moof is a restart point, made self-describing by its tfdt; the prefix is ftyp and moov. Sample offsets are taken from
the first byte of the moof, as `default-base-is-moof` says and as writers of an explicit base mean it. A sample leaves
as soon as its last byte is here, not with the end of its mdat: a file may hold one fragment only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from workers.media.containers.opus import RATE, pre_skip
from workers.media.containers.packet import (
    Codec,
    DamagedError,
    Demuxer,
    Incomplete,
    Packet,
    Track,
    check_header,
    check_size,
    check_skip,
)

_MAX_FRAGMENT_SAMPLES = 65_536
_MIN_MOOF_BYTES = 24
_NOT_SYNC = 0x10000

_CODECS = {
    b"Opus": Codec.OPUS,
    b"mp4a": Codec.AAC,
    b".mp3": Codec.MP3,
    b"fLaC": Codec.FLAC,
    b"avc1": Codec.H264,
    b"avc3": Codec.H264,
    b"vp08": Codec.VP8,
    b"vp09": Codec.VP9,
    b"av01": Codec.AV1,
}
_AUDIO_ENTRY_BYTES = 28
_VIDEO_ENTRY_BYTES = 78
_MP3_OBJECT_TYPES = (0x69, 0x6B)


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


def _boxes(data: bytes, at: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """The boxes inside a box: type and content."""
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            return
        yield kind, data[at + 8 : at + size]
        at += size


def _field(data: bytes, short: int, long: int) -> int:
    """A 32-bit field whose place depends on the version of a full box."""
    return int(struct.unpack_from(">I", data, long if data[0] else short)[0])


class Mp4Demuxer(Demuxer):
    """Bytes of a fragmented MP4 recording to packets of all its tracks."""

    def __init__(self) -> None:
        super().__init__()
        self._header = b""
        self._timescales: dict[int, int] = {}
        self._edits: dict[int, int] = {}
        self._defaults: dict[int, _Defaults] = {}
        self._samples: list[_Sample] = []
        self._next_sample = 0
        self._unused = 0
        self._moof_at = 0

    @property
    def floor(self) -> int:
        """The moof whose mdat is not all here yet."""
        return self._moof_at if self._samples else self.position

    def prefix(self, anchor: int) -> bytes:
        """ftyp and moov."""
        del anchor
        return self._header

    def _forget(self) -> None:
        self._samples = []

    def _step(self, packets: list[Packet]) -> int:
        buffer = self._buffer
        if len(buffer) < 8:
            raise Incomplete
        size, kind = struct.unpack_from(">I4s", buffer)
        head = 8
        if size == 1:
            if len(buffer) < 16:
                raise Incomplete
            (size,), head = struct.unpack_from(">Q", buffer, 8), 16
        if size < head or not all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in kind):
            raise DamagedError("not a box")
        if kind not in (b"ftyp", b"moov", b"moof", b"mdat") or (kind == b"mdat" and not self._samples):
            if not self.tracks and kind == b"mdat":
                raise DamagedError("the MP4 is not fragmented")
            return check_skip(size)
        check_size(size)
        if kind == b"mdat":
            self._data(size, packets)
        if len(buffer) < size:
            raise Incomplete
        self._box(kind, bytes(buffer[:size]), head)
        return int(size)

    def _box(self, kind: bytes, box: bytes, head: int) -> None:
        if kind == b"moof":
            if not self.tracks:
                raise DamagedError("a fragment stands before the moov box")
            self._samples = self._fragment(box, head)
            if self.origin is None and self._samples:  # a fragment holds its tracks one after the other
                self.origin = min(sample.pts for sample in self._samples)
            self._moof_at = self.position
            self._next_sample = self._unused = 0
        elif kind == b"mdat":
            self._samples = []
        elif not self.tracks:
            self._header = check_header(self._header + box)
            if kind == b"moov":
                self._movie(box[head:])

    def _data(self, size: int, packets: list[Packet]) -> None:
        """The next samples of the mdat at the start of the buffer, in order, as far as they are here."""
        shift = self._moof_at - self.position
        if not self._next_sample:
            self._unused = size
        for sample in self._samples[self._next_sample :]:
            at = sample.offset + shift
            if at >= 0 and at + sample.size <= size:
                if at + sample.size > len(self._buffer):
                    return
                self._unused -= sample.size
                if self._unused < 0:
                    raise DamagedError("the samples of a fragment overlap")
                data = bytes(self._buffer[at : at + sample.size])
                packets.append(Packet(sample.track, data, self._moof_at, pts=sample.pts, key=sample.key))
            self._next_sample += 1

    def _movie(self, moov: bytes) -> None:
        tracks: dict[int, Track] = {}
        clock = 1
        for kind, content in _boxes(moov):
            if kind == b"mvhd":
                clock = _field(content, 12, 20) or 1
            elif kind == b"trak":
                track, timescale, edit = _parse_track(content)
                tracks[track.number] = track
                self._timescales[track.number] = timescale
                skipped = edit.start if track.codec.is_video else 0  # audio is trimmed by its decoder
                self._edits[track.number] = skipped - edit.wait * timescale // clock
            elif kind == b"mvex":
                for inner, trex in _boxes(content):
                    if inner == b"trex":
                        number, _, duration, size, flags = struct.unpack_from(">5I", trex, 4)
                        self._defaults[number] = _Defaults(duration, size, flags)
        if not self._defaults:
            raise DamagedError("the MP4 is not fragmented")
        self.tracks = tracks

    def _fragment(self, moof: bytes, head: int) -> list[_Sample]:
        samples: list[_Sample] = []
        for kind, traf in _boxes(moof, head):
            if kind != b"traf":
                continue
            number, decode_time, offset = 0, 0, len(moof) + 8
            defaults = _Defaults()
            for inner, content in _boxes(traf):
                if inner == b"tfhd":
                    number = struct.unpack_from(">I", content, 4)[0]
                    defaults = _header_defaults(content, self._defaults.get(number, defaults))
                elif inner == b"tfdt":
                    decode_time = struct.unpack_from(">Q" if content[0] else ">I", content, 4)[0]
                    decode_time -= self._edits.get(number, 0)
                elif inner == b"trun" and number in self._timescales:
                    run = _Run(number, self._timescales[number], defaults, decode_time, offset)
                    samples += run.samples(content, _MAX_FRAGMENT_SAMPLES - len(samples))
                    decode_time, offset = run.decode_time, run.offset
        return samples

    def _seek(self) -> int:
        """The next moof: its size is plausible and its first child is an mfhd."""
        buffer = self._buffer
        at = buffer.find(b"moof")
        while at >= 0:
            start = at - 4
            if start >= 0:
                if len(buffer) < at + 12:
                    return self._drop(start)
                size = int.from_bytes(buffer[start:at], "big")
                if size >= _MIN_MOOF_BYTES and buffer[at + 8 : at + 12] == b"mfhd":
                    return start
            at = buffer.find(b"moof", at + 1)
        return self._drop(len(buffer) - 7)

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


@dataclass(frozen=True, slots=True)
class _Edit:
    """When a presentation begins, in the movie's timescale, and where in the media, in the track's."""

    wait: int = 0
    start: int = 0


def _parse_track(trak: bytes) -> tuple[Track, int, _Edit]:
    """A track, its timescale (units a second), and its edit."""
    boxes = dict(_boxes(trak))
    number = _field(boxes[b"tkhd"], 12, 20)
    media = dict(_boxes(boxes[b"mdia"]))
    timescale = _field(media[b"mdhd"], 12, 20)
    if not timescale:
        raise DamagedError("a track has no timescale")
    table = dict(_boxes(dict(_boxes(media[b"minf"]))[b"stbl"]))[b"stsd"]
    size, kind = struct.unpack_from(">I4s", table, 8)
    track = _sample_entry(number, _CODECS.get(kind, Codec.UNKNOWN), table[16 : 8 + size])
    edit = _edit(boxes.get(b"edts", b""))
    started = edit.start * track.rate // timescale
    delay = max(track.delay, started) if started <= track.rate else track.delay
    return Track(number, track.codec, track.private, track.rate, track.channels, delay), timescale, edit


def _edit(edts: bytes) -> _Edit:
    """The edit list (ISO/IEC 14496-12 8.6.6): an empty edit waits, the first other one says where the media starts.

    That is the encoder's priming, or room for B-frames.
    """
    elst = dict(_boxes(edts)).get(b"elst", b"")
    if len(elst) < 20:
        return _Edit()
    wait = 0
    layout, step = (">Qq", 20) if elst[0] else (">Ii", 12)
    for at in range(8, len(elst) - step + 1, step):
        duration, start = struct.unpack_from(layout, elst, at)
        if start >= 0:
            return _Edit(wait, start)
        wait += duration
    return _Edit(wait)


def _sample_entry(number: int, codec: Codec, entry: bytes) -> Track:
    if codec.is_video:
        private = dict(_boxes(entry, _VIDEO_ENTRY_BYTES)).get(b"avcC", b"")
        return Track(number, codec, private)
    if codec is Codec.UNKNOWN:
        return Track(number, codec)
    (channels,) = struct.unpack_from(">H", entry, 16)
    rate = struct.unpack_from(">I", entry, 24)[0] >> 16
    inner = dict(_boxes(entry, _AUDIO_ENTRY_BYTES))
    private = b""
    match codec:
        case Codec.OPUS:
            private = _opus_head(inner[b"dOps"])
            return Track(number, codec, private, RATE, channels, pre_skip(private))
        case Codec.AAC:
            object_type, private = _decoder_config(inner[b"esds"])
            codec = Codec.MP3 if object_type in _MP3_OBJECT_TYPES else codec
        case Codec.FLAC:
            private = inner[b"dfLa"][8:42]
    return Track(number, codec, private, rate, channels)


def _opus_head(box: bytes) -> bytes:
    """OpusSpecificBox (big-endian) as the OpusHead of RFC 7845 (little-endian)."""
    skip, rate, gain = struct.unpack_from(">HIh", box, 2)
    return b"OpusHead\x01" + box[1:2] + struct.pack("<HIh", skip, rate, gain) + box[10:]


def _decoder_config(esds: bytes) -> tuple[int, bytes]:
    """Object type and DecoderSpecificInfo of an elementary stream descriptor (ISO/IEC 14496-1, 7.2.6)."""
    at = _descriptor(esds, 4, 3)[0]
    flags = esds[at + 2]
    at += 3 + (2 if flags & 0x80 else 0) + (2 if flags & 0x20 else 0)
    if flags & 0x40:
        at += 1 + esds[at]
    config, _ = _descriptor(esds, at, 4)
    object_type = esds[config]
    if object_type in _MP3_OBJECT_TYPES:
        return object_type, b""
    start, size = _descriptor(esds, config + 13, 5)
    return object_type, esds[start : start + size]


def _descriptor(data: bytes, at: int, tag: int) -> tuple[int, int]:
    """Where a descriptor's content starts, and its size."""
    if data[at] != tag:
        raise DamagedError("the codec's configuration is missing")
    size = 0
    for index in range(at + 1, at + 5):
        size = size << 7 | data[index] & 0x7F
        if not data[index] & 0x80:
            return index + 1, size
    raise DamagedError("the codec's configuration is missing")
