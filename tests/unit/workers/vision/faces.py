"""One face, as it is and moved, and the networks that read it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from workers import models
from workers.vision.face_reader import FaceNets
from workers.vision.nets import reader
from workers.vision.pictures import Picture, decode_image

PORTRAIT = Path(__file__).parents[3] / "data" / "faces" / "astronaut.jpg"
NAMES = ("face_detection_full_range", "face_landmark", "iris_landmark")


@cache
def weights() -> tuple[Path, Path, Path]:
    """The carried weights, checked."""
    detector, mesh, iris = (models.resolve(name, Path(".cache/models")).path for name in NAMES)
    return detector, mesh, iris


@cache
def nets() -> FaceNets:
    """One set for the whole run; tests use it from one thread at a time."""
    return FaceNets(*weights(), reader("opencv"))


@cache
def portrait() -> Picture:
    """320 x 288, one face in the middle of about 107 pixels."""
    return decode_image(PORTRAIT.read_bytes())


def mirrored(picture: Picture) -> Picture:
    return np.ascontiguousarray(picture[:, ::-1])


def rotated(picture: Picture, degrees: float) -> Picture:
    """Turned clockwise around its middle."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1)
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE))


def pair() -> Picture:
    """Two faces side by side."""
    return np.concatenate([portrait(), mirrored(portrait())], axis=1)


def from_behind() -> Picture:
    """The portrait with hair all over its face, streaked as hair is."""
    height, width = portrait().shape[:2]
    streaks = np.random.default_rng(1).normal(55, 14, (1, width)) + np.random.default_rng(2).normal(
        0, 6, (height, width)
    )
    hair = np.clip(streaks[..., None] * (1.2, 1.0, 0.8), 0, 255).astype(np.float32)
    head = np.zeros((height, width), np.float32)
    cv2.ellipse(head, (width // 2, height // 2 - 6), (72, 96), 0, 0, 360, 1, -1)
    head = cv2.GaussianBlur(head, (0, 0), 3)[..., None]
    return np.asarray(portrait() * (1 - head) + cv2.GaussianBlur(hair, (3, 15), 0) * head, dtype=np.uint8)


def empty(width: int = 320, height: int = 288) -> Picture:
    """A wall with a soft light, no face."""
    y, x = np.mgrid[0:height, 0:width]
    light = 110 + 60 * np.sin(x / width * 2) * np.cos(y / height)
    return np.repeat(light.astype(np.uint8)[:, :, None], 3, axis=2)


def jpeg(picture: Picture, quality: int = 90) -> bytes:
    done, data = cv2.imencode(".jpg", picture[..., ::-1] if picture.ndim == 3 else picture, [1, quality])
    assert done
    return data.tobytes()


def webp(picture: Picture) -> bytes:
    """BGR or BGRA in, as OpenCV writes it."""
    done, data = cv2.imencode(".webp", picture)
    assert done
    return data.tobytes()
