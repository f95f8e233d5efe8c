"""The type of a media file, from its first bytes: the MIME type to announce, or why it cannot be streamed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from talkup_client.boxes import Box, boxes
from talkup_client.errors import UnreadableFileError, UnsupportedFileError
from talkup_client.extras import install_command
from talkup_client.index_first import Piece, index_first

HEAD_BYTES = 64 * 1024
RAW_PCM_SUFFIXES = frozenset({".pcm", ".raw", ".s16le"})
RAW_PCM = "audio/pcm;rate=16000;channels=1;encoding=s16le"
_MP4_STARTS = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
"""The first box of an MP4 or QuickTime file; QuickTime did without a file type box at first."""

_OGG_SOUND = (b"\x01vorbis", b"\x7fFLAC")
_MATROSKA_SOUND = re.compile(rb"A_(?:OPUS|VORBIS|AAC|ALAC|FLAC|MPEG|PCM)")
_MATROSKA_OTHER = re.compile(rb"A_(?:E?AC3|DTS|TRUEHD|MS/ACM|WAVPACK|TTA)")
_MATROSKA_PICTURES = re.compile(rb"V_(?:VP[89]|AV1|MPEG|THEORA)")
_WAV_KINDS = frozenset({1, 2, 3, 6, 7, 0x11, 0x31, 0xFFFE})
"""Format tags (RFC 2361) of the sound in a WAV that workers read: PCM, float, A-law, mu-law, ADPCM, GSM."""

_AIFF_SOUND = frozenset({b"none", b"twos", b"sowt", b"raw ", b"in24", b"in32", b"fl32", b"fl64", b"ulaw", b"alaw", b""})
_CAF_SOUND = frozenset({b"lpcm", b"ulaw", b"alaw", b""})
"""Names of the sound in AIFF-C (lower case) and CAF files that workers read; empty: it is not in the first bytes."""

_MP4_OTHER = frozenset({b"ac-3", b"ec-3", b"ima4", b"sqcp", b"QDM2", b"QDMC", b"MAC3", b"MAC6"})
_SUPPORTED = (
    "WebM, Matroska, Ogg, MP4, M4A, MOV, 3GP, MP3, AAC, FLAC, WAV, AIFF, CAF, AU, AMR, "
    "and 16 kHz mono s16le as .pcm, .raw or .s16le"
)


class Decoder(Protocol):
    """A recording that is decoded on this machine, to samples of a `format`."""

    format: str
    seconds: float | None
    damaged: int

    def chunks(self, size: int) -> Iterator[bytes]:
        """Its samples, from the beginning."""
        ...


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file that can be streamed. `format` is a MIME type of docs/protocol.md.

    `pieces`: what to send, in order, if that is not the file from its start to its end. `decoder`: what to send are
    its samples; `size_bytes` is then an estimate.
    """

    path: Path
    format: str
    size_bytes: int
    pieces: tuple[Piece, ...] = ()
    decoder: Decoder | None = None

    @property
    def name(self) -> str:
        """The name for messages."""
        return self.path.name

    @property
    def is_picture(self) -> bool:
        """Whether it is one picture, which is one chunk."""
        return self.format.startswith("image")


def identify(path: Path, *, may_decode: bool = False) -> MediaFile:
    """Identify a file by its first bytes. `may_decode`: its sound is enough, so it may be decoded on this machine.

    Raises UnsupportedFileError or UnreadableFileError; users see the message.
    """
    try:
        return _as_it_is(path)
    except UnreadableFileError:
        raise
    except UnsupportedFileError as unsupported:
        if not may_decode or not path.stat().st_size:
            raise
        return _decoded(path, unsupported)


def _as_it_is(path: Path) -> MediaFile:
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


def _decoded(path: Path, unsupported: UnsupportedFileError) -> MediaFile:
    """A file that FFmpeg reads. Raises `unsupported`, with advice if FFmpeg is not here."""
    try:
        from talkup_client.decoding import Recording  # noqa: PLC0415 (needs the extra `files`)
    except ModuleNotFoundError:
        advice = f"to decode it on this machine: {install_command('files')}; to convert it: ffmpeg -i IN OUT.flac"
        raise UnsupportedFileError(f"{unsupported.message}; {advice}") from None
    try:
        recording = Recording(path)
    except UnreadableFileError:
        raise
    except UnsupportedFileError:
        raise unsupported from None
    size = round((recording.seconds or 0) * recording.bytes_per_second) or path.stat().st_size
    return MediaFile(path, recording.format, size, decoder=recording)


def _media(path: Path, file: BinaryIO, size: int) -> MediaFile:
    head = file.read(HEAD_BYTES)
    if format_ := _format(path, head):
        return MediaFile(path, format_, size)
    if head[4:8] in _MP4_STARTS:
        pieces = index_first(file, size, path.name)
        kinds = set(_track_kinds(file, size))
        sound = [entry for handler, entry in kinds if handler == b"soun"]
        if sound and _MP4_OTHER.issuperset(sound):
            raise UnsupportedFileError(f"the sound of {path.name} is of a kind that no worker reads")
        has_pictures = any(handler == b"vide" for handler, _ in kinds)
        return MediaFile(path, "video/mp4" if has_pictures else "audio/mp4", size, pieces)
    raise UnsupportedFileError(f"{path.name} is not of a type that can be streamed: {_SUPPORTED}")


