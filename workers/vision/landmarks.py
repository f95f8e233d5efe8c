"""Where the parts of a face are: the 468-point mesh, and the irises.

The mesh network sees a square crop turned upright (192 x 192, values 0 to 1), the iris network one eye (64 x 64), the
right eye of the picture mirrored. Points are numbered as in the model card of the mesh (Kartynnik et al. 2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from workers.vision.detector import Detection
from workers.vision.nets import Floats, Net, to_unit
from workers.vision.pictures import Picture, warp

POINTS: Final = 468
MIN_FACE_SCORE: Final = 0.5
EYE_KEPT_MS: Final = 250
"""An eye that was not read for this long is read again, so that none of its numbers is older."""

IMAGE_LEFT_EYE: Final = (33, 133)
IMAGE_RIGHT_EYE: Final = (362, 263)
"""Corners of the eyes, from image left to image right."""

_FROM_DETECTION: Final = 1.5
_FROM_MESH: Final = 1.5
_EYE_CROP: Final = 2.3
_CLOSING: Final = 0.85
_LIMIT: Final = 80.0


@dataclass(frozen=True, slots=True)
class Region:
    """A square crop: centre and side in pixels of the picture, `angle` in radians, clockwise as seen."""

    x: float
    y: float
    side: float
    angle: float

    def matrix(self, side: int) -> Floats:
        """From pixels of the picture to pixels of a crop of `side`, shape (2, 3)."""
        scale = side / max(self.side, 1e-3)
        c, s = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        return np.array(
            [[c, s, side / 2 - c * self.x - s * self.y], [-s, c, side / 2 + s * self.x - c * self.y]], dtype=np.float32
        )

    def to_picture(self, points: Floats, side: int) -> Floats:
        """Points of a crop of `side` (shape (n, 2) or (n, 3), z scaled as x) in pixels of the picture."""
        scale = self.side / side
        c, s = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        x, y = points[:, 0] - side / 2, points[:, 1] - side / 2
        placed = points * scale
        placed[:, 0] = self.x + c * x - s * y
        placed[:, 1] = self.y + s * x + c * y
        return placed.astype(np.float32)


def region_of_detection(detection: Detection) -> Region:
    """Around a detected face, turned so that its eyes are level."""
    left, right = detection.points[0], detection.points[1]
    x, y, width, height = (float(value) for value in detection.box)
    return Region(x + width / 2, y + height / 2, max(width, height) * _FROM_DETECTION, _angle(left, right))


def region_of_mesh(points: Floats) -> Region:
    """Around the mesh of the last frame; points of shape (468, 3) in pixels."""
    angle = _angle(points[IMAGE_LEFT_EYE[0]], points[IMAGE_RIGHT_EYE[1]])
    c, s = math.cos(angle), math.sin(angle)
    upright = points[:, :2] @ np.array([[c, -s], [s, c]], dtype=np.float32)
    low, high = upright.min(axis=0), upright.max(axis=0)
    middle = (low + high) / 2
    x, y = c * middle[0] - s * middle[1], s * middle[0] + c * middle[1]
    return Region(float(x), float(y), float(max(high - low)) * _FROM_MESH, angle)


@dataclass(frozen=True, slots=True)
class Mesh:
    """A face's points in pixels, shape (468, 3), and how sure the network is that a face is there, 0 to 1."""

    points: Floats
    score: float


class MeshReader:
    """Crops to meshes."""

    def __init__(self, net: Net) -> None:
        self._net = net

    def read(self, picture: Picture, region: Region) -> Mesh:
        """The mesh in a region; a low score means that no face is there."""
        side = self._net.spec.side
        crop = warp(picture, region.matrix(side), side)
        logit, numbers = self._net.run(to_unit(crop))
        score = 1 / (1 + math.exp(-min(max(float(logit[0]), -_LIMIT), _LIMIT)))
        return Mesh(region.to_picture(numbers.reshape(POINTS, 3), side), score)


@dataclass(frozen=True, slots=True)
class Eye:
    """Where an iris stands between the corners of its eye, in half eye widths, and how far the eye is open.

    `across` counts from the middle towards image right, `up` away from it. `opening` is the mean distance of the lids
    over the distance of the corners; the mesh's own lids hardly follow a blink (measured: 0.22 open and 0.26 closing on
    one clip where these went from 0.39 to 0.26).
    """

    across: float
    up: float
    opening: float


