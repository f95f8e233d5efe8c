"""Bytes that resemble many headers: what is cheap to send and was dear to read."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from talkup.v1 import media_pb2

from tests.unit.workers.media.material import declared, recordings
from workers.media.isolation import warmup, warmup_video


@dataclass(frozen=True)
class Storm:
    """`pattern` repeated behind `start`."""

    fmt: media_pb2.MediaFormat
    start: bytes
    pattern: bytes

    def data(self, size: int) -> bytes:
        return self.start + (self.pattern * (size // len(self.pattern) + 1))[:size]


MP3 = declared("audio/mpeg", media_pb2.CONTAINER_MP3)
VP8 = declared("video/webm", media_pb2.CONTAINER_WEBM)


def _flac_headers() -> Storm:
    """Frames of the largest size that nothing follows: valid headers, whose numbers never come next."""
    flac = recordings()["flac"].data
    start = flac[:42]
    header = bytes.fromhex("fff87018") + b"\x07" + (65_535).to_bytes(2, "big")
    return Storm(declared("audio/flac"), start[:4] + b"\x80" + start[5:], header + bytes([warmup._crc(header, 8, 7)]))


def _ogg_pages() -> Storm:
    ogg = recordings()["ogg"].data
    page = struct.pack("<4sBBqIIIB", b"OggS", 0, 0, 0, struct.unpack_from("<I", ogg, 14)[0], 0, 0, 255) + bytes(255)
    return Storm(declared("audio/ogg"), ogg, page)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _mp4_runs() -> Storm:
    """Fragments of 100 bytes that promise 65,536 samples each."""
    mp4 = recordings()["mp4-aac"].data
    header = _box(b"tfhd", struct.pack(">5I", 0x020018, 1, 1024, 0, 0)[:16])
    run = _box(b"trun", struct.pack(">2I", 0, 65_536))
    return Storm(declared("audio/mp4"), mp4, _box(b"moof", _box(b"traf", header + run)))


def storms() -> dict[str, Storm]:
    """By name."""
    webm, mp4 = recordings()["webm"].data, recordings()["mp4-aac"].data
    cluster = b"\x1f\x43\xb6\x75\x01" + b"\xff" * 7 + b"\xe7\x81\0"
    return {
        "mp3 headers": Storm(MP3, b"", b"\xff\xfb\x90\x00"),
        "mp3 syncs": Storm(MP3, b"", b"\xff\xfb"),
        "mp3 tags": Storm(MP3, b"\xff\xfb\x90\x00", b"\xff\xfb\x90\x00TAG ID"),
        "adts headers": Storm(declared("audio/aac", media_pb2.CONTAINER_ADTS), b"", b"\xff\xf1\x50\x80\x20\x1f\xfc"),
        "flac headers": _flac_headers(),
        "flac syncs": Storm(declared("audio/flac"), recordings()["flac"].data, b"\xff\xf8"),
        "ogg pages": _ogg_pages(),
        "ogg words": Storm(declared("audio/ogg"), recordings()["ogg"].data, b"OggS\1"),
        "webm clusters": Storm(declared("audio/webm"), webm, b"\x1f\x43\xb6\x75\x80\xe7"),
        "webm blocks": Storm(declared("audio/webm"), webm + cluster, b"\xa3\x85\x81\x00\x01\x00\xff"),
        "webm elements": Storm(declared("audio/webm"), webm + cluster, b"\xec\x80"),
        "mp4 words": Storm(declared("audio/mp4"), mp4 + b"\0\0\0\1", b"moof"),
        "mp4 boxes": Storm(declared("audio/mp4"), mp4, _box(b"free", b"")),
        "mp4 runs": _mp4_runs(),
        "amr bytes": Storm(declared("audio/amr"), b"#!AMR\n", b"\x04\x80"),
    }


def key_frame(width: int, height: int) -> bytes:
    """A VP8 key frame of any size in 60 bytes."""
    frame = bytearray(warmup_video._VP8)
    frame[6:10] = struct.pack("<HH", width, height)
    return bytes(frame)


def film(sizes: list[tuple[int, int]]) -> bytes:
    """A WebM recording of such frames, 30 ms apart."""
    first, *rest = [key_frame(*size) for size in sizes]
    blocks = [b"\x81" + struct.pack(">h", 30 * at) + b"\x80" + frame for at, frame in enumerate(rest, 1)]
    body = b"".join(b"\xa3" + struct.pack(">I", 0x10000000 | len(block)) + block for block in blocks)
    return warmup_video._webm(b"V_VP8", b"", first) + body
