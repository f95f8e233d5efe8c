"""The stretches of a stream that are worth hearing again: one of each type at most, with the words around it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from talkup.v1 import analysis_pb2

from workers.delivery.words import SpokenWord

LONGEST_PAUSE: Final = "longest_pause"
FASTEST: Final = "fastest"
SLOWEST: Final = "slowest"
SOFTEST_ENDING: Final = "softest_ending"
LIVELIEST_PITCH: Final = "liveliest_pitch"
TYPES: Final = (LONGEST_PAUSE, FASTEST, SLOWEST, SOFTEST_ENDING, LIVELIEST_PITCH)

WORDS_AROUND: Final = 5
"""Words on either side of a pause."""
MOST_WORDS: Final = 40
"""Words of a stretch; a longer one is given with its first ones."""


class Candidate(msgspec.Struct, frozen=True, array_like=True):
    """The best stretch of its type so far: the highest `score`, the first of several. `words`: in their order."""

    score: float
    t0_ms: int
    t1_ms: int
    words: list[str]


class Moments(msgspec.Struct, array_like=True):
    """One stream's candidates. `awaits`: words behind the longest pause that are still to come."""

    best: dict[str, Candidate] = {}
    awaits: int = 0

    def offer(self, type_: str, score: float, t0_ms: int, t1_ms: int, words: Sequence[SpokenWord]) -> None:
        """A stretch and its words; for the longest pause, those before it."""
        before = self.best.get(type_)
        if before is not None and score <= before.score:
            return
        kept = words[-WORDS_AROUND:] if type_ == LONGEST_PAUSE else words[:MOST_WORDS]
        self.best[type_] = Candidate(score, t0_ms, t1_ms, [word.text.strip() for word in kept])
        if type_ == LONGEST_PAUSE:
            self.awaits = WORDS_AROUND

    def hear(self, words: Sequence[SpokenWord]) -> None:
        """The next words: those behind the longest pause belong to it."""
        pause = self.best.get(LONGEST_PAUSE)
        if not self.awaits or pause is None:
            return
        after = [word.text.strip() for word in words if word.start_ms + word.end_ms > 2 * pause.t0_ms][: self.awaits]
        self.awaits -= len(after)
        self.best[LONGEST_PAUSE] = msgspec.structs.replace(pause, words=pause.words + after)

    def messages(self) -> list[analysis_pb2.Moment]:
        """As the summary gives them, in order of time; a stream with one pace has neither a fastest nor a slowest."""
        fastest, slowest = self.best.get(FASTEST), self.best.get(SLOWEST)
        same = fastest is not None and slowest is not None and fastest.t0_ms == slowest.t0_ms
        found = [
            analysis_pb2.Moment(type=name, t0_ms=best.t0_ms, t1_ms=best.t1_ms, words=" ".join(best.words))
            for name, best in self.best.items()
            if not (same and name in (FASTEST, SLOWEST))
        ]
        return sorted(found, key=lambda moment: (moment.t0_ms, moment.type))
