"""Between a stream's decoder and its analysis: frames of the newest chunk replace older ones; drops are counted.

The invariant: the drops that `pop_frame` returns with a frame are all that came between the frame before and this one,
each counted once. So the numbers sent with a result are those of the stream up to its frame, whatever arrives
meanwhile, and a successor that receives the frames after it neither misses a frame nor counts one twice.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from talkup.v1 import task_pb2

Frame = TypeVar("Frame")
Drops = Counter[task_pb2.DropReason]


@dataclass(frozen=True, slots=True)
class Dropped:
    """In a frame's place: it is not to be analysed, and why."""

    reason: task_pb2.DropReason


class Mailbox(Generic[Frame]):
    """Holds the frames of one chunk at most."""

    def __init__(self) -> None:
        self._entries: deque[Frame | Drops] = deque()

    @property
    def has_frame(self) -> bool:
        """Whether `pop_frame` returns a frame."""
        return any(not isinstance(entry, Counter) for entry in self._entries)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to take, neither frame nor drops."""
        return not self._entries

    def put(self, batch: Iterable[Frame | Dropped]) -> None:
        """A new chunk's frames and drops, in order.

        If it holds a frame, the frames that still wait are dropped for overload.
        """
        fresh = list(batch)
        if any(not isinstance(entry, Dropped) for entry in fresh):
            self._give_up()
        for entry in fresh:
            if isinstance(entry, Dropped):
                self._drops()[entry.reason] += 1
            else:
                self._entries.append(entry)

    def _give_up(self) -> None:
        waiting: Drops = Counter()
        for entry in self._entries:
            if isinstance(entry, Counter):
                waiting.update(entry)
            else:
                waiting[task_pb2.DROP_REASON_OVERLOAD] += 1
        self._entries.clear()
        if waiting:
            self._entries.append(waiting)

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