@dataclass(frozen=True, slots=True)
class Eyes:
    """The eyes at image left and image right, each as it was when it was last read, a time of the media clock.

    `left_next`: whose turn it is.
    """

    left: Eye
    right: Eye
    left_ms: int = 0
    right_ms: int = 0
    left_next: bool = True

    @property
    def newest(self) -> tuple[Eye | None, Eye | None]:
        """Left and right as far as they were read last, together or one of them alone."""
        last_ms = max(self.left_ms, self.right_ms)
        return self.left if self.left_ms == last_ms else None, self.right if self.right_ms == last_ms else None


class EyeReader:
    """Eyes to irises and lids.

    The network costs as much for one eye as the mesh for all of a face. If the same face was read before, the eyes
    alternate; the other one is read too if the first seems to close, else a wink would look like a blink. Both may
    skip a picture. In any case, an eye is read again before its numbers are older than `EYE_KEPT_MS`.
    """

    def __init__(self, net: Net) -> None:
        self._net = net

    def read(
        self, picture: Picture, mesh: Mesh, media_ms: int, before: Eyes | None = None, *, rest: bool = False
    ) -> Eyes:
        """The eyes of a face; `before`: those of the same face on an earlier picture; `rest`: it is nobody's turn."""
        if before is None:
            return Eyes(self._left(picture, mesh), self._right(picture, mesh), media_ms, media_ms)
        left = media_ms - before.left_ms > EYE_KEPT_MS
        right = media_ms - before.right_ms > EYE_KEPT_MS
        if not left and not right:
            if rest:
                return before
            left, right = before.left_next, not before.left_next
        shut = _CLOSING * max(before.left.opening, before.right.opening)
        found_left = self._left(picture, mesh) if left else None
        if found_left is not None and found_left.opening < shut:
            right = True
        found_right = self._right(picture, mesh) if right else None
        if found_left is None and found_right is not None and found_right.opening < shut:
            found_left = self._left(picture, mesh)
        return Eyes(
            found_left or before.left,
            found_right or before.right,
            before.left_ms if found_left is None else media_ms,
            before.right_ms if found_right is None else media_ms,
            left_next=found_left is None,
        )

    def _left(self, picture: Picture, mesh: Mesh) -> Eye:
        return self._one(picture, mesh, IMAGE_LEFT_EYE, mirrored=False)

    def _right(self, picture: Picture, mesh: Mesh) -> Eye:
        return self._one(picture, mesh, IMAGE_RIGHT_EYE, mirrored=True)

    def _one(self, picture: Picture, mesh: Mesh, corners: tuple[int, int], *, mirrored: bool) -> Eye:
        side = self._net.spec.side
        start, end = mesh.points[corners[0], :2], mesh.points[corners[1], :2]
        middle = (start + end) / 2
        width = float(np.linalg.norm(end - start))
        region = Region(float(middle[0]), float(middle[1]), width * _EYE_CROP, _angle(start, end))
        crop = warp(picture, region.matrix(side), side)
        if mirrored:
            crop = np.ascontiguousarray(crop[:, ::-1])
        contour, iris = self._net.run(to_unit(crop))
        opening = _opening(contour.reshape(-1, 3)[:, :2])
        half = side / (2 * _EYE_CROP)  # the crop lies along the corners, with the eye's middle in its own
        across = (float(iris[0]) - side / 2) / half
        return Eye(-across if mirrored else across, (side / 2 - float(iris[1])) / half, opening)


def _opening(contour: Floats) -> float:
    """Of the contour's first 16 points: lower lid 0 to 8 with both corners, upper lid 9 to 15 above 1 to 7."""
    lids = np.linalg.norm(contour[3:6] - contour[11:14], axis=1).mean()
    return float(lids) / max(float(np.linalg.norm(contour[8] - contour[0])), 1e-6)


def _angle(left: Floats, right: Floats) -> float:
    return math.atan2(float(right[1] - left[1]), float(right[0] - left[0]))
