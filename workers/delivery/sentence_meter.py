"""Sentences as they end: what was said again in them, and whether they trail off. Pure.

The levels of the sentence under way are kept, in steps of 0.01 dB: 2 bytes a hop, 400 bytes for one of four seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from workers.delivery.levels import Ending, ending
from workers.delivery.words import SpokenWord

MOST_WORDS: Final = 60
"""A model that writes no full stops has sentences of this length."""
MOST_HOPS: Final = 1_000
"""20 s: the end of a longer sentence is not measured."""
_HOP_MS: Final = 20
_HOP_BYTES: Final = 2
_NO_SPEECH: Final = -(1 << 15)
_STEPS_A_DB: Final = 100
_SILENT: Final = 1e-15


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence that has ended. `ending` None: too short, too long or too soft to be measured."""

    words: tuple[SpokenWord, ...]
    ending: Ending | None


class SentenceMeter(msgspec.Struct, array_like=True):
    """The sentence under way: its words, and the levels of the hops from hop `first` on, int16 little-endian."""

    words: list[SpokenWord] = []
    first: int = 0
    levels: bytes = b""

    def hear(self, first: int, powers: NDArray[np.float64], speech: NDArray[np.bool_]) -> None:
        """Take the next hops, the first of which is number `first` of the stream."""
        if not self.levels:
            self.first = first
        levels = np.rint(10 * _STEPS_A_DB * np.log10(powers + _SILENT))
        self.levels += np.where(speech, levels, _NO_SPEECH).astype("<i2").tobytes()

    def end(self, words: Sequence[SpokenWord], now_ms: int, *, last: bool = False) -> Iterator[Sentence]:
        """Take the words that begin before `now_ms`; give the sentences that end with them or before them.

        `last`: the stream ends here, and the words left are a sentence, too.
        """
        for word in words:
            self.words.append(word)
            if len(self.words) >= MOST_WORDS:
                yield self._take(len(self.words))
        while (count := self._ended(now_ms, last=last)) > 0:
            yield self._take(count)
        if last and self.words:
            yield self._take(len(self.words))
        self._forget(now_ms)

    def _ended(self, now_ms: int, *, last: bool) -> int:
        """How many words the first sentence has that has ended; 0: there is none."""
        for count, word in enumerate(self.words, 1):
            if word.ends_sentence:
                return count if last or word.end_ms <= now_ms else 0
        return 0

    def _take(self, count: int) -> Sentence:
        words = tuple(self.words[:count])
        del self.words[:count]
        first, end = words[0].start_ms // _HOP_MS - self.first, -(-words[-1].end_ms // _HOP_MS) - self.first
        if first < 0 or end - first > MOST_HOPS:
            return Sentence(words, None)
        levels = np.frombuffer(self.levels, "<i2")[first:end]
        powers = 10 ** (levels.astype(np.float64) / (10 * _STEPS_A_DB))
        return Sentence(words, ending(powers, levels != _NO_SPEECH))

    def _forget(self, now_ms: int) -> None:
        """Drop the hops before the sentence under way, and those of one that is too long."""
        needed = self.words[0].start_ms if self.words else now_ms - 1_000
        known = len(self.levels) // _HOP_BYTES
        drop = max(needed // _HOP_MS - self.first, known - MOST_HOPS)
        drop = max(0, min(drop, known))
        self.first += drop
        self.levels = self.levels[_HOP_BYTES * drop :]
