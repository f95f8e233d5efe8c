"""Which chunks are covered by committed samples: the map from sequence numbers to the media clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from workers.stt.state import Totals


@dataclass(frozen=True, slots=True)
class _Entry:
    sequence: int
    end: int
    totals: Totals


class ChunkLedger:
    """Chunks that may still be replayed, each with the number of samples decoded by then.

    A decoder may hold back the end of a chunk until more bytes come, or all of it where an Ogg page is spread over
    several. So a chunk counts as covered when the next samples that came out after it are; `close` lifts that.
    """

    def __init__(self, before: Totals | None = None) -> None:
        self._before = before or Totals()
        self._entries: deque[_Entry] = deque()
        self._covered: int | None = None
        self._closed = False

    @property
    def totals(self) -> Totals:
        """Of all chunks so far."""
        return self._entries[-1].totals if self._entries else self._before

    @property
    def held_bytes(self) -> int:
        """Bytes of the chunks that may still be replayed."""
        return self.totals.size - self._before.size

    def add(self, sequence: int, size: int, missing: int, end: int, damaged: int = 0) -> None:
        """Add a chunk of `size` bytes, with `missing` lost before it; the decoder has now given `end` samples.

        `damaged`: bytes of it that could not be decoded and were skipped.
        """
        before = self.totals
        totals = Totals(
            chunks=before.chunks + 1,
            size=before.size + size,
            missing=before.missing + missing,
            damaged=before.damaged + damaged,
        )
        self._entries.append(_Entry(sequence, end, totals))

    def close(self, damaged: int = 0) -> None:
        """The last chunk and all its samples have come; `damaged` more of its bytes were skipped."""
        self._closed = True
        if self._entries:
            last = self._entries.pop()
            totals = msgspec.structs.replace(last.totals, damaged=last.totals.damaged + damaged)
            self._entries.append(_Entry(last.sequence, last.end, totals))

    def covered(self, committed: int, replay_from: int) -> int | None:
        """The highest sequence covered by samples before `committed`; None while there is none.

        Chunks before `replay_from` are covered too: they are no longer needed. Never falls.
        """
        entries = list(self._entries)
        last_at = {entry.end: entry.sequence for entry in entries}  # the last chunk at each position, in order
        reached = [last_at[end] for end, next_end in pairwise(last_at) if next_end <= committed]
        if self._closed and entries and entries[-1].end <= committed:
            reached.append(entries[-1].sequence)
        if entries and replay_from > entries[0].sequence:
            reached.append(min(replay_from - 1, entries[-1].sequence))
        if self._covered is not None:
            reached.append(self._covered)
        self._covered = max(reached, default=None)
        return self._covered

    def forget_before(self, sequence: int) -> Totals:
        """Drop the chunks before `sequence`; returns the totals up to there."""
        while self._entries and self._entries[0].sequence < sequence:
            self._before = self._entries.popleft().totals
        return self._before
