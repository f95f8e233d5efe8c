"""How fast someone speaks: words and syllables a minute with pauses, and syllables a minute of speech alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from workers.delivery import syllables
from workers.delivery.pauses import Stretch
from workers.delivery.words import SpokenWord

LEAST_WORDS: Final = 5
LEAST_MS: Final = 3_000
"""A rate needs five words over 3 s. Word times are known to about 0.1 s: over less time that alone is 7 % of a rate."""

EDGE_MS: Final = 100
_KNOWN_SHARE: Final = 0.8
"""Words whose syllables must be known; those of the others are taken to have as many as these."""


class Pace(msgspec.Struct, frozen=True):
    """The pace of a stretch; a rate is None where it cannot be measured.

    `words_per_minute` and `syllables_per_minute`: from the first word's start to the last one's end, pauses included.
    `articulation_rate`: syllables a minute of that time without its pauses of 250 ms and longer. `confidence`, 0 to 1:
    the part of the time that does not depend on where exactly the first and the last word end.
    """

    words: int = 0
    syllables: int | None = None
    words_per_minute: float | None = None
    syllables_per_minute: float | None = None
    articulation_rate: float | None = None
    confidence: float = 0.0


def pace(words: Sequence[SpokenWord], pauses: Iterable[Stretch], language: str) -> Pace:
    """The pace of final words in their order, with the pauses of 250 ms and longer that lie among them.

    `language`: ISO 639-1. Rates are None with fewer than five words or in less than 3 s, where the uncertain edges of
    words would be most of the answer. Those of syllables are None in a language without a rule for them, those of words
    in one that writes no spaces, where what counts as a word is the model's whim.
    """
    return rates(speaking(words, pauses, language))


class Speaking(msgspec.Struct, array_like=True):
    """Words and the time they took, milliseconds.

    `syllables` None: in a language without a rule for them. `span_ms`: from the first word's start to the last one's
    end, `paused_ms` of it in pauses. `spaced`: a language that writes spaces between words.
    """

    words: int = 0
    syllables: int | None = 0
    span_ms: int = 0
    paused_ms: int = 0
    spaced: bool = True

    def merge(self, other: Speaking) -> None:
        """Take another stretch's; a stretch without words adds nothing."""
        if not other.words:
            return
        self.words += other.words
        known = self.syllables is not None and other.syllables is not None
        self.syllables = (self.syllables or 0) + (other.syllables or 0) if known else None
        self.span_ms += other.span_ms
        self.paused_ms += other.paused_ms
        self.spaced = self.spaced and other.spaced


def speaking(words: Sequence[SpokenWord], pauses: Iterable[Stretch], language: str) -> Speaking:
    """The sums of final words in their order, with the pauses that lie among them. `language`: ISO 639-1."""
    spoken = [word for word in words if word.key]
    count = syllable_count(spoken, language)
    if not spoken:
        return Speaking(syllables=count)
    begin, end = min(word.start_ms for word in spoken), max(word.end_ms for word in spoken)
    paused = sum(max(0, min(pause.t1_ms, end) - max(pause.t0_ms, begin)) for pause in pauses)
    return Speaking(len(spoken), count, end - begin, paused, language not in syllables.UNSPACED)


def rates(said: Speaking) -> Pace:
    """The rates of a stretch, each None where it cannot be measured; see `pace`."""
    span, spoken = said.span_ms, said.span_ms - said.paused_ms
    if said.words < LEAST_WORDS or span < LEAST_MS:
        return Pace(said.words, said.syllables)
    return Pace(
        said.words,
        said.syllables,
        _per_minute(said.words, span) if said.spaced else None,
        _per_minute(said.syllables, span),
        _per_minute(said.syllables, spoken) if spoken >= LEAST_MS // 2 else None,
        1 - 2 * EDGE_MS / span,
    )


def syllable_count(words: Sequence[SpokenWord], language: str) -> int | None:
    """Syllables of the words; None in a language without a rule, or if it knows fewer than four fifths of the words."""
    known = [count for word in words if (count := syllables.count(word.text, language)) is not None]
    if len(known) < _KNOWN_SHARE * len(words):
        return None
    if not known:
        return 0 if language in syllables.LANGUAGES else None
    return round(sum(known) * len(words) / len(known))


def _per_minute(count: int | None, ms: int) -> float | None:
    return None if count is None else count * 60_000 / ms
