"""Words and the time they took, as sums: the pace of any stretch follows from them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from workers.delivery.pace import EDGE_MS, LEAST_MS, LEAST_WORDS, Pace, syllable_count
from workers.delivery.pauses import Stretch
from workers.delivery.syllables import UNSPACED
from workers.delivery.words import SpokenWord


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
    if not spoken:
        return Speaking()
    begin, end = spoken[0].start_ms, max(word.end_ms for word in spoken)
    paused = sum(max(0, min(pause.t1_ms, end) - max(pause.t0_ms, begin)) for pause in pauses)
    count = syllable_count(spoken, language)
    return Speaking(len(spoken), count, end - begin, paused, language not in UNSPACED)


def rates(said: Speaking) -> Pace:
    """The rates of a stretch, each None where it cannot be measured; see `workers.delivery.pace.pace`."""
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


def _per_minute(count: int | None, ms: int) -> float | None:
    return None if count is None else count * 60_000 / ms
