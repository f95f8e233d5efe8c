"""What a picture is, read from its bytes before any decoder sees them: its kind, its sides, what decoding it costs.

Every part of the file that a decoder would follow is followed here, in Python: a JPEG (ITU-T T.81, Annex B) may hide a
second frame header or thousands of scans behind a small first one, and a PNG (ISO/IEC 15948) of 249 KB decoded to
768 MB in a trial. Only JPEG, PNG and WebP (RFC 9649) reach a decoder; the sender gets the name of any other format.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

WORK_SIDE: Final = 960
"""Pictures are analysed no longer than this on either side."""

MIN_SIDE: Final = 16
MAX_SIDE: Final = 16_383
MAX_PIXELS: Final = 65_000_000
MAX_BYTES: Final = 4 << 20
MAX_SECONDS: Final = 2.0
"""The longest time that decoding one picture may take, as estimated."""

ACCEPTED: Final = "send JPEG, PNG or WebP"

_MAX_PARTS: Final = 4_096
"""Segments of a JPEG or chunks of a PNG or WebP; real ones have a few hundred."""

_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_NO_FRAMES: Final = (0xC4, 0xC8, 0xCC)
"""Markers among 0xC0 to 0xCF that start no frame: DHT, JPG, DAC."""

_SOS, _EOI = 0xDA, 0xD9
_STANDALONE: Final = (0x00, 0x01, *range(0xD0, 0xD9))
"""Markers without a length; none may stand between segments, and 0x00 makes no marker at all."""

_BEHIND_SCAN: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")

# Seconds for a pixel, measured with OpenCV 5.0 on one core: JPEG at full and at reduced size, each progressive scan.
_JPEG_SECONDS: Final = 5e-9
_REDUCED_SECONDS: Final = 1.5e-9
_SCAN_SECONDS: Final = 0.6e-9
_PNG_SECONDS: Final = 16e-9
_WEBP_SECONDS: Final = 15e-9


class Kind(StrEnum):
    """The pictures that are read."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WebP"


class Reason(StrEnum):
    """Why a picture is refused, as it is called on the wire."""

    UNSUPPORTED = "unsupported_format"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"
    TOO_COMPLEX = "too_complex"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"


class HeaderError(Exception):
    """Bytes that are not a picture to be analysed; the message is safe for the wire."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Sides in pixels as stored. `scans`: of a progressive JPEG; 1: the picture is stored in one."""

    kind: Kind
    width: int
    height: int
    scans: int = 1

    @property
    def reduce(self) -> int:
        """At which fraction of its size to decode it: 1, 2, 4 or 8; only a JPEG decoder can."""
        if self.kind is not Kind.JPEG:
            return 1
        longest = max(self.width, self.height)
        return max(factor for factor in (1, 2, 4, 8) if factor == 1 or longest >= factor * WORK_SIDE)

    @property
    def seconds(self) -> float:
        """About how long decoding takes on one core."""
        match self.kind:
            case Kind.JPEG:
                each = _JPEG_SECONDS if self.reduce == 1 else _REDUCED_SECONDS
                each += _SCAN_SECONDS * self.scans if self.scans > 1 else 0.0
            case Kind.PNG:
                each = _PNG_SECONDS
            case Kind.WEBP:
                each = _WEBP_SECONDS
        return each * self.width * self.height


def read_header(data: bytes) -> ImageHeader:
    """The checked header of a whole encoded picture. Raises HeaderError."""
    if len(data) > MAX_BYTES:
        raise HeaderError(Reason.TOO_LARGE, f"the picture has more than {MAX_BYTES >> 20} MiB")
    try:
        if data[:3] == b"\xff\xd8\xff":
            header = _jpeg(data)
        elif data[:8] == b"\x89PNG\r\n\x1a\n":
            header = _png(data)
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            header = _webp(data)
        else:
            raise HeaderError(Reason.UNSUPPORTED, f"{_name_of(data)}; {ACCEPTED}")
    except (struct.error, IndexError):
        raise HeaderError(Reason.TRUNCATED, "the picture ends within its header") from None
    if header.seconds > MAX_SECONDS:
        raise HeaderError(Reason.TOO_COMPLEX, f"the picture has too many scans for its size; {ACCEPTED} in one scan")
    return header


def _sized(kind: Kind, width: int, height: int) -> ImageHeader:
    if min(width, height) < MIN_SIDE:
        raise HeaderError(Reason.TOO_SMALL, f"a side of the picture is shorter than {MIN_SIDE} pixels")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        limit = f"{MAX_PIXELS // 1_000_000} megapixels or {MAX_SIDE} pixels on a side"
        raise HeaderError(Reason.TOO_LARGE, f"the picture is larger than {limit}")
    return ImageHeader(kind, width, height)


