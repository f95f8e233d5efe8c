"""From one reading to the signals of its frame: geometry and light only.

Every number comes with a confidence, and what cannot be measured is absent. docs/responsible-use.md says
what a signal means and does not mean. Points of the mesh have the numbers of its model card.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from talkup.v1 import analysis_pb2

from workers.vision import light
from workers.vision.baseline import Baseline, Raw
from workers.vision.face_reader import ReadFace, Reading
from workers.vision.landmarks import Eyes
from workers.vision.nets import Floats
from workers.vision.pictures import Picture, grey, thumbnail
from workers.vision.pose import MAX_ERROR

Measure = analysis_pb2.Measure

GOOD_FACE_PIXELS: Final = 80.0
"""From this height of a face on, its size takes nothing from a confidence."""

CLOSED_RATIO: Final = 0.72
"""Eyes count as closed below this share of the opening at rest."""

_FACING_YAW: Final = 18.0
_FACING_PITCH: Final = 14.0
_FACING_GAZE: Final = 0.45
_MOTION_SIZE: Final = (32, 24)
_BLURRED_TRUST: Final = 0.5
# Mouth width over the distance of the eyes' outer corners, and how far the corners lie above the lips' middle over the
# same: 0.62 and 0.00 on a neutral portrait, 0.76 to 0.84 and 0.08 to 0.10 on the three smiles with teeth.
_SMILE_WIDTH: Final = (0.64, 0.76)
_SMILE_LIFT: Final = (0.01, 0.08)
_EXPRESSION_OPEN: Final = 0.25
_EXPRESSION_BROW: Final = (0.27, 0.36)


def measure(
    picture: Picture, reading: Reading, baseline: Baseline, media_ms: int, before: Floats | None
) -> tuple[analysis_pb2.FrameSignals, Floats]:
    """The signals of a picture, and its thumbnail, which is `before` of the next one."""
    luma = grey(picture)
    small = thumbnail(luma, *_MOTION_SIZE)
    face = reading.face
    signals = analysis_pb2.FrameSignals(face_count=reading.count, quality=light.judge(luma, face.box if face else None))
    if before is not None:
        signals.motion.CopyFrom(Measure(value=float(np.abs(small - before).mean()) / 255, confidence=1.0))
    if face is None:
        return signals, small
    height, width = luma.shape
    _place(signals, face, width, height)
    if face.mesh is not None:
        trust = face.score * face.mesh.score * min(1.0, float(face.box[3]) / GOOD_FACE_PIXELS)
        if "blurred" in signals.quality.reasons:
            trust *= _BLURRED_TRUST
        _read(signals, face, baseline, media_ms, trust)
    return signals, small


def expression(face: ReadFace) -> list[analysis_pb2.ExpressionScore]:
    """Scores of appearance, 0 to 1, by geometry: how much the face looks that way, not what anyone feels."""
    if face.mesh is None:
        return []
    points = face.mesh.points
    eyes = _length(points, 33, 263)
    brows = (_length(points, 105, 159) + _length(points, 334, 386)) / (2 * eyes)
    scores = {
        "smile": smile_of(points),
        "mouth_open": _ramp(_length(points, 13, 14) / eyes, (0.02, _EXPRESSION_OPEN)),
        "brows_raised": _ramp(brows, _EXPRESSION_BROW),
    }
    return [analysis_pb2.ExpressionScore(label=label, score=score) for label, score in scores.items()]


def fractions(points: Floats, width: int, height: int) -> list[float]:
    """The mesh's points (shape (n, 3), pixels) as x, y, x, y, … in fractions of the picture; some lie outside it."""
    placed = points[:, :2] / np.array([width, height], dtype=np.float32)
    return [float(value) for value in placed.ravel()]


def smile_of(points: Floats) -> float:
    """How much a mouth looks like a smile, 0 to 1: half by its width, half by the lift of its corners."""
    across = points[263, :2] - points[33, :2]
    eyes = float(np.linalg.norm(across))
    down = np.array([-across[1], across[0]]) / max(eyes, 1e-6)
    middle = (points[13, :2] + points[14, :2]) / 2
    corners = (points[61, :2] + points[291, :2]) / 2
    lift = float((middle - corners) @ down) / max(eyes, 1e-6)
    return (_ramp(_length(points, 61, 291) / max(eyes, 1e-6), _SMILE_WIDTH) + _ramp(lift, _SMILE_LIFT)) / 2


def facing(yaw: float, pitch: float, gaze: tuple[float, float] | None) -> float:
    """Agreement with facing the camera as at rest, 0 to 1: 1 at rest, 0.5 at 15 degrees of yaw. Not eye contact."""
    turned = (yaw / _FACING_YAW) ** 2 + (pitch / _FACING_PITCH) ** 2
    if gaze is not None:
        turned += 0.5 * ((gaze[0] / _FACING_GAZE) ** 2 + (gaze[1] / _FACING_GAZE) ** 2)
    return math.exp(-turned)


