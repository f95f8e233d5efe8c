"""The first bytes of a recording: which ones begin a new recording, and which ones only may.

Magics: EBML (RFC 9559), Ogg page with the "beginning of stream" flag (RFC 3533), ISO BMFF `ftyp`, RIFF/WAVE and its
long forms. The first recording of a stream may also begin with an ID3v2 tag, or with another box of QuickTime.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

HEADER_BYTES: Final = 12
_OGG_BEGINNING: Final = 0x02
_WAVES: Final = (b"RIFF", b"RF64", b"BW64")
_QUICKTIME: Final = (b"moov", b"wide", b"mdat", b"free", b"skip", b"pnot")


class HeaderMatch(Enum):
    """Whether bytes begin with a container header. PARTIAL: too few bytes to decide."""

    NO = 0
    PARTIAL = 1
    FULL = 2


def match_header(data: bytes) -> HeaderMatch:
    """Match the beginning of `data` against the magics that begin a recording."""
    head = data[:HEADER_BYTES]
    matches = (
        _match_prefix(head, b"\x1a\x45\xdf\xa3"),
        _match_ogg(head),
        _match_tail(head, b"\x00\x00\x00", 4, b"ftyp"),
        *(_match_tail(head, magic, 8, b"WAVE") for magic in _WAVES),
    )
    return max(matches, key=lambda match: match.value)


def match_first(data: bytes, *, quicktime: bool) -> HeaderMatch:
    """Match against everything that a stream's first recording may begin with."""
    head = data[:HEADER_BYTES]
    boxes = _QUICKTIME if quicktime else ()
    matches = (
        match_header(head),
        _match_prefix(head, b"ID3"),
        *(_match_tail(head, b"", 4, box) for box in boxes),
    )
    return max(matches, key=lambda match: match.value)


def match_media(data: bytes) -> HeaderMatch:
    """Match against every format with a magic: FLAC, MP3, JPEG, PNG and WebP as well."""
    head = data[:HEADER_BYTES]
    matches = (
        match_header(head),
        *(_match_prefix(head, magic) for magic in (b"fLaC", b"ID3", b"\xff\xd8\xff", b"\x89PNG")),
        _match_mp3(head),
        _match_tail(head, b"RIFF", 8, b"WEBP"),
    )
    return max(matches, key=lambda match: match.value)


def _match_prefix(head: bytes, magic: bytes) -> HeaderMatch:
    if head.startswith(magic):
        return HeaderMatch.FULL
    return HeaderMatch.PARTIAL if magic.startswith(head) else HeaderMatch.NO


def _match_ogg(head: bytes) -> HeaderMatch:
    magic = _match_prefix(head, b"OggS\x00")
    if magic is HeaderMatch.FULL and len(head) < 6:
        return HeaderMatch.PARTIAL
    if magic is HeaderMatch.FULL and not head[5] & _OGG_BEGINNING:
        return HeaderMatch.NO
    return magic


def _match_tail(head: bytes, front: bytes, offset: int, tail: bytes) -> HeaderMatch:
    """Match `front`, anything up to `offset`, then `tail`."""
    magic = _match_prefix(head, front)
    if magic is not HeaderMatch.FULL:
        return magic
    if len(head) <= offset:
        return HeaderMatch.PARTIAL
    return _match_prefix(head[offset:], tail)


def _match_mp3(head: bytes) -> HeaderMatch:
    """Match a frame sync (11 bits set) with a layer, ISO 11172-3."""
    if len(head) < 2:
        return HeaderMatch.PARTIAL if head in (b"", b"\xff") else HeaderMatch.NO
    return HeaderMatch.FULL if head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 else HeaderMatch.NO