def _format(path: Path, head: bytes) -> str:
    """The MIME type by the first bytes; empty if they are of no container that is known here, or of an MP4."""
    if head.startswith(b"\x1aE\xdf\xa3"):
        return _matroska(path, head)
    if head.startswith(b"OggS"):
        if b"OpusHead" in head[:512]:
            return "audio/ogg;codecs=opus"
        return "audio/ogg" if any(name in head[:512] for name in _OGG_SOUND) else ""
    for magic, kind, format_ in (
        (b"fLaC", b"", "audio/flac"),
        (b"FORM", b"AIFF", "audio/aiff"),
        (b"FORM", b"AIFC", "audio/aiff" if _names(head, b"COMM", 26).lower() in _AIFF_SOUND else ""),
        (b"caff", b"", "audio/x-caf" if _names(head, b"desc", 20) in _CAF_SOUND else ""),
        (b"#!AMR", b"", "audio/amr"),
        (b".snd", b"", "audio"),
        (b"RF64", b"WAVE", "audio/wav"),
        (b"BW64", b"WAVE", "audio/wav"),
        (b"ID3", b"", "audio/mpeg"),
    ):
        if head.startswith(magic) and head[8:].startswith(kind):
            return format_
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        at = head.find(b"fmt ")
        return "audio/wav" if at < 0 or int.from_bytes(head[at + 8 : at + 10], "little") in _WAV_KINDS else ""
    if path.suffix.lower() in RAW_PCM_SUFFIXES:  # before any frame of two bytes that samples could be, too
        return RAW_PCM
    if _is_mpeg_frame(head):
        return "audio/mpeg"
    return "audio/aac" if _is_adts_frame(head) else ""


def _names(head: bytes, chunk: bytes, offset: int) -> bytes:
    """The four bytes that name the sound, this far behind the start of the chunk; empty if they are not there."""
    at = head.find(chunk)
    return head[at + offset : at + offset + 4] if at >= 0 else b""


def _matroska(path: Path, head: bytes) -> str:
    if _MATROSKA_OTHER.search(head) and not _MATROSKA_SOUND.search(head):
        raise UnsupportedFileError(f"the sound of {path.name} is of a kind that no worker reads")
    is_webm = b"matroska" not in head[:64]
    if _MATROSKA_PICTURES.search(head):
        return "video/webm" if is_webm else "video/x-matroska"
    return "audio/webm;codecs=opus" if is_webm else "audio/x-matroska"


def has_sound(media: MediaFile) -> bool:
    """Whether the header of a WebM or MP4 recording names a sound track."""
    with media.path.open("rb") as file:
        if media.format.partition(";")[0].endswith("/mp4"):
            return any(handler == b"soun" for handler, _ in _track_kinds(file, media.size_bytes))
        return _MATROSKA_SOUND.search(file.read(HEAD_BYTES)) is not None


def _is_mpeg_frame(head: bytes) -> bool:
    """An MPEG audio frame header of any layer (ISO/IEC 11172-3 2.4.2.3)."""
    is_synced = len(head) >= 4 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and bool(head[1] & 0x06)
    return is_synced and head[2] >> 4 not in (0, 15)


def _is_adts_frame(head: bytes) -> bool:
    """An ADTS frame header (ISO/IEC 14496-3 1.A.2.2), which is where the second one says that it begins."""
    for _ in range(2):
        if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
            return False
        size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        if size < 7 or size >= len(head):
            return size == len(head)
        head = head[size:]
    return True


def _track_kinds(file: BinaryIO, size: int) -> Iterator[tuple[bytes, bytes]]:
    """The handler (`soun`, `vide` and others) and the sample entry of each track of an MP4 (ISO/IEC 14496-12 8.5.2)."""
    moov = next((box for box in boxes(file, 0, size) if box.kind == b"moov"), None)
    if moov is None:
        return
    for track in _within(file, moov, b"trak"):
        for media in _within(file, track, b"mdia"):
            handlers = [_read(file, handler.start + 8) for handler in _within(file, media, b"hdlr")]
            entries = [
                _read(file, table.start + 12)
                for information in _within(file, media, b"minf")
                for tables in _within(file, information, b"stbl")
                for table in _within(file, tables, b"stsd")
            ]
            yield from ((handler, (entries or [b""])[0]) for handler in handlers[:1])


def _within(file: BinaryIO, box: Box, kind: bytes) -> Iterator[Box]:
    return (inner for inner in boxes(file, box.start, box.end) if inner.kind == kind)


def _read(file: BinaryIO, at: int) -> bytes:
    """A type of four bytes."""
    file.seek(at)
    return file.read(4)
