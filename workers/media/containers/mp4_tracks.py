"""The tracks of an MP4's moov box: sample entries (ISO/IEC 14496-12 8.5.2, 14496-14, 14496-15; QuickTime) and edits."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from workers.media.containers.opus import RATE, pre_skip
from workers.media.containers.packet import Codec, DamagedError, PcmEncoding, Track
from workers.media.containers.turn import UPRIGHT, turn_of_headers
from workers.media.errors import MediaError

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
    b"alac": Codec.ALAC,
    b"samr": Codec.AMR_NB,
    b"sawb": Codec.AMR_WB,
}
_PCM: dict[bytes, PcmEncoding | None] = {
    b"ulaw": PcmEncoding.MULAW,
    b"alaw": PcmEncoding.ALAW,
    b"raw ": PcmEncoding.U8,
    **dict.fromkeys((b"sowt", b"twos", b"in24", b"in32", b"fl32", b"fl64", b"lpcm", b"ipcm", b"fpcm")),
}
_NAMES = {
    b"ac-3": "AC-3",
    b"ec-3": "E-AC-3",
    b"hvc1": "HEVC (H.265)",
    b"hev1": "HEVC (H.265)",
    b"mp4v": "MPEG-4 Part 2",
    b"ima4": "IMA ADPCM",
    b"sqcp": "QCELP",
}
_QUICKTIME_BYTES = {1: 16, 2: 36}
"""What versions 1 and 2 of a QuickTime sound description add."""

_AAC_OBJECT_TYPES = (0x40, 0x66, 0x67, 0x68)
_MAX_RATE = 768_000
_MAX_TRACKS = 64
_AUDIO_ENTRY_BYTES = 28
_VIDEO_ENTRY_BYTES = 78
_MP3_OBJECT_TYPES = (0x69, 0x6B)


def boxes(data: bytes, at: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """The boxes inside a box: type and content."""
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            return
        yield kind, data[at + 8 : at + size]
        at += size


def field(data: bytes, short: int, long: int) -> int:
    """A 32-bit field whose place depends on the version of a full box."""
    return int(struct.unpack_from(">I", data, long if data[0] else short)[0])


@dataclass(frozen=True, slots=True)
class Edit:
    """When a presentation begins, in the movie's timescale, and where in the media, in the track's.

    `length`: how much of the media is presented, in the movie's timescale; 0: all, or several parts of it.
    """

    wait: int = 0
    start: int = 0
    length: int = 0


@dataclass(frozen=True, slots=True)
class Movie:
    """A moov box: its tracks of sound and pictures, the movie's own timescale, and what fragments need."""

    tracks: tuple[MovieTrack, ...]
    timescale: int
    fragment_defaults: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class MovieTrack:
    """A track, its timescale (units a second), its edit, and the sample tables by type."""

    track: Track
    timescale: int
    edit: Edit
    tables: dict[bytes, bytes]


def parse_movie(moov: bytes) -> Movie:
    """The content of a moov box. Raises DamagedError."""
    tracks: list[MovieTrack] = []
    defaults: list[tuple[int, int, int, int]] = []
    mvhd = dict(boxes(moov)).get(b"mvhd", b"")
    timescale = field(mvhd, 12, 20) or 1 if mvhd else 1
    for kind, content in boxes(moov):
        if kind == b"trak" and len(tracks) < _MAX_TRACKS:
            tracks += _parse_track(content, mvhd)
        elif kind == b"mvex":
            for inner, trex in boxes(content):
                if inner == b"trex":
                    number, _, duration, size, flags = struct.unpack_from(">5I", trex, 4)
                    defaults.append((number, duration, size, flags))
        elif kind == b"cmov":
            raise MediaError("the index of this MP4 is compressed, which is not supported: send it uncompressed")
    if not defaults:
        tracks = [_from_its_start(each) for each in tracks]
    return Movie(tuple(tracks), timescale, tuple(defaults))


def _from_its_start(each: MovieTrack) -> MovieTrack:
    """The track of a recording in one piece: it is heard from where its edit starts, however far that is."""
    started = each.edit.start * each.track.rate // each.timescale
    return replace(each, track=replace(each.track, delay=max(each.track.delay, started)))


def _parse_track(trak: bytes, mvhd: bytes) -> list[MovieTrack]:
    """A track of sound or pictures; none for one of text or times."""
    parts = dict(boxes(trak))
    number = field(parts[b"tkhd"], 12, 20)
    media = dict(boxes(parts[b"mdia"]))
    handler = media.get(b"hdlr", b"")[8:12]
    if handler not in (b"soun", b"vide"):
        return []
    timescale = field(media[b"mdhd"], 12, 20)
    if not timescale:
        raise DamagedError("a track has no timescale")
    tables = dict(boxes(dict(boxes(media[b"minf"]))[b"stbl"]))
    table = tables.pop(b"stsd")
    size, kind = struct.unpack_from(">I4s", table, 8)
    codec = _CODECS.get(kind, Codec.PCM if kind in _PCM else Codec.UNKNOWN)
    track = _sample_entry(number, codec, kind, table[16 : 8 + size])
    if track.codec is Codec.UNKNOWN:
        track = replace(track, name=_shown(kind), kind="audio" if handler == b"soun" else "video")
    edit = _edit(parts.get(b"edts", b""))
    started = edit.start * track.rate // timescale
    delay = max(track.delay, started) if started <= track.rate else track.delay
    turn = turn_of_headers(parts[b"tkhd"], mvhd) if track.codec.is_video else UPRIGHT
    return [MovieTrack(replace(track, delay=delay, turn=turn), timescale, edit, tables)]


