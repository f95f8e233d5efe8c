"""One picture to faces: the detector on some pictures, the mesh on all, and the same face followed through them.

The detector also finds heads that are turned away. So the mesh has the last word: what it does not take for a face does
not count, except where it cannot tell (small faces), and for a moment where it just did (a hand before the face).

Of several faces the largest is read. Its region comes from its mesh in the last picture; the detector looks again after
a third of a second of media, so that a second face is seen in time at any rate, and at once when the face is lost.
Where pictures come too slowly to show blinks, the eyes rest while the detector looks: what a picture costs is then its
mesh and one other network, and no picture waits for an expensive one before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from workers.vision.detector import Detection, Detector, overlaps
from workers.vision.gestures import BLINK_FPS, RateMeter, fast_enough
from workers.vision.landmarks import (
    MIN_FACE_SCORE,
    EyeReader,
    Eyes,
    Mesh,
    MeshReader,
    region_of_detection,
    region_of_mesh,
)
from workers.vision.nets import DETECTOR, IRIS, MESH, Floats, Reader, load
from workers.vision.pictures import Picture
from workers.vision.pose import Pose, solve

DETECT_EVERY_MS: Final = 330
TURNS_FPS: Final = 8.0
"""At or above this frame rate, alternate eyes; below it, read both."""

VOUCHED_MS: Final = 1_000
"""A face that the mesh has seen counts for this long, while the detector still finds it at the same place."""

CONFIRMED_PIXELS: Final = 32
"""From this height on a face counts only if the mesh sees it; it misses half of the real ones of 25 pixels."""

MIN_EVIDENCE: Final = 0.1
"""The mesh's score of a face that counts: measured 0.001 at most where hair covers it, 0.16 and more in profile."""

_SAME_FACE: Final = 0.3
_MIN_MESH_PIXELS: Final = 24
"""Below this height of a face the mesh is a guess."""


class FaceNets:
    """One set of networks, for one thread at a time."""

    def __init__(self, detector: Path, mesh: Path, iris: Path, read: Reader) -> None:
        """Raises NetError."""
        self.detector = Detector(load(DETECTOR, detector, read))
        self.mesh = MeshReader(load(MESH, mesh, read))
        self.eyes = EyeReader(load(IRIS, iris, read))


