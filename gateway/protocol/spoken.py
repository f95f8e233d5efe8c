"""When the speaker of a stream speaks: the words say that it is speech, the sound says from when to when. Pure.

A recogniser's word times are a by-product of its text: the last word of a phrase often ends 0.1 to 0.3 s after the
sound, and sometimes half a second before it. A worker that measures delivery knows the edges of sound to a few
hundredths of a second, but not whether the sound is words: a cough has edges, too. So a stretch of sound counts if a
word belongs to it, and its edges hold. Where no sound was measured, words keep their own times.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

from gateway.protocol.turns import Span

NEAR_MS: Final = 500
"""A word outside all stretches of sound belongs to the nearest one, if that is nearer than this."""

MOVE_MS: Final = 1000
"""No edge lies farther from the outermost word than this: a tune hummed after the last word is no speech."""


class Spoken:
    """The speech of one stream, in ms of any one clock, as its words become final and its sound is measured.

    What `take` returns in all does not depend on which of both comes first.
    """

    def __init__(self) -> None:
        self._settled_ms = -math.inf
        self._words: list[Span] = []
        self._stretches: list[Span] = []
        self._last_ms = -math.inf
        self._reach: dict[Span, Span] = {}

    def say(self, words: Iterable[Span]) -> None:
        """Final words."""
        self._words += words

    def forget(self, kept: int) -> int:
        """Forget all but the last `kept` words that are not certain yet; returns how many."""
        surplus = max(0, len(self._words) - kept)
        del self._words[:surplus]
        return surplus

    def hear(self, stretches: Iterable[Span], settled_ms: float) -> list[Span]:
        """Stretches of sound, in order; returns those that were not given before, the others do not count.

        Those that are not given yet begin at `settled_ms` or later; infinity: there are none.
        """
        new = []
        for each in stretches:
            if each.t0_ms >= self._last_ms:
                new.append(each)
                self._last_ms = each.t1_ms
        self._stretches += new
        self._settled_ms = max(self._settled_ms, settled_ms)
        return new

    def take(self, final_ms: float) -> tuple[list[Span], float]:
        """The speech that became certain, where every word that begins before `final_ms` is final; and up to when.

        No other speech begins before that time.
        """
        found = self._settle_words()
        unsettled = min((word.t0_ms for word in self._words), default=math.inf)
        known = min(final_ms, unsettled)
        while self._stretches and self._stretches[0].t1_ms + NEAR_MS <= known:
            stretch = self._stretches.pop(0)
            if (reach := self._reach.pop(stretch, None)) is not None:
                found.append(_within(stretch, reach))
        begin = min((each.t0_ms for each in self._stretches), default=math.inf)
        return sorted(found), min(known, begin, self._settled_ms)

    def _settle_words(self) -> list[Span]:
        """Give the words around which all sound is known to their stretches; returns those that belong to none."""
        self._words.sort()
        alone: list[Span] = []
        settled = 0
        for word in self._words:
            if word.t1_ms + NEAR_MS > self._settled_ms:
                break
            settled += 1
            owners = _owners(word, self._stretches)
            for owner in owners:
                reach = self._reach.get(owner, word)
                self._reach[owner] = Span(min(reach.t0_ms, word.t0_ms), max(reach.t1_ms, word.t1_ms))
            if not owners:
                alone.append(word)
        del self._words[:settled]
        return alone


def spoken(words: Iterable[Span], stretches: Iterable[Span]) -> list[Span]:
    """The speech of a whole stream from its words and its stretches of sound, in order."""
    speech = Spoken()
    speech.say(words)
    speech.hear(sorted(set(stretches)), math.inf)
    return speech.take(math.inf)[0]


def _owners(word: Span, stretches: Sequence[Span]) -> Sequence[Span]:
    """The stretches that a word belongs to: those that it overlaps, else the nearest one."""
    first = bisect_right(stretches, word.t0_ms, key=lambda each: each.t1_ms)
    end = bisect_left(stretches, max(word.t1_ms, word.t0_ms + 1), key=lambda each: each.t0_ms)
    if first < end:
        return stretches[first:end]
    near = [
        (max(word.t0_ms - each.t1_ms, each.t0_ms - word.t1_ms), each) for each in stretches[max(0, first - 1) : end + 1]
    ]
    distance, nearest = min(near, default=(math.inf, word))
    return [nearest] if distance < NEAR_MS else []


def _within(stretch: Span, reach: Span) -> Span:
    """A stretch of sound, no farther from its words than `MOVE_MS`."""
    return Span(max(stretch.t0_ms, reach.t0_ms - MOVE_MS), min(stretch.t1_ms, reach.t1_ms + MOVE_MS))
