"""How busy threads were lately."""

from __future__ import annotations

import math

_LOAD_MEMORY = 4.0
"""Seconds over which the load is averaged."""


class LoadMeter:
    """The recent utilisation of `threads`: a mean with a time constant of 4 s."""

    def __init__(self, threads: int, now: float) -> None:
        self._threads = threads
        self._working = 0
        self._load = 0.0
        self._at = now

    def change(self, working: int, now: float) -> None:
        """From `now` (seconds) on, `working` more threads are busy; negative: fewer."""
        self._load = self.at(now)
        self._at = now
        self._working += working

    def at(self, now: float) -> float:
        """0 to 1."""
        kept = math.exp(-max(0.0, now - self._at) / _LOAD_MEMORY)
        return kept * self._load + (1 - kept) * self._working / self._threads
