"""Distinguishes a worker that stopped answering from a client that paused.

A worker owes a result while it receives media, and while a flush or the end is unanswered. A client may pause in
mid-sentence for as long as it likes: then the worker owes nothing, whatever was sent last.
"""

from __future__ import annotations

# A pause in writing longer than this restarts the count, seconds.
_PAUSE = 2.0


class StallClock:
    """Measures how long one worker has received media without answering. `now` is in seconds, always from one clock."""

    def __init__(self) -> None:
        self._asked_at: float | None = None
        self._written_at = 0.0
        self._writing = False
        self._owed = 0

    def write_started(self, now: float) -> None:
        """A request is being written; flow control may make it wait."""
        resumed = not self._owed and now - self._written_at > _PAUSE
        if self._asked_at is None or resumed:
            self._asked_at = now
        self._written_at = now
        self._writing = True

    def write_finished(self, now: float, *, answer_owed: bool) -> None:
        """The request was written; `answer_owed`: it was a flush or the end, which the worker always answers."""
        self._writing = False
        self._written_at = now
        if answer_owed:
            self._owed += 1

    def result_received(self, now: float, *, answered: bool = False) -> None:
        """A result arrived; `answered`: it answers a flush."""
        if answered:
            self._owed = max(0, self._owed - 1)
        self._asked_at = now if self._writing or self._owed else None

    def unanswered_for(self, now: float) -> float:
        """Seconds since the first unanswered request, with or without writes since; 0 if nothing is unanswered."""
        return 0.0 if self._asked_at is None else now - self._asked_at

    def stalled_for(self, now: float) -> float:
        """Seconds for which the worker has received media, or has owed an answer, without sending a result."""
        if self._asked_at is None:
            return 0.0
        until = now if self._writing or self._owed else self._written_at
        return until - self._asked_at
