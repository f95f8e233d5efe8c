"""Playing time of a media file, read from its container without decoding; for --realtime and the progress bar."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from talkup_client.boxes import MAX_MOOV_BYTES, boxes
from talkup_client.media_file import MediaFile

_TAIL_BYTES = 256 * 1024
_MAX_TAIL_BYTES = 16 * 2**20
_MAX_MOOF_BYTES = 2**20
_WAV_IN_BLOCKS = frozenset({0x02, 0x11, 0x31})
"""Format tags of ADPCM and GSM (RFC 2361), whose blocks say how many samples they hold."""

_MP3_RATES = (44_100, 48_000, 32_000)  # Hz of version 1; half for version 2, a quarter for 2.5
_OPUS_CLOCK = 48_000  # RFC 7845 4: granule positions count at 48 kHz
_MP3_BITRATES = {  # kbit/s by version (1, or 2 and 2.5) for layer III, ISO/IEC 11172-3 and 13818-3
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def seconds(media: MediaFile) -> float | None:
    """Playing time in seconds; None when the container does not say."""
    if media.decoder is not None:
        return media.decoder.seconds
    head, tail = _ends(media.path, media.size_bytes)
    try:
        match media.format.partition(";")[0]:
            case "audio/wav":
                return _wav(head, media.size_bytes)
            case "audio/flac":
                return _flac(head)
            case "audio/ogg":
                return _ogg(head, tail)
            case "audio/mpeg":
                return _mp3(head, media.size_bytes)
            case "audio/webm" | "video/webm" | "audio/x-matroska" | "video/x-matroska":
                return _webm(head, _last_cluster(media))
            case "audio/mp4" | "video/mp4":
                return _mp4(media)
            case "audio/pcm":
                return media.size_bytes / 32_000
    except (struct.error, LookupError, ZeroDivisionError):
        return None
    return None


def _ends(path: Path, size: int, tail_bytes: int = _TAIL_BYTES) -> tuple[bytes, bytes]:
    with path.open("rb") as file:
        head = file.read(_TAIL_BYTES)
        file.seek(max(0, size - tail_bytes))
        return head, file.read()


def _wav(head: bytes, size: int) -> float | None:
    at = head.find(b"fmt ")
    data = head.find(b"data")
    if at < 0 or data < 0:
        return None
    kind, _, rate, bytes_per_second, block_bytes = struct.unpack_from("<HHIIH", head, at + 8)
    if kind in _WAV_IN_BLOCKS:  # its header counts the bytes of a second as the encoder meant it
        bytes_per_second = rate * block_bytes / struct.unpack_from("<H", head, at + 26)[0]
    declared: int = struct.unpack_from("<I", head, data + 4)[0]
    here = size - data - 8
    # Tags may follow the samples. A recorder that did not finish its header left 0 or all ones there.
    return (min(declared, here) or here) / float(bytes_per_second)


def _flac(head: bytes) -> float | None:
    """STREAMINFO (RFC 9639 8.2): 20 bits sample rate, 3 channels, 5 depth, 36 bits of samples."""
    packed = int.from_bytes(head[18:26], "big")
    rate, samples = packed >> 44, packed & (1 << 36) - 1
    return samples / rate if samples else None


def _ogg(head: bytes, tail: bytes) -> float | None:
    last = tail.rfind(b"OggS")
    opus = head.find(b"OpusHead")
    if last < 0 or opus < 0:
        return None
    granule: int = struct.unpack_from("<q", tail, last + 6)[0]
    skipped: int = struct.unpack_from("<H", head, opus + 10)[0]
    return max(0, granule - skipped) / _OPUS_CLOCK


def _mp3(head: bytes, size: int) -> float | None:
    """From the Xing header's frame count, else from the first frame's bit rate, exact where that is constant."""
    at = 0
    if head.startswith(b"ID3"):
        at = 10 + ((head[6] & 127) << 21 | (head[7] & 127) << 14 | (head[8] & 127) << 7 | head[9] & 127)
    first = next((i for i in range(at, len(head) - 4) if head[i] == 0xFF and head[i + 1] & 0xE6 == 0xE2), None)
    if first is None:
        return None
    is_version_1 = head[first + 1] & 0x18 == 0x18
    if (frames := _xing_frames(head[first : first + 200])) is not None:
        rate = _MP3_RATES[head[first + 2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[head[first + 1] >> 3 & 3]
        return frames * (1152 if is_version_1 else 576) / rate
    kilobits = _MP3_BITRATES[is_version_1][head[first + 2] >> 4]
    return (size - first) * 8 / (kilobits * 1000)


def _xing_frames(frame: bytes) -> int | None:
    """Number of frames, by the header that encoders of variable bit rates put into the first one."""
    for name in (b"Xing", b"Info"):
        at = frame.find(name)
        if at >= 0 and frame[at + 7] & 1:
            return int.from_bytes(frame[at + 8 : at + 12], "big")
    return None


def _last_cluster(media: MediaFile) -> bytes:
    """The end of the file, long enough to contain the start of a Cluster; one with a key frame may be large."""
    size = _TAIL_BYTES
    while True:
        _, tail = _ends(media.path, media.size_bytes, size)
        if b"\x1f\x43\xb6\x75" in tail or size >= min(media.size_bytes, _MAX_TAIL_BYTES):
            return tail
        size *= 4


def _webm(head: bytes, tail: bytes) -> float | None:
    """Time of the last Cluster plus the largest relative time of a SimpleBlock in it, at 1 ms per tick (RFC 9559)."""
    cluster = tail.rfind(b"\x1f\x43\xb6\x75")
    if cluster < 0:
        cluster, tail = head.rfind(b"\x1f\x43\xb6\x75"), head
    stamp = tail.find(b"\xe7", cluster) if cluster >= 0 else -1
    if stamp < 0:
        return None
    length = tail[stamp + 1] & 0x7F
    start_ms = int.from_bytes(tail[stamp + 2 : stamp + 2 + length], "big")
    return (start_ms + _last_block_ms(tail, stamp + 2 + length)) / 1000


def _last_block_ms(data: bytes, at: int) -> int:
    last = 0
    while at + 8 < len(data) and data[at] == 0xA3:
        width = 9 - data[at + 1].bit_length()
        size = int.from_bytes(data[at + 1 : at + 1 + width], "big") & (1 << 7 * width) - 1
        last = max(last, int.from_bytes(data[at + width + 2 : at + width + 4], "big", signed=True))
        at += 1 + width + size
    return last


def _mp4(media: MediaFile) -> float | None:
    """The latest end of a fragment (ISO/IEC 14496-12 8.8), or the length in the header if there is no fragment.

    A fragment ends at its decode time and its samples' durations. With fragments, a length in the header counts only
    the media before them, usually none.
    """
    tracks: dict[int, _Mp4Track] = {}
    end = 0.0
    has_fragments = False
    with media.path.open("rb") as file:
        for box in boxes(file, 0, media.size_bytes):
            if box.kind == b"moov":
                file.seek(box.start)
                tracks = _mp4_tracks(file.read(min(box.end - box.start, MAX_MOOV_BYTES)))
            elif box.kind == b"moof":
                has_fragments = True
                file.seek(box.start)
                moof = file.read(min(box.end - box.start, _MAX_MOOF_BYTES))
                ends = [_fragment_end(traf, tracks) for kind, traf in _inner(moof) if kind == b"traf"]
                end = max(end, *ends, 0.0)
    if not has_fragments:
        end = max((track.length / track.timescale for track in tracks.values()), default=0.0)
    return end or None


@dataclass(slots=True)
class _Mp4Track:
    """Units per second, the default duration of a sample, and the length by the header, both in units."""

    timescale: int = 1
    duration: int = 0
    length: int = 0


def _inner(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes inside a box, type and content."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8:
            return
        yield kind, data[at + 8 : at + size]
        at += size


def _mp4_tracks(moov: bytes) -> dict[int, _Mp4Track]:
    tracks: dict[int, _Mp4Track] = {}
    for kind, content in _inner(moov):
        if kind == b"trak":
            track = dict(_inner(content))
            header, media = track[b"tkhd"], dict(_inner(track[b"mdia"]))[b"mdhd"]
            number = struct.unpack_from(">I", header, 20 if header[0] else 12)[0]
            found = tracks.setdefault(number, _Mp4Track())
            found.timescale, found.length = struct.unpack_from(
                ">IQ" if media[0] else ">2I", media, 20 if media[0] else 12
            )
        elif kind == b"mvex":
            for name, trex in _inner(content):
                if name == b"trex":
                    number, _, duration = struct.unpack_from(">3I", trex, 4)
                    tracks.setdefault(number, _Mp4Track()).duration = duration
    return tracks


def _fragment_end(traf: bytes, tracks: dict[int, _Mp4Track]) -> float:
    """Seconds at which a track's part of a fragment ends."""
    time, track, duration = 0, _Mp4Track(), 0
    for kind, content in _inner(traf):
        flags = int.from_bytes(content[1:4], "big")
        if kind == b"tfhd":
            track = tracks[struct.unpack_from(">I", content, 4)[0]]
            at = 8 + (8 if flags & 0x01 else 0) + (4 if flags & 0x02 else 0)
            duration = struct.unpack_from(">I", content, at)[0] if flags & 0x08 else track.duration
        elif kind == b"tfdt":
            time = struct.unpack_from(">Q" if content[0] else ">I", content, 4)[0]
        elif kind == b"trun":
            time += _run_duration(content, flags, duration)
    return float(time / track.timescale)


def _run_duration(trun: bytes, flags: int, default: int) -> int:
    count: int = struct.unpack_from(">I", trun, 4)[0]
    if not flags & 0x100:
        return count * default
    at = 8 + (4 if flags & 0x001 else 0) + (4 if flags & 0x004 else 0)
    step = 4 * sum(bool(flags & bit) for bit in (0x100, 0x200, 0x400, 0x800))
    return sum(struct.unpack_from(">I", trun, at + index * step)[0] for index in range(count))
