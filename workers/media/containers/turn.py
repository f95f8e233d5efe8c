"""How pictures are to be turned to stand upright: matrices of an MP4 or an H.264 message, the roll of a Matroska track.

Telephones write a portrait video as a landscape one with such a note. Turns by quarters, mirrored or not, are read; any
other transformation is none that a camera makes, and is passed over.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

_ONE: Final = 0x10000
_TRACK_MATRIX_AT: Final = (40, 52)
_MOVIE_MATRIX_AT: Final = (36, 48)
"""Where the matrix of a track header box stands, and that of a movie header box, by its version."""

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


def turn_of_headers(tkhd: bytes, mvhd: bytes) -> Turn:
    """The turn that a track header box asks for, and after it the movie's (ISO/IEC 14496-12, 6.2.2)."""
    a, b, c, d = _matrix(tkhd, _TRACK_MATRIX_AT)
    e, f, g, h = _matrix(mvhd, _MOVIE_MATRIX_AT) if len(mvhd) > _MOVIE_MATRIX_AT[1] else (_ONE, 0, 0, _ONE)
    if sorted(map(abs, (e, f, g, h))) != [0, 0, _ONE, _ONE]:
        return turn_of_matrix(a, b, c, d)
    movie = (a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h)
    return turn_of_matrix(*(value // _ONE for value in movie))


def _matrix(box: bytes, places: tuple[int, int]) -> tuple[int, int, int, int]:
    a, b, _, c, d = struct.unpack_from(">5i", box, places[min(box[0], 1)])
    return a, b, c, d


def turn_of_matrix(a: int, b: int, c: int, d: int) -> Turn:
    """The turn of a display matrix, in units of 1/65536.

    A point (x, y) of the picture, y downwards, goes to (a x + c y, b x + d y).
    """
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
