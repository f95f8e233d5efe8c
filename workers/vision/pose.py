"""How a head is turned: a rigid head of sixteen points laid over the mesh (perspective-n-point).

The points are our own: means over four portraits of this network's meshes, symmetrised, the outer corners of the eyes
90 mm apart; x to image right, y up, z towards the camera. Only parts that neither speech nor a smile moves are in it.
Yaw and pitch are those against the line from the head to the camera: a face that looks into the camera looks the same
wherever it is in the picture, and so do its angles. The camera is not calibrated: its focal length is taken as the
longer side of the picture (a field of view of 53 degrees), and no head is the rigid one. Both angles are therefore
given relative to the session's first seconds. Roll needs no such reference: it is the tilt of the line through the
eyes' outer corners, which on pictures turned by known angles is within 0.6 degrees (p90) where the rigid head's own
roll is within 1.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.vision.nets import Floats

Matrix = NDArray[np.float64]

_HEAD: Final = {
    6: (0.0, -6.8, 5.3),
    168: (0.0, 0.0, 0.0),
    8: (0.0, 7.1, -0.6),
    9: (0.0, 15.4, -0.2),
    151: (0.0, 30.7, -4.3),
    10: (0.0, 45.0, -8.9),
    195: (0.0, -19.1, 17.3),
    4: (0.0, -33.8, 27.0),
    33: (-45.0, -7.1, -22.3),
    133: (-17.2, -7.7, -16.9),
    362: (17.2, -7.7, -16.9),
    263: (45.0, -7.1, -22.3),
    127: (-69.2, -17.2, -71.1),
    356: (69.2, -17.2, -71.1),
    234: (-68.6, -31.4, -74.6),
    454: (68.6, -31.4, -74.6),
}
"""Millimetres by the mesh's point numbers."""

_NUMBERS: Final = list(_HEAD)
_MODEL: Final = np.array(list(_HEAD.values()), dtype=np.float64)
_FACING: Final = np.diag([1.0, -1.0, -1.0])
_EYES_APART: Final = 90.0
"""Millimetres between the outer corners of the eyes."""

MAX_ERROR: Final = 0.15
"""Above this `Pose.error` there is no pose; at most 0.05 on 430 pictures of faces."""

_YAW_BIAS: Final = -1.25
"""Degrees. The mesh is not symmetric: over 54 pictures of 4 persons yaw and the yaw of the mirror image add up to -2.6,
2.3 to 3.0 for each of the two persons with more than one picture."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Degrees: yaw positive towards image right, pitch positive upwards, roll positive clockwise as seen.

    Yaw and pitch count from the line to the camera, in axes that lean with the head: a tilt alone changes neither.

    `error`: how far the points lie from the rigid head's, root mean square over the distance of the eyes' corners.
    """

    yaw: float
    pitch: float
    roll: float
    error: float


def solve(points: Floats, width: int, height: int) -> Pose | None:
    """The pose of a mesh (shape (468, 3), pixels) in a picture; None where no head fits.

    The direct solver now and then lands on a head seen from behind (on one of 430 pictures, and on 4 of 100 meshes with
    0.7 pixels of noise): such a fit is far off, and the head is then sought from one that faces the camera.
    """
    seen = points[_NUMBERS, :2].astype(np.float64)
    focal = float(max(width, height))
    camera = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    across = points[263] - points[33]
    eyes = max(float(np.linalg.norm(across[:2])), 1e-6)
    try:
        fit = _Fit.of(cv2.solvePnP(_MODEL, seen, camera, None, flags=cv2.SOLVEPNP_SQPNP), seen, camera)
        if fit is None or fit.error > MAX_ERROR * eyes:
            turn, shift = np.array([math.pi, 0, 0]), np.array([0, 0, focal * _EYES_APART / eyes])
            found = cv2.solvePnP(_MODEL, seen, camera, None, turn, shift, True, cv2.SOLVEPNP_ITERATIVE)
            fit = _Fit.of(found, seen, camera)
    except cv2.error:  # points that no camera sees so: all on a line, or not numbers
        return None
    if fit is None or not fit.error <= MAX_ERROR * eyes:
        return None
    roll = math.atan2(float(across[1]), float(across[0]))
    upright = np.array([[math.cos(roll), math.sin(roll), 0], [-math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    yaw, pitch = angles(upright @ fit.rotation @ _FACING)
    x, y, z = (float(value) for value in upright @ fit.shift)
    yaw += math.degrees(math.atan2(x, z))
    pitch -= math.degrees(math.atan2(y, math.hypot(x, z)))
    return Pose(yaw - _YAW_BIAS, pitch, math.degrees(roll), fit.error / eyes)


@dataclass(frozen=True, slots=True)
class _Fit:
    """A head laid over points: its rotation and place in camera axes, and how far the points lie from it, pixels."""

    rotation: Matrix
    shift: Matrix
    error: float

    @classmethod
    def of(cls, found: Sequence[Any], seen: Matrix, camera: Matrix) -> _Fit | None:
        """What a solver of OpenCV has found; None: nothing. Raises cv2.error."""
        solved, turn, shift = found
        if not solved:
            return None
        projected, _ = cv2.projectPoints(_MODEL, turn, shift, camera, None)
        rotation, _ = cv2.Rodrigues(turn)
        error = float(np.sqrt(np.square(projected.reshape(-1, 2) - seen).sum(axis=1).mean()))
        return cls(np.asarray(rotation, dtype=np.float64), np.asarray(shift, dtype=np.float64).ravel(), error)


def angles(rotation: Matrix) -> tuple[float, float]:
    """Yaw and pitch in degrees of a rotation in camera axes (x right, y down, z away): where the face points to."""
    forward = -rotation[:, 2]
    yaw = math.atan2(forward[0], -forward[2])
    pitch = math.asin(min(1.0, max(-1.0, -forward[1])))
    return math.degrees(yaw), math.degrees(pitch)
