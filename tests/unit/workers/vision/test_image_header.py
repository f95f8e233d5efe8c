"""Dimensions are known before anything is decoded; only JPEG and WebP are decoded."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.workers.vision.faces import empty, jpeg, portrait, webp
from workers.vision.image_header import MAX_BYTES, HeaderError, read_header


def sides(data: bytes) -> tuple[int, int]:
    header = read_header(data)
    return header.width, header.height


def test_the_sides_of_every_kind_are_read() -> None:
    picture = portrait()
    alpha = np.dstack([picture, np.full(picture.shape[:2], 200, np.uint8)])
    assert sides(jpeg(picture)) == (320, 288)
    assert sides(jpeg(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))) == (320, 288)
    assert sides(webp(picture)) == (320, 288)
    assert sides(webp(alpha)) == (320, 288)
    progressive = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert sides(progressive) == (320, 288)
    lossless = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    assert sides(lossless) == (320, 288)


def huge_jpeg() -> bytes:
    data = bytearray(jpeg(empty(64, 64)))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 50_000, 50_000)
    return bytes(data)


def png_bomb() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 16_000, 16_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1 << 20)))


HOSTILE = {
    "nothing": b"",
    "text": b"this is not a picture at all, whatever it was called",
    "a huge header": huge_jpeg(),
    "a PNG bomb": png_bomb(),
    "one pixel": jpeg(empty(1, 1)),
    "a cut header": jpeg(portrait())[:12],
    "no frame": b"\xff\xd8\xff\xd9" + bytes(64),
    "segments without end": b"\xff\xd8" + b"\xff\xe0\x00\x02" * 1000,
    "too many bytes": b"\xff\xd8\xff" + bytes(MAX_BYTES),
    "a WebP of nothing": b"RIFF\x10\x00\x00\x00WEBPVP8 ",
    "a huge WebP": b"RIFF\x1e\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00" + b"\xff\xff\xff" * 2,
    "an animation": b"RIFF\x1e\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00" + b"\xff\x00\x00" * 2,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pictures_are_refused_by_their_header(name: str) -> None:
    with pytest.raises(HeaderError):
        read_header(HOSTILE[name])


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: b"\xff\xd8\xff" + tail))
def test_any_bytes_give_a_header_within_bounds_or_an_error(data: bytes) -> None:
    try:
        header = read_header(data)
    except HeaderError:
        return
    assert 16 <= min(header.width, header.height) <= max(header.width, header.height) <= 4_096
