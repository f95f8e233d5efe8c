"""Dimensions and cost are known before anything is decoded; only JPEG, PNG and WebP are decoded."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.workers.vision.encoded import encoded, hidden_frame_header, many_scans, photo, two_frame_headers
from tests.unit.workers.vision.faces import empty, jpeg, portrait, webp
from workers.vision.image_header import (
    MAX_BYTES,
    MAX_PIXELS,
    MAX_SECONDS,
    MAX_SIDE,
    WORK_SIDE,
    HeaderError,
    Reason,
    read_header,
)


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
    assert sides(encoded(picture, "png")) == (320, 288)
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
    "a hidden frame header": hidden_frame_header(),
    "two frame headers": two_frame_headers(),
    "scans without end": many_scans(4_000, 3_000, 20_000),
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
    assert 16 <= min(header.width, header.height) <= max(header.width, header.height) <= MAX_SIDE
    assert header.width * header.height <= MAX_PIXELS
    assert header.seconds <= MAX_SECONDS


@pytest.mark.parametrize(
    ("kind", "width", "height"),
    [("jpeg", 8_192, 6_144), ("jpeg", 4_032, 3_024), ("png", 4_032, 3_024), ("webp", 4_032, 3_024)],
)
def test_photos_are_read_at_a_size_that_their_decoder_gives_cheaply(kind: str, width: int, height: int) -> None:
    header = read_header(photo(kind, width, height))
    assert (header.width, header.height) == (width, height)
    assert max(width, height) / header.reduce < 2 * WORK_SIDE or kind != "jpeg"


@pytest.mark.parametrize(
    ("reason", "says", "data"),
    [
        (Reason.UNSUPPORTED, "GIF", encoded(empty(), "gif")),
        (Reason.UNSUPPORTED, "BMP", encoded(empty(), "bmp")),
        (Reason.UNSUPPORTED, "TIFF", encoded(empty(), "tiff")),
        (Reason.UNSUPPORTED, "AVIF", encoded(empty(), "avif")),
        (Reason.UNSUPPORTED, "HEIC", b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"),
        (Reason.UNSUPPORTED, "HEIC", b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic"),
        (Reason.UNSUPPORTED, "MP4", b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isomavc1"),
        (Reason.UNSUPPORTED, "no known kind", b"this is no picture"),
        (Reason.UNSUPPORTED, "animated", HOSTILE["an animation"]),
        (Reason.TOO_LARGE, "65 megapixels", HOSTILE["a PNG bomb"]),
        (Reason.TOO_LARGE, "65 megapixels", huge_jpeg()),
        (Reason.TOO_LARGE, "4 MiB", HOSTILE["too many bytes"]),
        (Reason.TOO_SMALL, "16 pixels", HOSTILE["one pixel"]),
        (Reason.TOO_COMPLEX, "scans", HOSTILE["scans without end"]),
        (Reason.DAMAGED, "two frame headers", HOSTILE["two frame headers"]),
        *((Reason.TRUNCATED, "ends", encoded(portrait(), kind)[:-300]) for kind in ("jpeg", "png", "webp")),
    ],
    ids=lambda value: value if isinstance(value, str) else "data",
)
def test_a_refusal_says_why(reason: Reason, says: str, data: bytes) -> None:
    with pytest.raises(HeaderError, match=says) as refused:
        read_header(data)
    assert refused.value.reason is reason
    assert "send JPEG, PNG or WebP" in str(refused.value) or reason is not Reason.UNSUPPORTED
