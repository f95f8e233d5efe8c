"""`FilledPauseFinder` over a whole clip, as a worker drives it, and how often it is right."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.corpus import SAMPLE_RATE
from bench.delivery.filler_clips import Spot
from bench.delivery.hearing import Heard
from workers.delivery.acoustics import AT_REST, BLOCK, CONTEXT, analyse
from workers.delivery.filled_pauses import FilledPause, FilledPauseFinder
from workers.delivery.steadiness import changes
from workers.delivery.words import SpokenWord

_MS = SAMPLE_RATE // 1000
_BLOCKS_A_SECOND = SAMPLE_RATE // BLOCK
_NORMAL_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `of`."""

    hits: int = 0
    of: int = 0

    def __add__(self, other: Share) -> Share:
        return Share(self.hits + other.hits, self.of + other.of)

    @property
    def value(self) -> float:
        return self.hits / self.of if self.of else math.nan

    def __str__(self) -> str:
        low, high = wilson(self.hits, self.of)
        return f"{self.value:.2f} [{low:.2f}, {high:.2f}] ({self.hits} of {self.of})"


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927); all that is possible if there is nothing to count."""
    if not of:
        return 0.0, 1.0
    share, z2 = hits / of, _NORMAL_95**2
    centre = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _NORMAL_95 * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    return max(0.0, centre - half), min(1.0, centre + half)


def find(audio: NDArray[np.float32], words: Sequence[Heard], language: str) -> list[FilledPause]:
    """The filled pauses of a clip: blocks of 100 ms, and each second the words that begin before it."""
    finder = FilledPauseFinder()
    state: tuple[float, ...] = AT_REST
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), audio])
    waiting = [SpokenWord(word.text, word.start // _MS, word.end // _MS) for word in words]
    found: list[FilledPause] = []
    blocks = len(audio) // BLOCK
    for block in range(blocks):
        samples = padded[block * BLOCK : block * BLOCK + CONTEXT + BLOCK]
        hops, state = analyse(samples, state)
        finder.push(hops, changes(samples))
        last = block == blocks - 1
        if last or (block + 1) % _BLOCKS_A_SECOND == 0:
            until = (block + 1) * BLOCK // _MS
            ready = [word for word in waiting if last or word.start_ms < until]
            waiting = waiting[len(ready) :]
            found += finder.decide(ready, until, language, last=last)
    return found


def matches(sound: FilledPause, spot: Spot) -> bool:
    """Whether they share more than half of the shorter of them."""
    begin, end = sound.t0_ms * _MS, sound.t1_ms * _MS
    shared = min(end, spot.end) - max(begin, spot.start)
    return shared > 0.5 * min(end - begin, spot.end - spot.start)


def right(found: Iterable[FilledPause], spots: Sequence[Spot]) -> Share:
    """Of the sounds found, those that are filled pauses."""
    sounds = list(found)
    fillers = [spot for spot in spots if spot.filler]
    return Share(sum(any(matches(sound, spot) for spot in fillers) for sound in sounds), len(sounds))


def hit(found: Sequence[FilledPause], spot: Spot) -> Share:
    """Whether a sound that was put in was found."""
    return Share(int(any(matches(sound, spot) for sound in found)), 1)
