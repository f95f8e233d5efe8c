"""The type of a media file, from its first bytes: the MIME type to announce, or why it cannot be streamed."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from talkup_client.errors import UnreadableFileError, UnsupportedFileError

HEAD_BYTES = 64 * 1024
MAX_MOOV_BYTES = 16 * 2**20
RAW_PCM_SUFFIXES = frozenset({".pcm", ".raw", ".s16le"})
RAW_PCM = "audio/pcm;rate=16000;channels=1;encoding=s16le"
_VIDEO_ENTRIES = (b"avc1", b"avc3", b"vp08", b"vp09")
_SUPPORTED = "WebM, Ogg Opus, fragmented MP4, MP3, FLAC, WAV, and 16 kHz mono s16le as .pcm, .raw or .s16le"
_REMUX = "ffmpeg -i IN -c copy -movflags +frag_keyframe+empty_moov OUT.mp4"


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file that can be streamed. `format` is a MIME type of docs/protocol.md."""

    path: Path
    format: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Box:
    """A box of ISO/IEC 14496-12: its type and where its content lies in the file."""

    kind: bytes
    start: int
    end: int


def identify(path: Path) -> MediaFile:
    """Identify a file by its first bytes. Raises UnsupportedFileError or UnreadableFileError; users see the message."""
    try:
        if path.is_dir():
            raise UnreadableFileError(f"{path} is a folder: name the files in it")
        size = path.stat().st_size
        with path.open("rb") as file:
            if size == 0:
                raise UnsupportedFileError(f"{path.name} is empty")
            return MediaFile(path, _format(path, file, size), size)
    except FileNotFoundError:
        raise UnreadableFileError(f"{path}: there is no such file") from None
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error.strerror}") from None


def _format(path: Path, file: BinaryIO, size: int) -> str:
    head = file.read(HEAD_BYTES)
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "video/webm" if b"V_VP" in head else "audio/webm;codecs=opus"
    if head.startswith(b"OggS"):
        if b"OpusHead" in head[:512]:
            return "audio/ogg;codecs=opus"
        raise UnsupportedFileError(f"{path.name} is Ogg, but not Opus: {_SUPPORTED} can be streamed")
    if head.startswith(b"fLaC"):
        return "audio/flac"
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        return "audio/wav"
    if head[4:8] == b"ftyp":
        return _mp4_format(path, file, size)
    if head.startswith(b"ID3") or _is_mp3_frame(head):
        return "audio/mpeg"
    if path.suffix.lower() in RAW_PCM_SUFFIXES:
        return RAW_PCM
    raise UnsupportedFileError(f"{path.name} is not of a type that can be streamed: {_SUPPORTED}")


def has_sound(media: MediaFile) -> bool:
    """Whether the header of a WebM or MP4 recording names a sound track."""
    with media.path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return b"A_OPUS" in head or b"soun" in head


def _is_mp3_frame(head: bytes) -> bool:
    """An MPEG audio frame header, layer III (ISO/IEC 11172-3 2.4.2.3)."""
    return len(head) >= 4 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[2] >> 4 not in (0, 15)


def _mp4_format(path: Path, file: BinaryIO, size: int) -> str:
    for box in boxes(file, 0, size):
        if box.kind == b"moof":
            break
        if box.kind == b"moov":
            file.seek(box.start)
            moov = file.read(min(box.end - box.start, MAX_MOOV_BYTES))
            if b"mvex" in moov:  # ISO/IEC 14496-12 8.8.1: movie fragments follow
                return "video/mp4" if any(name in moov for name in _VIDEO_ENTRIES) else "audio/mp4"
            break
        if box.kind == b"mdat":
            break
    raise UnsupportedFileError(
        f"{path.name} is an MP4 with its index in one block, so it cannot be streamed; "
        f"convert it to a fragmented MP4: {_REMUX}"
    )


def boxes(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """The boxes between two offsets of a file, in order; stops at the first invalid one."""
    while start + 8 <= end:
        file.seek(start)
        header = file.read(16)
        if len(header) < 8:
            return
        size, kind = struct.unpack(">I4s", header[:8])
        body = start + 8
        if size == 1 and len(header) == 16:
            size = struct.unpack(">Q", header[8:])[0]
            body = start + 16
        elif size == 0:
            size = end - start
        if size < body - start:
            return
        yield Box(kind, body, min(start + size, end))
        start += size
