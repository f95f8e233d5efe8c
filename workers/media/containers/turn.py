"""How a recording's pictures are to be turned to stand upright: the matrix of an MP4 track, the roll of a Matroska one.

Telephones write a portrait video as a landscape one with such a note. Turns by quarters, mirrored or not, are read; any
other transformation is none that a camera makes, and is passed over.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

_ONE: Final = 0x10000
_MATRIX_AT: Final = (40, 52)
"""Where the matrix of a track header box stands, by its version."""

_QUARTER: Final = 90.0
_SLACK: Final = 1.0


@dataclass(frozen=True, slots=True)
class Turn:
    """What to do with the rows and columns of a picture, in this order: swap them, then flip either."""

    transposed: bool = False
    flip_columns: bool = False
    flip_rows: bool = False


UPRIGHT: Final = Turn()
_CLOCKWISE: Final = (UPRIGHT, Turn(True, True, False), Turn(False, True, True), Turn(True, False, True))
"""Turns by 0 to 3 quarters."""


def turn_of_matrix(tkhd: bytes) -> Turn:
    """The turn that the matrix of a track header box asks for (ISO/IEC 14496-12, 6.2.2 and 8.3.2).

    A point (x, y) of the picture, y downwards, goes to (a x + c y, b x + d y).
    """
    a, b, _, c, d = struct.unpack_from(">5i", tkhd, _MATRIX_AT[min(tkhd[0], 1)])
    if abs(a) == abs(d) == _ONE and b == c == 0:
        return Turn(False, a < 0, d < 0)
    if abs(b) == abs(c) == _ONE and a == d == 0:
        return Turn(True, c < 0, b < 0)
    return UPRIGHT


def turn_of_projection(yaw: float, pitch: float, roll: float) -> Turn:
    """The turn that a Matroska projection asks for (RFC 9559, 5.1.4.1.28), degrees: a roll is counter-clockwise.

    A yaw of half a turn mirrors a flat picture.
    """
    if not all(map(math.isfinite, (yaw, pitch, roll))):
        return UPRIGHT
    quarters = round(roll / _QUARTER)
    mirrored = abs(abs(yaw) - 2 * _QUARTER) < _SLACK
    if abs(pitch) > _SLACK or abs(roll - quarters * _QUARTER) > _SLACK or (abs(yaw) > _SLACK and not mirrored):
        return UPRIGHT
    turn = _CLOCKWISE[-quarters % 4]
    if not mirrored:
        return turn
    flips = (turn.flip_columns, not turn.flip_rows) if turn.transposed else (not turn.flip_columns, turn.flip_rows)
    return Turn(turn.transposed, *flips)
