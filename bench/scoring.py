"""Word errors, latencies and the area under the ROC curve."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

_ENGLISH: Callable[[str], str] = EnglishTextNormalizer()
_BASIC: Callable[[str], str] = BasicTextNormalizer()


def normalise(text: str, language: str) -> list[str]:
    """Words as Whisper's normaliser writes them. In languages other than English, an apostrophe separates words."""
    if language == "en":
        return _ENGLISH(text).split()
    return _BASIC(text.replace("'", " ").replace("’", " ")).split()


@dataclass(frozen=True, slots=True)
class Errors:
    """Word errors over `words` reference words."""

    errors: int
    words: int

    def __add__(self, other: Errors) -> Errors:
        return Errors(self.errors + other.errors, self.words + other.words)

    @property
    def percent(self) -> float:
        return 100 * self.errors / max(1, self.words)


def word_errors(reference: str, hypothesis: str, language: str) -> Errors:
    wanted, got = normalise(reference, language), normalise(hypothesis, language)
    return Errors(Levenshtein.distance(wanted, got), len(wanted))


def total(parts: Iterable[Errors]) -> Errors:
    return sum(parts, Errors(0, 0))


def matched(left: Sequence[str], right: Sequence[str]) -> list[tuple[int, int]]:
    """Index pairs of the equal words in an alignment of two word lists."""
    pairs = []
    for block in Levenshtein.opcodes(list(left), list(right)):
        if block.tag == "equal":
            pairs += list(
                zip(range(block.src_start, block.src_end), range(block.dest_start, block.dest_end), strict=True)
            )
    return pairs


def percentiles(values: Sequence[float], *ranks: float) -> tuple[float, ...]:
    """The percentiles at `ranks`; nan if there are no values."""
    return tuple(float(np.percentile(values, rank)) if values else float("nan") for rank in ranks)


def area_under_curve(scores: Sequence[float], right: Sequence[bool]) -> float:
    """How often a right word has a higher score than a wrong one (0.5 is chance); nan if there are no such pairs."""
    values, truth = np.asarray(scores), np.asarray(right, dtype=bool)
    positive, negative = int(truth.sum()), int((~truth).sum())
    if not positive or not negative:
        return float("nan")
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))
