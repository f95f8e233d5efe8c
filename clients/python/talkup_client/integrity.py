"""Finds damage in a recording by its container: WebM (RFC 9559), Ogg (RFC 3533), MP4 (ISO/IEC 14496-12).

The gateway decodes around damage, so nothing in the transcript itself shows that words are missing.
"""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from talkup_client.boxes import boxes
from talkup_client.media_file import MediaFile

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
# SeekHead, Info, Tracks, Cues, Chapters, Tags, Attachments
_IN_SEGMENT = frozenset({0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1043A770, 0x1254C367, 0x1941A469})
# Timestamp, SimpleBlock, BlockGroup, Position, PrevSize, SilentTracks, EncryptedBlock
_IN_CLUSTER = frozenset({0xE7, 0xA3, 0xA0, 0xA7, 0xAB, 0x5854, 0xAF})
_ANYWHERE = frozenset({0xEC, 0xBF})  # Void, CRC-32
_KNOWN = frozenset({_EBML, _SEGMENT, _CLUSTER}) | _IN_SEGMENT | _IN_CLUSTER | _ANYWHERE
_HEAD_BYTES = 12  # an ID of four bytes and a size of eight
_ENTERED = frozenset({_SEGMENT, _CLUSTER})

_BOX_TYPE = re.compile(rb"[ -~\xa9]{4}")
_MAX_BOX_BYTES = 1 << 62

_PAGE = struct.Struct("<4sBBqIIIB")
_BEGINS = 0x02
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def damage(media: MediaFile) -> str:
    """A line for the user about the first damage; empty if there is none, or if the format cannot show it."""
    if media.decoder is not None:
        lost = media.decoder.damaged
        return f"{lost} packets of the recording could not be decoded: words may be missing" if lost else ""
    match media.format.partition(";")[0]:
        case "audio/webm" | "video/webm":
            at = _webm(media.path, media.size_bytes)
        case "audio/ogg":
            at = _ogg(media.path, media.size_bytes)
        case "audio/mp4" | "video/mp4":
            at = _mp4(media.path, media.size_bytes)
        case _:
            return ""
    return "" if at is None else f"the recording is damaged at byte {at} of {media.size_bytes}: words may be missing"


def _webm(path: Path, size: int) -> int | None:
    """Offset of the first unexpected element. A recorder that restarts begins a new document, which is no damage.

    Neither is an incomplete element header at the end: Chrome 57 cuts its slices there and drops the last.
    """
    at = 0
    with path.open("rb") as file:
        while at + _HEAD_BYTES <= size:
            file.seek(at)
            head = file.read(_HEAD_BYTES)
            identifier, width = _identifier(head)
            if identifier not in _KNOWN:
                return at
            length, length_width = _length(head[width:])
            if not length_width:
                return at
            body = at + width + length_width
            if identifier in _ENTERED:
                at = body  # its children follow, whether its size is known or not
            elif length is None or body + length > size:
                return at
            else:
                at = body + length
    return None


def _identifier(head: bytes) -> tuple[int, int]:
    """An element's ID with its marker bits, and its width in bytes; width 0 for none."""
    width = 9 - head[0].bit_length() if head else 9
    return (int.from_bytes(head[:width], "big"), width) if width <= 4 else (0, 0)


def _length(head: bytes) -> tuple[int | None, int]:
    """An element's size, None if it is unknown, and the width of the size in bytes; width 0 for none."""
    width = 9 - head[0].bit_length() if head and head[0] else 0
    if not width or len(head) < width:
        return None, 0
    value = int.from_bytes(head[:width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), width


def _ogg(path: Path, size: int) -> int | None:
    """Offset of the first page that is invalid, has a wrong checksum, or is out of order."""
    expected: dict[int, int] = {}
    at = 0
    with path.open("rb") as file:
        while at < size:
            file.seek(at)
            page = _page(file)
            if page is None:
                return at
            _, _, flags, _, serial, number, checksum, _ = _PAGE.unpack_from(page)
            if checksum != _checksum(page) or (not flags & _BEGINS and number != expected.get(serial)):
                return at
            expected[serial] = number + 1
            at += len(page)
    return None


def _mp4(path: Path, size: int) -> int | None:
    """Offset of the first box that is invalid or does not end within the file."""
    at = 0
    with path.open("rb") as file:
        while at < size:
            found = next(boxes(file, at, at + _MAX_BOX_BYTES), None)
            if found is None or not _BOX_TYPE.fullmatch(found.kind):
                return at
            if found.end == at + _MAX_BOX_BYTES:  # without a size: it extends to the end
                return None
            if found.end > size:
                return at
            at = found.end
    return None


def _page(file: BinaryIO) -> bytes | None:
    head = file.read(_PAGE.size)
    if len(head) < _PAGE.size or not head.startswith(b"OggS\0"):
        return None
    table = file.read(head[-1])
    body = file.read(sum(table))
    return head + table + body if len(table) == head[-1] and len(body) == sum(table) else None


def _checksum(page: bytes) -> int:
    """RFC 3533 6: a CRC-32 with the highest bit first, hence zlib's over mirrored bytes, mirrored."""
    plain = page[:22] + bytes(4) + page[26:]
    return int(f"{zlib.crc32(plain.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF:032b}"[::-1], 2)
