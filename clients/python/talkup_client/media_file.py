"""The type of a media file, from its first bytes: the MIME type to announce, or why it cannot be streamed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from talkup_client.boxes import Box, boxes
from talkup_client.errors import UnreadableFileError, UnsupportedFileError
from talkup_client.index_first import Piece, index_first

HEAD_BYTES = 64 * 1024
RAW_PCM_SUFFIXES = frozenset({".pcm", ".raw", ".s16le"})
RAW_PCM = "audio/pcm;rate=16000;channels=1;encoding=s16le"
_MP4_STARTS = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
"""The first box of an MP4 or QuickTime file; QuickTime did without a file type box at first."""

_WEBM_SOUND = re.compile(rb"A_(?:OPUS|VORBIS|AAC|FLAC|MPEG|PCM|AC3)")
_SUPPORTED = "WebM, Ogg Opus, MP4, M4A, MOV, MP3, FLAC, WAV, and 16 kHz mono s16le as .pcm, .raw or .s16le"


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file that can be streamed. `format` is a MIME type of docs/protocol.md.

    `pieces`: what to send, in order, if that is not the file from its start to its end.
    """

    path: Path
    format: str
    size_bytes: int
    pieces: tuple[Piece, ...] = ()

    @property
    def name(self) -> str:
        """The name for messages."""
        return self.path.name


def identify(path: Path) -> MediaFile:
    """Identify a file by its first bytes. Raises UnsupportedFileError or UnreadableFileError; users see the message."""
    try:
        if path.is_dir():
            raise UnreadableFileError(f"{path} is a folder: name the files in it")
        size = path.stat().st_size
        with path.open("rb") as file:
            if size == 0:
                raise UnsupportedFileError(f"{path.name} is empty")
            return _media(path, file, size)
    except FileNotFoundError:
        raise UnreadableFileError(f"{path}: there is no such file") from None
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error.strerror}") from None


def _media(path: Path, file: BinaryIO, size: int) -> MediaFile:
    head = file.read(HEAD_BYTES)
    if format_ := _format(path, head):
        return MediaFile(path, format_, size)
    if head[4:8] in _MP4_STARTS:
        pieces = index_first(file, size, path.name)
        return MediaFile(path, "video/mp4" if b"vide" in _track_kinds(file, size) else "audio/mp4", size, pieces)
    raise UnsupportedFileError(f"{path.name} is not of a type that can be streamed: {_SUPPORTED}")


def _format(path: Path, head: bytes) -> str:
    """The MIME type by the first bytes; empty if another reader knows them, or none."""
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
    if head.startswith(b"ID3") or _is_mp3_frame(head):
        return "audio/mpeg"
    return RAW_PCM if path.suffix.lower() in RAW_PCM_SUFFIXES else ""


def has_sound(media: MediaFile) -> bool:
    """Whether the header of a WebM or MP4 recording names a sound track."""
    with media.path.open("rb") as file:
        if media.format.partition(";")[0].endswith("/mp4"):
            return b"soun" in _track_kinds(file, media.size_bytes)
        return _WEBM_SOUND.search(file.read(HEAD_BYTES)) is not None


def _is_mp3_frame(head: bytes) -> bool:
    """An MPEG audio frame header, layer III (ISO/IEC 11172-3 2.4.2.3)."""
    return len(head) >= 4 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[2] >> 4 not in (0, 15)


def _track_kinds(file: BinaryIO, size: int) -> set[bytes]:
    """The handlers of the tracks of an MP4 (ISO/IEC 14496-12 8.4.3): `soun`, `vide` and others."""
    moov = next((box for box in boxes(file, 0, size) if box.kind == b"moov"), None)
    if moov is None:
        return set()
    return {
        kind
        for track in _within(file, moov, b"trak")
        for media in _within(file, track, b"mdia")
        for handler in _within(file, media, b"hdlr")
        for kind in [_handler(file, handler)]
    }


def _within(file: BinaryIO, box: Box, kind: bytes) -> Iterator[Box]:
    return (inner for inner in boxes(file, box.start, box.end) if inner.kind == kind)


def _handler(file: BinaryIO, box: Box) -> bytes:
    file.seek(box.start + 8)
    return file.read(4)
