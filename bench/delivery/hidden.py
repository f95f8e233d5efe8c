"""How many filled pauses the recogniser writes down, with and without an initial prompt that contains some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from bench.corpus import SAMPLE_RATE
from bench.delivery.filler_clips import Labelled
from bench.delivery.hearing import Heard
from workers.stt.words import word_key

PROMPTS = {
    "en": "Um, uh, well, I, uh, I mean, er, hmm, you know, um.",
    "fr": "Euh, ben, je, euh, hum, enfin, euh, voilà.",
}
FILLER_WORDS = {
    "en": frozenset({"um", "uh", "umm", "uhh", "uhm", "er", "erm", "ah", "eh", "hm", "hmm", "mm", "mmm", "mhm", "huh"}),
    "fr": frozenset({"euh", "heu", "euhm", "hum", "hm", "hmm", "mm", "mmm", "eh", "ah", "oh", "hein", "heum"}),
}
"""What counts as a filled pause in a text: generous, since only its share of the sounds matters."""

_NEAR = int(0.6 * SAMPLE_RATE)


@dataclass(slots=True)
class Survival:
    """Of `sounds` filled pauses, `written` came out as one; `changed` other words differ from the clip's own text."""

    sounds: int = 0
    written: int = 0
    changed: int = 0
    invented: int = 0
    """Filler words in the text where there was no filled pause."""


def count(cases: Sequence[tuple[Labelled, list[Heard], list[Heard]]]) -> Survival:
    """Cases are a labelled clip, its words, and the words of the clip without its sounds."""
    result = Survival()
    for labelled, words, plain in cases:
        language = labelled.clip.language
        fillers = [word for word in words if word_key(word.text) in FILLER_WORDS[language]]
        spots = [spot for spot in labelled.spots if spot.filler]
        result.sounds += len(spots)
        written = {
            number
            for number, spot in enumerate(spots)
            if any(word.start < spot.end + _NEAR and word.end > spot.start - _NEAR for word in fillers)
        }
        result.written += len(written)
        result.invented += max(0, len(fillers) - len(written))
        result.changed += Levenshtein.distance(_others(plain, language), _others(words, language))
    return result


def common(words: Iterable[Heard], language: str) -> str:
    """The filler words of a text with their counts, for the report."""
    found = Counter(key for word in words if (key := word_key(word.text)) in FILLER_WORDS[language])
    return ", ".join(f"{word} {times}" for word, times in found.most_common(6)) or "none"


def _others(words: Sequence[Heard], language: str) -> list[str]:
    return [word_key(word.text) for word in words if word_key(word.text) not in FILLER_WORDS[language]]