@dataclass(frozen=True, slots=True)
class ReadFace:
    """A face in pixels: `box` is x, y, width, height; mesh, eyes and pose None where they cannot be measured."""

    box: Floats
    score: float
    track_id: int
    mesh: Mesh | None = None
    eyes: Eyes | None = None
    pose: Pose | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How many faces there are, and the one that is read; `looked`: whether this picture was counted."""

    count: int
    face: ReadFace | None
    looked: bool = True


@dataclass(frozen=True, slots=True)
class _Found:
    """A detection that counts as a face; `is_same`: it is the one followed so far."""

    detection: Detection
    mesh: Mesh | None
    is_same: bool


class FaceFollower:
    """What one stream knows of its faces from picture to picture."""

    def __init__(self, last_track: int = 0) -> None:
        self.last_track = last_track
        self._detected_ms: int | None = None
        self._rate = RateMeter()
        self._count = 0
        self._face: ReadFace | None = None
        self._seen_ms: int | None = None

    def read(self, nets: FaceNets, picture: Picture, media_ms: int, *, with_eyes: bool = True) -> Reading:
        """The faces of the next picture, at a time of the media clock that does not go back."""
        fps = self._rate.add(media_ms)
        before, mesh = self._face, self._followed(nets, picture)
        looks = mesh is None or self._detected_ms is None or media_ms - self._detected_ms >= DETECT_EVERY_MS
        if looks:
            self._detected_ms = media_ms
            found = self._confirmed(nets, picture, nets.detector.detect(picture), mesh, media_ms)
            self._count = len(found)
            if not found:
                self._face = None
                return Reading(0, None)
            self._face, mesh = self._choose(found)
        if self._face is None or mesh is None:
            return Reading(self._count, self._face, looks)
        self._seen_ms = media_ms
        same = before is not None and before.track_id == self._face.track_id
        known = before.eyes if before is not None and same and fast_enough(fps, TURNS_FPS) else None
        rest = looks and not fast_enough(fps, BLINK_FPS)
        height, width = picture.shape[:2]
        self._face = ReadFace(
            self._face.box if looks else _box(mesh),
            self._face.score,
            self._face.track_id,
            mesh,
            nets.eyes.read(picture, mesh, media_ms, known, rest=rest) if with_eyes else None,
            solve(mesh.points, width, height),
        )
        return Reading(self._count, self._face, looks)

    def _followed(self, nets: FaceNets, picture: Picture) -> Mesh | None:
        if self._face is None or self._face.mesh is None:
            return None
        mesh = nets.mesh.read(picture, region_of_mesh(self._face.mesh.points))
        return mesh if _usable(mesh, picture) else None

    def _confirmed(
        self, nets: FaceNets, picture: Picture, detections: list[Detection], followed: Mesh | None, media_ms: int
    ) -> list[_Found]:
        """The detections that are faces, each with its mesh if it has one; `followed`: that of the face followed."""
        before = None if self._face is None else self._face.box
        if followed is not None:
            before = _box(followed)
        same = None if before is None or not detections else _most_overlapping(before, detections)
        vouched = self._seen_ms is not None and media_ms - self._seen_ms <= VOUCHED_MS
        found = []
        for detection in detections:
            is_same = detection is same
            if is_same and followed is not None:
                found.append(_Found(detection, followed, is_same))
                continue
            mesh, is_face = _mesh_of(nets, picture, detection)
            if is_face or (is_same and vouched):
                found.append(_Found(detection, mesh, is_same))
        return found

    def _choose(self, found: list[_Found]) -> tuple[ReadFace, Mesh | None]:
        """The face followed so far if it is still there, else the largest one; and its mesh."""
        chosen = next((each for each in found if each.is_same), None)
        if chosen is not None and self._face is not None:
            track = self._face.track_id
        else:
            chosen = max(found, key=lambda each: float(each.detection.box[2] * each.detection.box[3]))
            self.last_track += 1
            track = self.last_track
        return ReadFace(chosen.detection.box, chosen.detection.score, track), chosen.mesh


def _mesh_of(nets: FaceNets, picture: Picture, detection: Detection) -> tuple[Mesh | None, bool]:
    """The mesh of a detection if it can be used, and whether the detection is a face as far as the mesh can tell.

    The mesh is read in the region of the detection, which is slightly off, and again in its own; either may see a face.
    """
    small = bool(detection.box[3] < CONFIRMED_PIXELS)
    if detection.box[3] < _MIN_MESH_PIXELS:
        return None, small
    mesh = nets.mesh.read(picture, region_of_detection(detection))
    evidence = mesh.score
    if np.isfinite(mesh.points).all():
        mesh = nets.mesh.read(picture, region_of_mesh(mesh.points))
        evidence = max(evidence, mesh.score)
    return mesh if _usable(mesh, picture) else None, small or evidence >= MIN_EVIDENCE


def _usable(mesh: Mesh, picture: Picture) -> bool:
    """Whether there is a face in a region whose centre lies in the picture."""
    if mesh.score < MIN_FACE_SCORE or not np.isfinite(mesh.points).all():
        return False
    x, y = mesh.points[:, :2].mean(axis=0)
    height, width = picture.shape[:2]
    return bool(0 <= x < width and 0 <= y < height and _box(mesh)[3] >= _MIN_MESH_PIXELS)


def _box(mesh: Mesh) -> Floats:
    """The detector's box of a face by its mesh: brows to chin, square."""
    low, high = mesh.points[:, :2].min(axis=0), mesh.points[:, :2].max(axis=0)
    side = float(max(high - low)) * 0.9
    x, y = (low + high) / 2
    return np.array([x - side / 2, y - side * 0.45, side, side], dtype=np.float32)


def _most_overlapping(box: Floats, detections: list[Detection]) -> Detection | None:
    corners = np.array([box[0], box[1], box[0] + box[2], box[1] + box[3]], dtype=np.float32)
    others = np.array([found.box for found in detections])
    others[:, 2:] += others[:, :2]
    shared = overlaps(corners, others)
    best = int(shared.argmax())
    return detections[best] if shared[best] >= _SAME_FACE else None
