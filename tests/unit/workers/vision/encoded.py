"""Encoded pictures: as cameras and programs write them, and as nobody should."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np

from workers.vision.pictures import Picture

MARKS: Picture = np.zeros((40, 60, 3), np.uint8)
"""A red, a green, a blue and a white quarter, row by row."""

MARKS[:20, :30], MARKS[:20, 30:], MARKS[20:, :30], MARKS[20:, 30:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), 255


def encoded(picture: Picture, kind: str, *options: int) -> bytes:
    """A picture as `jpeg`, `png`, `webp`, `gif`, `bmp`, `tiff` or `avif`, with OpenCV's options."""
    return cv2.imencode(f".{kind}", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def photo(kind: str, width: int, height: int) -> bytes:
    """A grey picture of any size."""
    return encoded(np.full((height, width, 3), 128, np.uint8), kind)


def turned(picture: Picture, kind: str, orientation: int) -> bytes:
    """An encoded picture whose EXIF gives an orientation (1 to 8)."""
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01" + struct.pack(">HHI", orientation, 0, 0)
    if kind == "png":
        data = encoded(picture, kind)
        return data[:33] + png_chunk(b"eXIf", tiff) + data[33:]
    if kind == "webp":
        data = encoded(picture, kind, cv2.IMWRITE_WEBP_QUALITY, 101)
        height, width = picture.shape[:2]
        canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        body = b"WEBP" + riff(b"VP8X", b"\x08\x00\x00\x00" + canvas) + data[12:] + riff(b"EXIF", tiff)
        return riff(b"RIFF", body)
    data = encoded(picture, kind, cv2.IMWRITE_JPEG_QUALITY, 95)
    exif = b"Exif\0\0" + tiff
    return data[:2] + segment(0xE1, exif) + data[2:]


def riff(name: bytes, body: bytes) -> bytes:
    """A RIFF chunk."""
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def segment(marker: int, body: bytes) -> bytes:
    """A JPEG segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(body)) + body


def progressive(width: int, height: int) -> tuple[bytes, bytes, bytes]:
    """A progressive JPEG that claims these sides: its frame header, its tables, its scans with the end marker."""
    data = cv2.imencode(".jpg", np.full((16, 16, 3), 128, np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    at, frame, tables = 2, b"", b""
    while data[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, at + 2)
        part = data[at : at + 2 + length]
        if part[1] == 0xC2:
            frame = part[:5] + struct.pack(">HH", height, width) + part[9:]
        else:
            tables += part
        at += 2 + length
    return frame, tables, data[at:]


def two_frame_headers() -> bytes:
    """640 x 480 by its first frame header, 30,000 x 30,000 by the second."""
    frame, tables, scans = progressive(30_000, 30_000)
    return b"\xff\xd8" + progressive(640, 480)[0] + frame + tables + scans


def hidden_frame_header() -> bytes:
    """540 bytes that a decoder reads as 30,000 x 30,000 pixels, which takes 5 GB and 20 s.

    A marker without a length (RST0) is followed by what looks like one: who believes it passes over the whole picture
    and finds the frame header of a small one behind it.
    """
    frame, tables, scans = progressive(30_000, 30_000)
    hidden = frame + tables + scans
    return b"\xff\xd8\xff\xfe\x00\x02\xff\xd0" + struct.pack(">H", len(hidden) + 2) + hidden + progressive(16, 16)[0]


def many_scans(width: int, height: int, count: int) -> bytes:
    """A progressive JPEG with `count` further scans of its luma, all empty, each of them read block by block."""
    frame, tables, _ = progressive(width, height)
    codes = bytes([1, *([0] * 15)])
    blocks = -(-width // 8) * -(-height // 8)
    direct = segment(0xC4, b"\x00" + codes + b"\x00") + segment(0xDA, bytes.fromhex("03010002000300000000"))
    direct += bytes(-(-width // 16) * -(-height // 16) * 6 // 8 + 1)
    runs = segment(0xDA, bytes.fromhex("01010001 3f00")) + bytes((blocks // 16_384 + 2) * 15 // 8)
    return b"\xff\xd8" + frame + tables + direct + segment(0xC4, b"\x10" + codes + b"\xe0") + runs * count + b"\xff\xd9"
