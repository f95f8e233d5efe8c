"""Tags that players put in front of a recording or behind it, whatever its container: neither media nor damage.

ID3v2 (id3.org, 2.4.0 section 3.1), ID3v1 (128 bytes from `TAG`), APEv2 (`APETAGEX`), Lyrics3.
"""

from __future__ import annotations

ID3V2 = b"ID3"
ID3V2_HEAD_BYTES = 10
ID3V1 = b"TAG"
ID3V1_BYTES = 128
APE = b"APETAGEX"
_APE_FOOTER_BYTES = 32
_FOOTER = 0x10
_HAS_HEADER = 0x8000_0000


def id3v2_size(head: bytes | bytearray) -> int:
    """The size of the whole tag that these ten bytes begin, its footer included."""
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return ID3V2_HEAD_BYTES + size + (ID3V2_HEAD_BYTES if head[5] & _FOOTER else 0)


def without_tail(data: bytes) -> bytes:
    """The bytes without the tags at their end."""
    if data[-ID3V1_BYTES:][:3] == ID3V1 and len(data) >= ID3V1_BYTES:
        data = data[:-ID3V1_BYTES]
    lyrics = data.rfind(b"LYRICSBEGIN") if data.endswith((b"LYRICSEND", b"LYRICS200")) else -1
    if lyrics >= 0:
        data = data[:lyrics]
    footer = data[-_APE_FOOTER_BYTES:]
    if footer.startswith(APE) and len(footer) == _APE_FOOTER_BYTES:
        size = int.from_bytes(footer[12:16], "little")
        size += _APE_FOOTER_BYTES if int.from_bytes(footer[20:24], "little") & _HAS_HEADER else 0
        data = data[: -max(_APE_FOOTER_BYTES, size)]
    return data
