"""A person's resting position: medians of the session's first seconds with a face; later frames are compared with it.

How high a camera stands and how a face is built are not behaviour: pitch, facing, smile, blinks and nods are therefore
given only relative to this position, and cannot be measured before it is known.
"""

from __future__ import annotations

from statistics import median
from typing import Final

import msgspec

MIN_MS: Final = 3_000
MAX_MS: Final = 5_000
MIN_FRAMES: Final = 8
"""The rest is known 3 s after the first face, with 8 faces; at low rates after 5 s with what there is, at least 3."""

_MIN_FRAMES_LATE: Final = 3
_MAX_FRAMES: Final = 256


class Raw(msgspec.Struct, frozen=True, array_like=True):
    """What a face shows by itself: degrees, gaze in half eye widths, smile 0 to 1.

    The openings of the eyes at image left and right are ratios; they differ between eyes and network runs.
    """

    yaw: float
    pitch: float
    gaze_h: float | None
    gaze_v: float | None
    opening_left: float | None
    opening_right: float | None
    smile: float


class Baseline:
    """Collects until it is ready, then stays as it is."""

    def __init__(self, rest: Raw | None = None) -> None:
        self.rest = rest
        self._seen: list[Raw] = []
        self._first_ms = 0

    @property
    def ready(self) -> bool:
        """Whether the resting position is known."""
        return self.rest is not None

    def add(self, raw: Raw, media_ms: int) -> None:
        """Take the face of a frame at a time of the media clock."""
        if self.rest is not None:
            return
        if not self._seen:
            self._first_ms = media_ms
        if len(self._seen) < _MAX_FRAMES:
            self._seen.append(raw)
        lasted = media_ms - self._first_ms
        enough = MIN_FRAMES if lasted < MAX_MS else _MIN_FRAMES_LATE
        if lasted >= MIN_MS and len(self._seen) >= enough:
            self.rest = Raw(
                median(seen.yaw for seen in self._seen),
                median(seen.pitch for seen in self._seen),
                _median([seen.gaze_h for seen in self._seen]),
                _median([seen.gaze_v for seen in self._seen]),
                _median([seen.opening_left for seen in self._seen]),
                _median([seen.opening_right for seen in self._seen]),
                median(seen.smile for seen in self._seen),
            )
            self._seen = []


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
