"""When each word was shown, which words were lost and which came twice. Pure, on normalised words."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from bench.peers.peer import Shown
from bench.scoring import matched, normalise
from bench.stt.offline import TimedWord

_NEAR = 15
"""Words on each side of an addition that are searched for its first occurrence."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word as the normaliser writes it, and when it was spoken, seconds of the stream."""

    word: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds from the end of each word to when it was first shown, and to when it was final; of `words` words."""

    shown: tuple[float, ...]
    final: tuple[float, ...]
    words: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Differences from the expected text: words lost, doubled and changed."""

    lost: int
    doubled: int
    changed: int
    words: int


def spoken(words: Iterable[TimedWord], language: str = "en") -> list[Spoken]:
    """Timed words as the normaliser writes them, each piece with the times of the word that it came from."""
    return [Spoken(piece, word.start, word.end) for word in words for piece in normalise(word.text, language)]


def delays(words: Sequence[Spoken], states: Iterable[Shown], began: float, language: str = "en") -> Delays:
    """When the words of a stream that `began` then were shown: a word counts once an alignment of the text holds it.

    A text is aligned with the words begun by its time, so that a later "the" is not taken for one not yet spoken.
    """
    shown: dict[int, float] = {}
    final: dict[int, float] = {}
    for state in states:
        at = state.at - began
        begun = [word.word for word in words if word.start <= at]
        for text, known in ((state.text, shown), (state.final, final)):
            if len(known) < len(begun):
                for index, _ in matched(begun, _words(text, language)):
                    known.setdefault(index, at - words[index].end)
    return Delays(tuple(shown.values()), tuple(final.values()), len(words))


def damage(wanted: str, got: str, language: str = "en") -> Damage:
    """What an interruption did, against the text of an undisturbed run.

    An added word counts as doubled where the wanted text has it nearby; any other addition is not counted.
    """
    left, right = normalise(wanted, language), normalise(got, language)
    lost = doubled = changed = 0
    for block in Levenshtein.opcodes(left, right):
        match block.tag:
            case "delete":
                lost += block.src_end - block.src_start
            case "replace":
                changed += block.src_end - block.src_start
            case "insert":
                near = left[max(0, block.src_start - _NEAR) : block.src_start + _NEAR]
                doubled += sum(word in near for word in right[block.dest_start : block.dest_end])
    return Damage(lost, doubled, changed, len(left))


@functools.lru_cache(maxsize=4096)
def _words(text: str, language: str) -> tuple[str, ...]:
    """Normalised words, cached: the final part of a text repeats in each state, and the normaliser is slow."""
    return tuple(normalise(text, language))


def last_words(wanted: Sequence[str], text: str, count: int, language: str = "en") -> int:
    """How many of the last `count` wanted words a text holds, by an alignment of the whole."""
    pairs = matched(wanted, normalise(text, language))
    return sum(index >= len(wanted) - count for index, _ in pairs)
