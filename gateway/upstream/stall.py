"""When silence means something: the clock that tells a worker which stopped answering from a client which paused.

A worker owes an answer while it is being fed, and while a flush or the end waits for one. A client may fall silent in
mid-sentence for as long as it likes: then nothing is owed, whatever was sent last.
"""

from __future__ import annotations

# A break in feeding longer than this begins a new count, seconds.
_PAUSE = 2.0


class StallClock:
    """Counts how long one worker has been fed without answering. `now` is seconds, from any one clock."""

    def __init__(self) -> None:
        self._asked_at: float | None = None
        self._fed_at = 0.0
        self._writing = False
        self._owed = 0

    def write_began(self, now: float) -> None:
        """A request is being written; flow control may make it wait."""
        resumed = not self._owed and now - self._fed_at > _PAUSE
        if self._asked_at is None or resumed:
            self._asked_at = now
        self._fed_at = now
        self._writing = True

    def write_done(self, now: float, *, answer_owed: bool) -> None:
        """The request is written; `answer_owed`: it was a flush or the end, which are answered in any case."""
        self._writing = False
        self._fed_at = now
        if answer_owed:
            self._owed += 1

    def heard(self, now: float, *, answered: bool = False) -> None:
        """A result came; `answered`: it is the answer to a flush."""
        if answered:
            self._owed = max(0, self._owed - 1)
        self._asked_at = now if self._writing or self._owed else None

    def waited(self, now: float) -> float:
        """Seconds since the first unanswered request, feeding or not; 0 when nothing is unanswered."""
        return 0.0 if self._asked_at is None else now - self._asked_at

    def starved(self, now: float) -> float:
        """Seconds that the worker has been fed, or has owed an answer, without giving one."""
        if self._asked_at is None:
            return 0.0
        until = now if self._writing or self._owed else self._fed_at
        return until - self._asked_at
