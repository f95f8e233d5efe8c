"""Which language a stream's speech is in: given by the client, or detected and kept.

Without a list of expected languages, `auto` decides on the first 2 s of speech and keeps to that for the stream's life:
among all of Whisper's languages every further decision could be wrong. With a list, each segment is decided separately,
among the expected languages alone. `base` is right about 35 of 35 clips of two languages from 0.8 s of voice on, and
about 49 of 49 of four languages from 1.6 s on; about less it may be wrong and sure of it. So a short segment keeps the
language of the one before, unless the evidence is strong. A segment never changes its language once it is decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workers.stt.tuning import samples

_DECIDED_AFTER = samples(2.0)
"""Voice after which a detected language is kept (57 of 58 right on 2 to 3 s, of all languages)."""
_EVIDENCE = ((0.8, 0.99), (1.6, 0.8))
"""Seconds of voice up to which a language needs that probability to follow another one; of more, the likeliest wins."""


@dataclass(frozen=True, slots=True)
class LanguageQuestion:
    """What the model is asked: which of `expected` (none: of all) is spoken.

    `previous`, the language of the segment before, stands unless another one has at least the probability `needed`.
    """

    expected: tuple[str, ...] = ()
    previous: str | None = None
    needed: float = 0.0


ANY_LANGUAGE = LanguageQuestion()


def choose_language(probabilities: Sequence[tuple[str, float]], question: LanguageQuestion) -> tuple[str, float]:
    """The language to decode in and its probability among those expected; `probabilities` of all, likeliest first."""
    known: Mapping[str, float] = dict(probabilities)
    expected = [code for code in question.expected if code in known] or list(known)
    total = sum(known[code] for code in expected) or 1.0
    best = max(expected, key=lambda code: known[code])
    if question.previous in expected and known[best] / total < question.needed:
        best = question.previous
    return best, known[best] / total


class LanguageChoice:
    """One stream's language, with those `expected`; none: any.

    `current`: given, or decided for now; None: not yet. `previous`: that of the last segment with words.
    """

    def __init__(self, expected: tuple[str, ...], current: str | None, previous: str | None = None) -> None:
        self.current = current
        self.previous = previous
        self._expected = expected

    def question(self, spoken: int) -> LanguageQuestion:
        """What to ask about a window with `spoken` samples of voice."""
        needed = next((probability for seconds, probability in _EVIDENCE if spoken < samples(seconds)), 0.0)
        return LanguageQuestion(self._expected, self.previous, needed)

    def heard(self, language: str, spoken: int) -> None:
        """A hypothesis was made in this language; it is kept when there was voice enough."""
        if self.current is None and spoken >= _DECIDED_AFTER:
            self.current = language

    def end_segment(self, language: str | None) -> None:
        """The segment is over; `language` of its words, None: there were none."""
        if self._expected:
            self.previous = language or self.current or self.previous
            self.current = None
