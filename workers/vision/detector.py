"""Where faces are: BlazeFace full-range, its anchors, its decoding, and weighted non-maximum suppression.

The network sees the picture letter-boxed to 192 x 192, values -1 to 1, and gives for each of 48 x 48 places a score
(a logit) and 16 numbers: box centre and size, then six points, all in pixels of its input relative to the place.
Weighted suppression (Bazarevsky et al. 2019, section 4.3) averages overlapping boxes instead of picking one, which
steadies them from frame to frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.vision.nets import Floats, Net, to_signed
from workers.vision.pictures import Picture, letterbox

GRID: Final = 48
MIN_SCORE: Final = 0.5
"""Measured: at most 0.22 on stills and clips without a face, 0.79 and more on faces of 40 pixels and up."""

MAX_FACES: Final = 16
_MIN_OVERLAP: Final = 0.3
_MAX_LOGIT: Final = 80.0


@dataclass(frozen=True, slots=True)
class Detection:
    """A face in pixels of the picture: `box` is x, y, width, height; `points` of shape (6, 2).

    The points are the eyes (image left first), nose tip, mouth, and the ears (image left first).
    """

    box: Floats
    points: Floats
    score: float


class Detector:
    """Pictures to faces, strongest first."""

    def __init__(self, net: Net) -> None:
        self._net = net

    def detect(self, picture: Picture) -> list[Detection]:
        """The faces of a picture of shape (height, width, 3), RGB, any size."""
        side = self._net.spec.side
        small, scale, shift = letterbox(picture, side)
        logits, numbers = self._net.run(to_signed(small))
        boxes, scores = decode(numbers.reshape(-1, 16), logits, side)
        rows, best = suppress(boxes, scores)
        placed = [(row * side - np.tile(shift, 8)) / scale for row in rows[:MAX_FACES]]
        return [_detection(row, score) for row, score in zip(placed, best, strict=False)]


def anchors() -> Floats:
    """The centres of the 48 x 48 places in fractions of the input, shape (2304, 2), row by row."""
    steps = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
    x, y = np.meshgrid(steps, steps)
    return np.stack([x.ravel(), y.ravel()], axis=1)


_ANCHORS: Final = anchors()


def decode(numbers: Floats, logits: Floats, side: int) -> tuple[Floats, Floats]:
    """Rows of eight points (top left, bottom right, then six points; fractions of the input) and scores.

    Only places with a score of `MIN_SCORE` or more are kept.
    """
    scores = 1 / (1 + np.exp(-np.clip(logits, -_MAX_LOGIT, _MAX_LOGIT)))
    keep = np.flatnonzero(scores >= MIN_SCORE)
    points = (numbers[keep] / np.float32(side)).reshape(-1, 8, 2)
    points[:, [0, 2, 3, 4, 5, 6, 7]] += _ANCHORS[keep][:, np.newaxis]
    half = points[:, 1] / 2
    centre = points[:, 0].copy()
    points[:, 0], points[:, 1] = centre - half, centre + half
    return points.reshape(-1, 16).astype(np.float32), scores[keep].astype(np.float32)


def suppress(rows: Floats, scores: Floats) -> tuple[list[Floats], list[float]]:
    """One row for each group of overlapping ones: their mean weighted by score; with the group's best score."""
    order = np.argsort(-scores, kind="stable")
    merged: list[Floats] = []
    best: list[float] = []
    while order.size:
        overlap = overlaps(rows[order[0], :4], rows[order, :4])
        group = order[overlap >= _MIN_OVERLAP]
        if not group.size:  # a box without area overlaps nothing, itself included
            order = order[1:]
            continue
        weights = scores[group][:, np.newaxis]
        merged.append(((rows[group] * weights).sum(axis=0) / weights.sum()).astype(np.float32))
        best.append(float(scores[order[0]]))
        order = order[overlap < _MIN_OVERLAP]
    return merged, best


def overlaps(box: Floats, boxes: Floats) -> NDArray[np.float32]:
    """Intersection over union of a box (x0, y0, x1, y1) with each of several, 0 where an area is not positive."""
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[2:4], boxes[:, 2:4])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(np.clip(boxes[:, 2:4] - boxes[:, :2], 0, None), axis=1)
    union = areas + np.prod(np.clip(box[2:4] - box[:2], 0, None)) - shared
    return np.where(union > 0, shared / np.maximum(union, 1e-12), 0).astype(np.float32)


def _detection(row: Floats, score: float) -> Detection:
    corners = row[:4]
    box = np.array([corners[0], corners[1], corners[2] - corners[0], corners[3] - corners[1]], dtype=np.float32)
    return Detection(box, row[4:].reshape(6, 2).astype(np.float32), score)
