"""How long a media file plays, read from its container without decoding: for --realtime and for times on the bar."""

from __future__ import annotations

import struct
from pathlib import Path

from talkup_client.media_file import MediaFile

_TAIL_BYTES = 256 * 1024
_MP3_RATES = (44_100, 48_000, 32_000)  # Hz of version 1; half for version 2, a quarter for 2.5
_OPUS_CLOCK = 48_000  # RFC 7845 4: granule positions count at 48 kHz
_MP3_BITRATES = {  # kbit/s by version (1, or 2 and 2.5) for layer III, ISO/IEC 11172-3 and 13818-3
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def seconds(media: MediaFile) -> float | None:
    """Playing time in seconds; None when the container does not tell."""
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
            case "audio/webm" | "video/webm":
                return _webm(head, tail)
            case "audio/mp4" | "video/mp4":
                return _mp4(head, tail)
            case "audio/pcm":
                return media.size_bytes / 32_000
    except (struct.error, LookupError, ZeroDivisionError):
        return None
    return None


def _ends(path: Path, size: int) -> tuple[bytes, bytes]:
    with path.open("rb") as file:
        head = file.read(_TAIL_BYTES)
        file.seek(max(0, size - _TAIL_BYTES))
        return head, file.read()


def _wav(head: bytes, size: int) -> float | None:
    at = head.find(b"fmt ")
    data = head.find(b"data")
    if at < 0 or data < 0:
        return None
    bytes_per_second = struct.unpack_from("<I", head, at + 16)[0]
    return (size - data - 8) / int(bytes_per_second)


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


def _webm(head: bytes, tail: bytes) -> float | None:
    """Time of the last Cluster plus the largest relative time of a SimpleBlock in it, at 1 ms a tick (RFC 9559)."""
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


def _mp4(head: bytes, tail: bytes) -> float | None:
    """Decode time of the last fragment (tfdt) over the first track's timescale (mdhd); one fragment short."""
    scale_box, last = head.find(b"mdhd"), tail.rfind(b"tfdt")
    if scale_box < 0 or last < 0:
        return None
    scale = struct.unpack_from(">I", head, scale_box + (24 if head[scale_box + 4] else 16))[0]
    wide = tail[last + 4] == 1
    time = struct.unpack_from(">Q" if wide else ">I", tail, last + 8)[0]
    return float(time / scale) or None  # a single fragment tells nothing