def _edit(edts: bytes) -> Edit:
    """The edit list (ISO/IEC 14496-12 8.6.6): an empty edit waits, the first other one says where the media starts.

    That is the encoder's priming, or room for B-frames; or the part of the media that somebody has cut out.
    """
    elst = dict(boxes(edts)).get(b"elst", b"")
    if len(elst) < 20:
        return Edit()
    wait = 0
    layout, step = (">Qq", 20) if elst[0] else (">Ii", 12)
    for at in range(8, len(elst) - step + 1, step):
        duration, start = struct.unpack_from(layout, elst, at)
        if start >= 0:
            is_last = at + 2 * step > len(elst)
            return Edit(wait, start, duration if is_last else 0)
        wait += duration
    return Edit(wait)


def _shown(kind: bytes) -> str:
    name = kind.decode("ascii", "replace").strip()
    return _NAMES.get(kind, name if name.replace("-", "").isalnum() else "of an unknown codec")


def _sample_entry(number: int, codec: Codec, kind: bytes, entry: bytes) -> Track:
    if codec.is_video:
        private = dict(boxes(entry, _VIDEO_ENTRY_BYTES)).get(b"avcC", b"")
        return Track(number, codec, private)
    if codec is Codec.UNKNOWN:
        return Track(number, codec)
    version, channels, bits = struct.unpack_from(">H6x2H", entry, 8)
    rate = struct.unpack_from(">I", entry, 24)[0] >> 16
    inner = dict(boxes(entry, _AUDIO_ENTRY_BYTES + _QUICKTIME_BYTES.get(version, 0)))
    inner.update(boxes(inner.get(b"wave", b"")))
    private = b""
    if version == 2:
        rate, channels, _, bits, flags = struct.unpack_from(">d4I", entry, 32)
        rate = int(rate) if 0 < rate < _MAX_RATE else 0
        kind = b"lpcm" if kind == b"lpcm" and not flags & 2 else b"lpcl" if kind == b"lpcm" else kind
        kind = kind[:3] + b"f" if kind.startswith(b"lpc") and flags & 1 else kind
    match codec:
        case Codec.OPUS:
            private = _opus_head(inner[b"dOps"])
            return Track(number, codec, private, RATE, channels, pre_skip(private))
        case Codec.AAC:
            object_type, private = _decoder_config(inner[b"esds"])
            codec = Codec.MP3 if object_type in _MP3_OBJECT_TYPES else codec
            if object_type not in (*_MP3_OBJECT_TYPES, *_AAC_OBJECT_TYPES):
                return Track(number, Codec.UNKNOWN)
        case Codec.FLAC:
            private = inner[b"dfLa"][8:42]
        case Codec.ALAC:
            private = struct.pack(">I4s", 8 + len(inner[b"alac"]), b"alac") + inner[b"alac"]
        case Codec.AMR_NB | Codec.AMR_WB:
            rate, channels = (8_000, 1) if codec is Codec.AMR_NB else (16_000, 1)
        case Codec.PCM:
            little = inner.get(b"enda", b"")[-1:] == b"\1"
            encoding = pcm_encoding(kind, bits, little=little, private=inner.get(b"pcmC", b""))
            return Track(number, codec if encoding else Codec.UNKNOWN, b"", rate, channels, pcm=encoding)
    return Track(number, codec, private, rate, channels)


def pcm_encoding(kind: bytes, bits: int, *, little: bool, private: bytes) -> PcmEncoding | None:
    """How the samples of a QuickTime or ISO/IEC 23003-5 sample entry are written; None: not known."""
    if kind in (b"ipcm", b"fpcm") and len(private) >= 6:
        little, bits = bool(private[4] & 1), private[5]
        kind = b"lpc" + (b"f" if kind == b"fpcm" else b"m")
    name = _PCM[kind]
    if name:
        return name
    signed = {8: PcmEncoding.S8, 16: PcmEncoding.S16, 24: PcmEncoding.S24, 32: PcmEncoding.S32}
    big = {8: PcmEncoding.S8, 16: PcmEncoding.S16_BIG, 24: PcmEncoding.S24_BIG, 32: PcmEncoding.S32_BIG}
    floats = {32: PcmEncoding.F32, 64: PcmEncoding.F64}
    big_floats = {32: PcmEncoding.F32_BIG, 64: PcmEncoding.F64_BIG}
    match kind:
        case b"sowt":
            return signed.get(bits)
        case b"in24":
            return (signed if little else big)[24]
        case b"in32":
            return (signed if little else big)[32]
        case b"fl32":
            return (floats if little else big_floats)[32]
        case b"fl64":
            return (floats if little else big_floats)[64]
        case b"lpcf":
            return (floats if little else big_floats).get(bits)
        case _:
            return (signed if little else big).get(bits)


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
