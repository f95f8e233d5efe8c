"""Pauses by length, within a sentence and between two, in steps of a hop. Pure."""

from __future__ import annotations

from typing import Final

import msgspec
from talkup.v1 import analysis_pb2

BUCKETS: Final = ((250, 500), (500, 1_000), (1_000, 2_000), (2_000, None))
"""Of the summary, milliseconds."""

_STEP_MS: Final = 20


class PauseHistogram(msgspec.Struct, array_like=True):
    """How many pauses were how long: `counts[length in hops]` within sentences and between them.

    A pause is shorter than ten seconds, so there are 500 lengths at most.
    """

    counts: dict[int, tuple[int, int]] = {}

    def add(self, ms: int, *, within: bool) -> None:
        """Take a pause; `within`: it lies within a sentence."""
        self._count(ms // _STEP_MS, int(within), int(not within))

    def merge(self, other: PauseHistogram) -> None:
        """Take what another one counted."""
        for length, (within, between) in other.counts.items():
            self._count(length, within, between)

    def _count(self, length: int, within: int, between: int) -> None:
        before = self.counts.get(length, (0, 0))
        self.counts[length] = before[0] + within, before[1] + between

    @property
    def pauses(self) -> int:
        """All pauses."""
        return sum(map(sum, self.counts.values()))

    @property
    def within(self) -> int:
        """Pauses within sentences."""
        return sum(within for within, _ in self.counts.values())

    @property
    def longest_ms(self) -> int:
        """Raises ValueError without any pause."""
        return max(self.counts) * _STEP_MS

    @property
    def median_ms(self) -> float:
        """The lower and the upper median's mean. Raises ValueError without any pause."""
        lengths = sorted((length, sum(both)) for length, both in self.counts.items())
        pauses, low, high, seen = self.pauses, None, None, 0
        for length, count in lengths:
            seen += count
            if low is None and 2 * seen >= pauses:
                low = length
            if high is None and 2 * seen > pauses:
                high = length
        if low is None or high is None:
            raise ValueError("no pause was counted")
        return (low + high) / 2 * _STEP_MS

    def buckets(self) -> list[analysis_pb2.PauseBucket]:
        """As the summary gives them."""
        found = [analysis_pb2.PauseBucket(from_ms=first, to_ms=end) for first, end in BUCKETS]
        for length, (within, between) in self.counts.items():
            ms = length * _STEP_MS
            for bucket in found:
                if bucket.from_ms <= ms and (not bucket.HasField("to_ms") or ms < bucket.to_ms):
                    bucket.within_sentences += within
                    bucket.between_sentences += between
        return found
