"""Tags that players put in front of a recording or behind it, whatever its container: neither media nor damage.

ID3v2 (id3.org, 2.4.0 section 3.1) in front; ID3v1 (128 bytes from `TAG`) behind.
"""

from __future__ import annotations

ID3V2 = b"ID3"
ID3V2_HEAD_BYTES = 10
ID3V1 = b"TAG"
_FOOTER = 0x10


def id3v2_size(head: bytes | bytearray) -> int:
    """The size of the whole tag that these ten bytes begin, its footer included."""
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return ID3V2_HEAD_BYTES + size + (ID3V2_HEAD_BYTES if head[5] & _FOOTER else 0)
