"""How fast the gateway reads a socket whose messages it refuses: a client that sends nonsense gets little time."""

from __future__ import annotations

from typing import Final

# How many messages of a socket may be refused at once, and how many a second after that.
REFUSED_BURST: Final = 20
REFUSED_PER_S: Final = 50.0


class RefusalPace:
    """The pace of one socket. Every `now` is in seconds."""

    __slots__ = ("_at", "_left")

    def __init__(self) -> None:
        self._left = float(REFUSED_BURST)
        self._at = 0.0

    def pause_s(self, now: float) -> float:
        """A message was refused: seconds to wait before the next one is read."""
        earned = max(0.0, now - self._at) * REFUSED_PER_S
        self._left, self._at = min(float(REFUSED_BURST), self._left + earned) - 1.0, now
        return max(0.0, -self._left / REFUSED_PER_S)
