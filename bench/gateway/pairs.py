"""Whether a disturbance changes a percentile: ratios of neighbouring phases, and what the machine's own noise can show.

Phases follow each other as quiet, disturbed, disturbed, quiet, so that a drift of the machine cancels. Each disturbed
phase is compared with the quiet one beside it. The floor is the same statistic between neighbouring quiet phases.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from bench.harness.actions import percentile

SHARE = 0.95
_ROUNDS = 4000
_LEVEL = 0.95
_SEED = 14

Samples = Sequence[float]

HELD = "held"
BROKEN = "broken"
NO_VERDICT = "floor too high, no verdict"
ONE_CORE = "one core, no verdict"


@dataclass(frozen=True, slots=True)
class Interval:
    """The median of ratios, and the interval in which it lies with a probability of 95 % (bootstrap over the pairs)."""

    ratio: float
    low: float
    high: float

    @property
    def reach(self) -> float:
        """The largest change, up or down, that the interval contains."""
        return max(self.high, 1 / self.low)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Disturbed against quiet phases, and quiet ones against each other."""

    effect: Interval
    floor: Interval
    samples: int
    """Of each phase: all have as many as the one with the fewest."""

    def verdict(self, bound: float, *, are_apart: bool = True) -> str:
        """Broken only if the whole interval is above the bound. None if noise alone can reach the bound."""
        if not are_apart:
            return ONE_CORE
        if self.floor.reach > bound:
            return NO_VERDICT
        return BROKEN if self.effect.low > bound else HELD


def compare(quiet: Sequence[Samples], disturbed: Sequence[Samples]) -> Comparison:
    """Compare phases of blocks: quiet[2b], disturbed[2b], disturbed[2b + 1], quiet[2b + 1] followed each other.

    Raises AssertionError if a phase has no samples, or if there are fewer than two blocks.
    """
    assert len(quiet) == len(disturbed), "as many quiet phases as disturbed ones"
    assert len(quiet) >= 4, "two blocks at least"
    samples = min(len(phase) for phase in (*quiet, *disturbed))
    assert samples, "a phase without samples"
    calm = [percentile(phase[:samples], SHARE) for phase in quiet]
    late = [percentile(phase[:samples], SHARE) for phase in disturbed]
    effect = [after / before for before, after in zip(calm, late, strict=True)]
    floor = [after / before for before, after in pairwise(calm)]
    return Comparison(interval(effect), interval(floor), samples)


def interval(ratios: Sequence[float]) -> Interval:
    """The median with its bootstrap interval."""
    rng = random.Random(_SEED)
    found = sorted(median(rng.choices(ratios, k=len(ratios))) for _ in range(_ROUNDS))
    tail = (1 - _LEVEL) / 2
    return Interval(median(ratios), found[int(tail * _ROUNDS)], found[int((1 - tail) * _ROUNDS) - 1])
