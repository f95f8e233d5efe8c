"""The one face made to move: its picture laid over its own mesh, the mesh turned or bent, and drawn again.

So a clip shows a head turned by known angles, or a mouth that smiles less, at known times, without a second picture.
"""

from __future__ import annotations

import math
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.unit.workers.vision import faces
from workers.vision.face_reader import FaceFollower
from workers.vision.pictures import Picture

Points = NDArray[np.float32]

MOUTH_CORNERS = (61, 291)
_BEND = 26.0
"""Pixels around a corner of the mouth that move with it; the face is 107 high."""


@cache
def mesh() -> Points:
    """The portrait's mesh, shape (468, 3), pixels; z away from the camera."""
    face = FaceFollower().read(faces.nets(), faces.portrait(), 0).face
    assert face is not None
    assert face.mesh is not None
    return face.mesh.points


@cache
def turned(yaw: int, pitch: int = 0) -> Picture:
    """The head turned by these degrees: yaw towards image right, pitch upwards."""
    points = mesh()
    middle = points.mean(axis=0) + np.array([0, 0, 40])  # the neck, behind the face
    a, b = math.radians(yaw), math.radians(pitch)
    turn = np.array([[math.cos(a), 0, -math.sin(a)], [0, 1, 0], [math.sin(a), 0, math.cos(a)]])
    nod = np.array([[1, 0, 0], [0, math.cos(b), math.sin(b)], [0, -math.sin(b), math.cos(b)]])
    return redrawn(((points - middle) @ (turn @ nod).T + middle).astype(np.float32))


@cache
def without_smile() -> Picture:
    """The corners of the mouth drawn inwards and down."""
    points = mesh().copy()
    left, right = (mesh()[corner, :2] for corner in MOUTH_CORNERS)
    for corner, other in ((left, right), (right, left)):
        near = np.exp(-np.square(np.linalg.norm(mesh()[:, :2] - corner, axis=1) / _BEND))
        points[:, :2] += near[:, None] * (0.22 * (other - corner) + np.array([0, 9]))
    return redrawn(points)


def redrawn(points: Points) -> Picture:
    """The portrait with its mesh's points moved; the frame of the picture stays where it is."""
    picture = faces.portrait()
    height, width = picture.shape[:2]
    frame = np.array([(x, y, 0) for x in (0, width // 2, width - 1) for y in (0, height // 2, height - 1)], np.float32)
    frame = frame[[0, 1, 2, 3, 5, 6, 7, 8]]
    old, new = np.concatenate([mesh(), frame]), np.concatenate([points, frame])
    canvas = picture.copy()
    corners = triangles(old[:, :2], width, height)
    for numbers in sorted(corners, key=lambda three: -float(new[list(three), 2].mean())):
        _triangle(picture, canvas, old[list(numbers), :2], new[list(numbers), :2])
    return canvas


def triangles(points: Points, width: int, height: int) -> list[tuple[int, int, int]]:
    """A triangulation of points in a picture, as their numbers."""
    division = cv2.Subdiv2D((0, 0, width, height))
    numbers = {}
    for number, (x, y) in enumerate(points):
        numbers[division.insert((float(x), float(y)))] = number
    found = []
    for corners in division.getTriangleList().reshape(-1, 3, 2):
        nearest = [int(np.abs(points - corner).sum(axis=1).argmin()) for corner in corners]
        if len(set(nearest)) == 3:
            found.append((nearest[0], nearest[1], nearest[2]))
    return found


def _triangle(source: Picture, target: Picture, old: Points, new: Points) -> None:
    """Draw one triangle of the source into the target."""
    left, top = np.maximum(np.floor(new.min(axis=0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(new.max(axis=0)).astype(int) + 1, target.shape[1::-1])
    if right <= left or bottom <= top:
        return
    shift = np.array([left, top], np.float32)
    size = (int(right - left), int(bottom - top))
    piece = cv2.warpAffine(
        source, cv2.getAffineTransform(old, new - shift), size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    mask = np.zeros(size[::-1], np.uint8)
    cv2.fillConvexPoly(mask, np.round(new - shift).astype(np.int32), 1)
    np.copyto(target[top:bottom, left:right], piece, where=mask[..., None].astype(bool))
