"""The door to OpenCV's picture functions: decoding, resizing, warping, light and sharpness.

A picture is an array of shape (height, width, 3), RGB, 8 bits; a grey one has shape (height, width).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

cv2.setNumThreads(1)

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]

_FLAGS: Final = cv2.IMREAD_COLOR_RGB
_REDUCED: Final = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_BLUR_SIDE: Final = 96


class PictureError(Exception):
    """Bytes that are not a picture; the message is safe for the wire."""


def decode_image(data: bytes, *, reduce: int = 1) -> Picture:
    """An encoded JPEG, PNG or WebP as a picture, upright by its EXIF; grey, CMYK and transparent ones become RGB.

    `reduce` 2, 4 or 8 decodes a JPEG at that fraction of its size, which costs as much less. The caller has checked
    the dimensions in the header: a small file may decode to any size. Raises PictureError.
    """
    flags = _FLAGS if reduce == 1 else _REDUCED[reduce]
    try:
        decoded = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error as error:
        raise PictureError("the picture cannot be decoded") from error
    if decoded is None:
        raise PictureError("the picture cannot be decoded")
    if reduce != 1:
        decoded = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    return np.asarray(decoded, dtype=np.uint8)


def encode_samples() -> Iterator[tuple[str, bytes]]:
    """A small grey picture in every encoding that `decode_image` reads, by its name."""
    grey_picture = np.full((32, 32, 3), 128, dtype=np.uint8)
    for name in ("jpeg", "png", "webp"):
        yield name, cv2.imencode(f".{name}", grey_picture)[1].tobytes()


def from_yuv420(planes: bytes | memoryview, width: int, height: int) -> Picture:
    """Planar YUV 4:2:0 with even sides as a picture. Raises PictureError if the number of bytes is wrong."""
    values = np.frombuffer(planes, dtype=np.uint8)
    if width % 2 or height % 2 or values.size != width * height * 3 // 2:
        raise PictureError("a decoded frame has the wrong size")
    rgb = cv2.cvtColor(values.reshape(height * 3 // 2, width), cv2.COLOR_YUV2RGB_I420)
    return np.asarray(rgb, dtype=np.uint8)


def to_yuv420(picture: Picture) -> tuple[bytes, int, int]:
    """Planar YUV 4:2:0, its width and height; an odd side loses its last row or column."""
    height, width = (side & ~1 for side in picture.shape[:2])
    planes = cv2.cvtColor(np.ascontiguousarray(picture[:height, :width]), cv2.COLOR_RGB2YUV_I420)
    return planes.tobytes(), width, height


def shrink(picture: Picture, longest: int) -> Picture:
    """The picture, no side longer than `longest` pixels."""
    height, width = picture.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def letterbox(picture: Picture, side: int) -> tuple[Picture, float, Floats]:
    """The whole picture in a black square; with the scale and the shift (x, y) that lead into the square.

    Halved as often as it goes, which OpenCV does ten times faster than averaging by a broken factor, then interpolated.
    """
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    while picture.shape[1] >= 2 * inner[0] and picture.shape[0] >= 2 * inner[1]:
        half = (picture.shape[1] // 2, picture.shape[0] // 2)
        picture = np.asarray(cv2.resize(picture, half, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    square = np.zeros((side, side, 3), dtype=np.uint8)
    left, top = (side - inner[0]) // 2, (side - inner[1]) // 2
    square[top : top + inner[1], left : left + inner[0]] = cv2.resize(picture, inner)
    return square, scale, np.array([left, top], dtype=np.float32)


def warp(picture: Picture, to_crop: Floats, side: int) -> Picture:
    """A square crop; `to_crop` of shape (2, 3) leads from pixels of the picture to pixels of the crop."""
    crop = cv2.warpAffine(picture, to_crop, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, dtype=np.uint8)


def grey(picture: Picture) -> Picture:
    """Luma, shape (height, width)."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def total(luma: Picture) -> float:
    """The sum of a grey picture, exactly; numpy takes twenty times as long for it."""
    return float(cv2.sumElems(luma)[0])


def thumbnail(luma: Picture, width: int, height: int) -> Floats:
    """Luma averaged down to a small picture, 0 to 255."""
    return np.asarray(cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA), dtype=np.float32)


def sharpness(luma: Picture) -> float:
    """Variance of the Laplacian of a grey crop over the variance of its luma, at a fixed size.

    Pech-Pacheco et al. 2000, made independent of the light; the fixed size makes near and far faces comparable.
    """
    fixed = cv2.resize(luma, (_BLUR_SIDE, _BLUR_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    contrast = float(fixed.var())
    return float(cv2.Laplacian(fixed, cv2.CV_32F).var()) / contrast if contrast > 1 else 0.0