def _place(signals: analysis_pb2.FrameSignals, face: ReadFace, width: int, height: int) -> None:
    """Box and framing, in fractions of the picture; the forehead above the box is part of the headroom's estimate."""
    x, y, w, h = (float(value) for value in face.box)
    box = analysis_pb2.Box(x=_unit(x / width), y=_unit(y / height))
    box.width, box.height = _unit((x + w) / width) - box.x, _unit((y + h) / height) - box.y
    signals.face.CopyFrom(analysis_pb2.Face(box=box, score=face.score, track_id=face.track_id))
    framing = signals.framing
    framing.size_ratio.CopyFrom(Measure(value=h / height, confidence=face.score))
    framing.dx.CopyFrom(Measure(value=(x + w / 2) / width - 0.5, confidence=face.score))
    framing.dy.CopyFrom(Measure(value=(y + h / 2) / height - 0.5, confidence=face.score))
    framing.headroom.CopyFrom(Measure(value=_unit((y - 0.35 * h) / height), confidence=0.8 * face.score))


def _read(signals: analysis_pb2.FrameSignals, face: ReadFace, baseline: Baseline, media_ms: int, trust: float) -> None:
    """Pose, gaze, eyes and mouth of a face with a mesh."""
    if face.mesh is None:
        return
    points = face.mesh.points
    smile = smile_of(points)
    gaze = _gaze(face.eyes) if face.eyes else None
    if face.pose is not None:
        baseline.add(
            Raw(
                face.pose.yaw,
                face.pose.pitch,
                gaze[0] if gaze else None,
                gaze[1] if gaze else None,
                face.eyes.left.opening if face.eyes else None,
                face.eyes.right.opening if face.eyes else None,
                smile,
            ),
            media_ms,
        )
    rest = baseline.rest
    signals.mouth.open.CopyFrom(Measure(value=_length(points, 13, 14) / _length(points, 33, 263), confidence=trust))
    if rest is not None:  # a rising of the corners counts in full for a face that smiles at rest, too
        smile = max(smile, _unit((smile - rest.smile) / max(1 - rest.smile, 0.5)))
    signals.mouth.smile.CopyFrom(Measure(value=smile, confidence=trust * (0.8 if rest else 0.5)))
    if face.pose is not None:
        _turn(signals, face, rest, gaze, trust * _unit(1 - face.pose.error / MAX_ERROR))
    if face.eyes is not None:
        _eyes(signals, face.eyes, rest, trust)


def _turn(
    signals: analysis_pb2.FrameSignals,
    face: ReadFace,
    rest: Raw | None,
    gaze: tuple[float, float] | None,
    trust: float,
) -> None:
    pose = face.pose
    if pose is None:
        return
    head = signals.head
    head.roll.CopyFrom(Measure(value=pose.roll, confidence=trust))
    head.relative = rest is not None
    if rest is None:
        head.yaw.CopyFrom(Measure(value=pose.yaw, confidence=0.7 * trust))
        return
    yaw, pitch = pose.yaw - rest.yaw, pose.pitch - rest.pitch
    head.yaw.CopyFrom(Measure(value=yaw, confidence=trust))
    head.pitch.CopyFrom(Measure(value=pitch, confidence=0.8 * trust))
    turned = None
    if gaze is not None and rest.gaze_h is not None and rest.gaze_v is not None:
        turned = (gaze[0] - rest.gaze_h, gaze[1] - rest.gaze_v)
        signals.gaze.horizontal.CopyFrom(Measure(value=turned[0], confidence=0.6 * trust))
        signals.gaze.vertical.CopyFrom(Measure(value=turned[1], confidence=0.4 * trust))
    signals.gaze.facing_camera.CopyFrom(Measure(value=facing(yaw, pitch, turned), confidence=0.8 * trust))


def _eyes(signals: analysis_pb2.FrameSignals, eyes: Eyes, rest: Raw | None, trust: float) -> None:
    """The face's left eye stands at image right. The eyes read last decide whether they are closed."""
    signals.eyes.ear_left.CopyFrom(Measure(value=eyes.right.opening, confidence=0.8 * trust))
    signals.eyes.ear_right.CopyFrom(Measure(value=eyes.left.opening, confidence=0.8 * trust))
    if rest is None or not rest.opening_left or not rest.opening_right:
        return
    at_rest = (rest.opening_left, rest.opening_right)
    read = [eye.opening / opening for eye, opening in zip(eyes.newest, at_rest, strict=True) if eye is not None]
    signals.eyes.closed = sum(read) / len(read) < CLOSED_RATIO


def _gaze(eyes: Eyes) -> tuple[float, float]:
    """Where the irises stand between the corners of their eyes, in half eye widths: towards image right, and up."""
    return (eyes.left.across + eyes.right.across) / 2, (eyes.left.up + eyes.right.up) / 2


def _length(points: Floats, a: int, b: int) -> float:
    return float(np.linalg.norm(points[a, :2] - points[b, :2]))


def _ramp(value: float, limits: tuple[float, float]) -> float:
    return _unit((value - limits[0]) / (limits[1] - limits[0]))


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))