def _jpeg(data: bytes) -> ImageHeader:
    """Follow every segment and every scan to the end of the image."""
    at, scans = 2, 0
    frame: ImageHeader | None = None
    for _ in range(_MAX_PARTS):
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        if at + 2 > len(data):
            raise HeaderError(Reason.TRUNCATED, "the JPEG ends before its end marker")
        marker = data[at + 1]
        if data[at] != 0xFF or marker in _STANDALONE:
            raise HeaderError(Reason.DAMAGED, "the JPEG's segments are damaged")
        if marker == _EOI:
            break
        (length,) = struct.unpack_from(">H", data, at + 2)
        if length < 2:
            raise HeaderError(Reason.DAMAGED, "the JPEG's segments are damaged")
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES:
            if frame is not None:
                raise HeaderError(Reason.DAMAGED, "the JPEG has two frame headers")
            frame = _jpeg_frame(data, at, marker)
        at += 2 + length
        if marker == _SOS:
            scans += 1
            following = _BEHIND_SCAN.search(data, at)
            if following is None:
                raise HeaderError(Reason.TRUNCATED, "the JPEG ends within its picture")
            at = following.start()
    if frame is None or not scans:
        raise HeaderError(Reason.DAMAGED, "the JPEG has no frame")
    return replace(frame, scans=scans)


def _jpeg_frame(data: bytes, at: int, marker: int) -> ImageHeader:
    precision, height, width = struct.unpack_from(">BHH", data, at + 4)
    if marker not in (_BASELINE, _EXTENDED, _PROGRESSIVE) or precision != 8:
        raise HeaderError(
            Reason.UNSUPPORTED, "the JPEG is lossless, arithmetic-coded or deeper than 8 bits; send a usual one"
        )
    return _sized(Kind.JPEG, width, height)


def _png(data: bytes) -> ImageHeader:
    """Follow every chunk to the last."""
    size, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    if kind != b"IHDR" or size != 13:
        raise HeaderError(Reason.DAMAGED, "the PNG does not begin with its header")
    header, at = _sized(Kind.PNG, width, height), 8
    for _ in range(_MAX_PARTS):
        if at + 12 > len(data):
            raise HeaderError(Reason.TRUNCATED, "the PNG ends before its last chunk")
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IEND":
            return header
        if kind == b"acTL":
            raise HeaderError(Reason.UNSUPPORTED, f"an animated PNG is not read; {ACCEPTED} without animation")
        at += 12 + size
    raise HeaderError(Reason.DAMAGED, "the PNG has too many chunks")


def _webp(data: bytes) -> ImageHeader:
    """Follow the chunks to the picture, whose sides must be those of the canvas where there is one."""
    (whole,) = struct.unpack_from("<I", data, 4)
    at, canvas = 12, None
    for _ in range(_MAX_PARTS):
        kind, (size,) = data[at : at + 4], struct.unpack_from("<I", data, at + 4)
        body = at + 8
        if kind == b"VP8X":
            if data[body] & 0x02:
                raise HeaderError(Reason.UNSUPPORTED, f"an animated WebP is not read; {ACCEPTED} without animation")
            canvas = _three(data, body + 4) + 1, _three(data, body + 7) + 1
            _sized(Kind.WEBP, *canvas)
        elif kind in (b"VP8 ", b"VP8L"):
            sides = _webp_sides(data, body, lossless=kind == b"VP8L")
            if canvas not in (None, sides):
                raise HeaderError(Reason.DAMAGED, "the WebP's picture does not fit its canvas")
            if whole + 8 > len(data) or body + size > len(data):
                raise HeaderError(Reason.TRUNCATED, "the WebP ends within its picture")
            return _sized(Kind.WEBP, *sides)
        at = body + size + size % 2
    raise HeaderError(Reason.DAMAGED, "the WebP holds no picture")


def _webp_sides(data: bytes, body: int, *, lossless: bool) -> tuple[int, int]:
    if lossless and data[body] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, body + 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if not lossless and data[body + 3 : body + 6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, body + 6)
        return width & 0x3FFF, height & 0x3FFF
    raise HeaderError(Reason.DAMAGED, "the WebP's frame is damaged")


def _three(data: bytes, at: int) -> int:
    low, high = struct.unpack_from("<HB", data, at)
    return int(low | high << 16)


_MAGICS: Final = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\x00", "a TIFF"),
    (b"MM\x00*", "a TIFF"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000"),
    (b"\x00\x00\x01\x00", "an icon (ICO)"),
    (b"%PDF", "a PDF"),
    (b"<svg", "an SVG"),
    (b"\x1a\x45\xdf\xa3", "a WebM video"),
)
_HEIF_BRANDS: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS: Final = (b"avif", b"avis")


def _name_of(data: bytes) -> str:
    """What bytes that are not read seem to be, as the beginning of a sentence."""
    if data[4:8] == b"ftyp":
        brands = [data[8:12], *(data[at : at + 4] for at in range(16, min(len(data), 64), 4))]
        if any(brand in _AVIF_BRANDS for brand in brands):
            return "an AVIF picture is not read"
        if any(brand in _HEIF_BRANDS for brand in brands):
            return "a HEIC picture is not read"
        return "an MP4 recording is no picture"
    name = next((name for magic, name in _MAGICS if data.startswith(magic)), None)
    return "the bytes are of no known kind of picture" if name is None else f"{name} is not read as a picture"
