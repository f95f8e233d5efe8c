"""How a stream reduces its load under pressure: first expression, then irises, frame rate and size. Pure."""

from __future__ import annotations

from typing import Final

STEP_FRAMES: Final = 20
"""Frames between two decisions."""

_TOO_MANY: Final = 0.2
_FEW: Final = 0.02
_RATE_SECONDS: Final = 1.0
_ALL: Final = 0.95
"""Of the frames that come: where more are analysed nothing is to be asked of the sender."""
NO_EXPRESSION: Final = 1
NO_EYES: Final = 2
FEWER_FRAMES: Final = 3
SMALLER: Final = 4


class Pressure:
    """The level of one stream, 0 (full analysis) to 4; rises and falls by one at a time."""

    def __init__(self) -> None:
        self.level = 0
        self._received = 0
        self._dropped = 0

    def note(self, received: int, dropped: int) -> None:
        """Count frames that came, and those of them that were dropped for lack of time."""
        self._received += received
        self._dropped += dropped
        if self._received < STEP_FRAMES:
            return
        share = self._dropped / self._received
        if share > _TOO_MANY:
            self.level = min(SMALLER, self.level + 1)
        elif share < _FEW:
            self.level = max(0, self.level - 1)
        self._received = self._dropped = 0


class Rates:
    """Frames per second that arrive and that are analysed, over the last second or more."""

    def __init__(self, now: float, received: int, analyzed: int) -> None:
        """Start with the totals at a time in seconds."""
        self._since = (now, received, analyzed)
        self._received = self._analyzed = 0.0

    def note(self, now: float, received: int, analyzed: int) -> None:
        """Update the running totals."""
        seconds = now - self._since[0]
        if seconds >= _RATE_SECONDS:
            self._received = (received - self._since[1]) / seconds
            self._analyzed = (analyzed - self._since[2]) / seconds
            self._since = (now, received, analyzed)

    def suggested(self, possible: int) -> int | None:
        """The rate at which every frame would be analysed, given `possible` per second; None: no change is needed."""
        fps = max(1, min(possible, round(self._analyzed)))
        return fps if self._analyzed < _ALL * self._received and fps < self._received else None
