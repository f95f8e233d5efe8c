"""Sentences as they end: what was said again in them, and whether they trail off. Pure.

The hops of the sentence under way are kept: 5 bytes each, 1 KB for one of four seconds.
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


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence that has ended. `ending` None: too short, too long or too soft to be measured."""

    words: tuple[SpokenWord, ...]
    ending: Ending | None


class SentenceMeter(msgspec.Struct, array_like=True):
    """The sentence under way: its words, and the hops from hop `first` on, powers in float32 and speech in bytes."""

    words: list[SpokenWord] = []
    first: int = 0
    powers: bytes = b""
    speech: bytes = b""

    def hear(self, first: int, powers: NDArray[np.float64], speech: NDArray[np.bool_]) -> None:
        """Take the next hops, the first of which is number `first` of the stream."""
        if not self.powers:
            self.first = first
        self.powers += powers.astype("<f4").tobytes()
        self.speech += speech.astype(np.uint8).tobytes()

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
        powers = np.frombuffer(self.powers, "<f4").astype(np.float64)[first:end]
        speech = np.frombuffer(self.speech, np.uint8).astype(np.bool_)[first:end]
        return Sentence(words, ending(powers, speech))

    def _forget(self, now_ms: int) -> None:
        """Drop the hops before the sentence under way, and those of one that is too long."""
        needed = self.words[0].start_ms if self.words else now_ms - 1_000
        known = len(self.speech)
        drop = max(needed // _HOP_MS - self.first, known - MOST_HOPS)
        drop = max(0, min(drop, known))
        self.first += drop
        self.powers, self.speech = self.powers[4 * drop :], self.speech[drop:]
