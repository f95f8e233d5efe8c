"""Between a stream's decoder and its analysis: frames wait in order, and drops are counted in order.

Frames come in bursts: a network delays some, a recorder writes a second at once, the first frame takes longest. A burst
is no overload. So frames wait for each other while the analysis keeps emptying the mailbox. Newer frames displace older
ones only when it has not emptied it for `PATIENCE_SECONDS`: then frames come faster than they can be analysed, and what
is analysed is new.

The invariant: the drops that `pop_frame` returns with a frame are all that came between the frame before and this one,
each counted once. So the numbers sent with a result are those of the stream up to its frame, whatever arrives
meanwhile, and a successor that receives the frames after it neither misses a frame nor counts one twice.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from talkup.v1 import task_pb2

Frame = TypeVar("Frame")
Drops = Counter[task_pb2.DropReason]

PATIENCE_SECONDS: Final = 1.0
MAX_WAITING: Final = 8
"""Frames that may still wait when the next chunk comes: half a second at 15 frames a second."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """In a frame's place: it is not to be analysed, and why."""

    reason: task_pb2.DropReason


class Mailbox(Generic[Frame]):
    """One stream's frames; `keep_all`: none is displaced, and the sender waits instead. Times are in seconds."""

    def __init__(self, *, keep_all: bool = False) -> None:
        self._entries: deque[Frame | Drops] = deque()
        self._keep_all = keep_all
        self._idle = True
        self._busy_since = 0.0

    @property
    def has_frame(self) -> bool:
        """Whether `pop_frame` returns a frame."""
        return self.waiting > 0

    @property
    def waiting(self) -> int:
        """Frames that wait."""
        return sum(not isinstance(entry, Counter) for entry in self._entries)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to take, neither frame nor drops."""
        return not self._entries

    def found_empty(self) -> None:
        """The analysis has nothing to do until the next frame."""
        self._idle = True

    def put(self, batch: Iterable[Frame | Dropped], now: float = 0.0, span: float = 0.0) -> None:
        """A new chunk's frames and drops, in order; its frames are to be shown over `span` seconds.

        If it holds a frame and they come faster than they are analysed, those that still wait are dropped for overload;
        so are the oldest of more than `MAX_WAITING`.
        """
        fresh = list(batch)
        if any(not isinstance(entry, Dropped) for entry in fresh):
            if self._idle:
                self._idle, self._busy_since = False, now
            overloaded = now - self._busy_since > PATIENCE_SECONDS + span
            if not self._keep_all:
                self._give_up(all_but=0 if overloaded else MAX_WAITING)
        for entry in fresh:
            if isinstance(entry, Dropped):
                self._drops()[entry.reason] += 1
            else:
                self._entries.append(entry)

    def _give_up(self, *, all_but: int) -> None:
        """Drop the oldest frames, all but `all_but`."""
        excess, dropped = self.waiting - all_but, Counter[task_pb2.DropReason]()
        while excess > 0:
            entry = self._entries.popleft()
            if isinstance(entry, Counter):
                dropped.update(entry)
            else:
                dropped[task_pb2.DROP_REASON_OVERLOAD] += 1
                excess -= 1
        if dropped and self._entries and isinstance(self._entries[0], Counter):
            self._entries[0].update(dropped)
        elif dropped:
            self._entries.appendleft(dropped)

    def _drops(self) -> Drops:
        last = self._entries[-1] if self._entries else None
        if isinstance(last, Counter):
            return last
        fresh: Drops = Counter()
        self._entries.append(fresh)
        return fresh

    def pop_frame(self) -> tuple[Frame | None, Drops]:
        """The next frame, None where none waits, and what was dropped before it."""
        dropped: Drops = Counter()
        while self._entries:
            entry = self._entries.popleft()
            if not isinstance(entry, Counter):
                return entry, dropped
            dropped.update(entry)
        return None, dropped
