"""What a batch of windows should take on one thread, from the benchmark's costs: so that real steps can be compared.

Windows differ in length and in words. The encoder's cost grows with the length of the window, the decoder's with the
longest text of the batch, and an alignment costs the same for each window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Work:
    """A batch: mel frames of each window, tokens of each text, and how many texts were aligned."""

    frames: int
    tokens: Sequence[int]
    aligned: int


@dataclass(frozen=True, slots=True)
class StepCosts:
    """Seconds of one thread for the benchmark's window of `frames` and its text of `tokens`.

    `encode` and `decode`: by batch size, for one window of the batch. `align`: for one window.
    """

    frames: int
    tokens: int
    encode: Mapping[int, float]
    decode: Mapping[int, float]
    align: float

    def of(self, work: Work, encode_batch: int, decode_batch: int) -> float:
        """Seconds that `work` should take in batches of these sizes."""
        count = len(work.tokens)
        encoding = sum(_batch(self.encode, size) for size in _sizes(count, encode_batch)) * work.frames / self.frames
        decoding, first = 0.0, 0
        for size in _sizes(count, decode_batch):
            longest = max(work.tokens[first : first + size])
            decoding += _batch(self.decode, size) * longest / self.tokens
            first += size
        return encoding + decoding + work.aligned * self.align


def _sizes(count: int, most: int) -> list[int]:
    return [min(most, count - first) for first in range(0, count, most)]


def _batch(costs: Mapping[int, float], size: int) -> float:
    """Seconds for a batch of `size`, between those that were measured; beyond them in proportion."""
    totals = sorted((known, known * cost) for known, cost in costs.items())
    for (smaller, low), (larger, high) in pairwise(totals):
        if smaller <= size <= larger:
            return low + (high - low) * (size - smaller) / (larger - smaller)
    nearest = min(costs, key=lambda known: abs(known - size))
    return size * costs[nearest]
