"""Words said again at once, and phrases begun again, as far as the transcript keeps them.

A speech model leaves out many of them: what is found here is a lower bound. Nothing is judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from workers.delivery.words import SpokenWord

COUNTED: Final = 0.5
"""Confidence from which a repeat is counted."""

_LONGEST_PHRASE: Final = 5
_LONGEST_GAP_MS: Final = 2_000
_SURE: Final = 0.9
_EITHER: Final = 0.4
_CUT_OFF: Final = ("-", "–", "—", "…", "...")
_BACK: Final = 4

_GRAMMAR: Final = "that had is do her nous vous die das der sie den si"
"""As in "that that", "had had", "what it is is", "nous nous", "vous vous", "die die"."""

_EMPHASIS: Final = (
    "very really so many much far long no yes yeah well now never ever bye ha oh hey okay ok there come "
    "oui non très trop bien allez ja nein doch sehr sí muy poco piano"
)
_DOUBLES: Final = frozenset(f"{_GRAMMAR} {_EMPHASIS}".split())
_WORDS_OF_A_LETTER: Final = frozenset("iaàyeo")


class Repeat(msgspec.Struct, frozen=True, array_like=True):
    """`words` words from `t0_ms` on, and the same words again up to `t1_ms`.

    `restart`: a phrase of two words or more, or one broken off and begun again. `confidence`: that neither grammar nor
    emphasis wanted the words twice.
    """

    t0_ms: int
    t1_ms: int
    words: int
    restart: bool
    confidence: float


def repeats(words: Sequence[SpokenWord]) -> list[Repeat]:
    """The repeats among final words in their order: the longest phrase first.

    A repeat lies within one sentence, with less than 2 s between its halves. Doubles that grammar or emphasis explains
    as well ("that that", "nous nous", "very, very"), letters and numbers come with a confidence of 0.4.
    """
    spoken = [word for word in words if word.key]
    keys = [word.key for word in spoken]
    found: list[Repeat] = []
    at = free = 0
    while at < len(spoken):
        repeat, step = _repeat_at(spoken, keys, at, free)
        at += step
        if repeat is not None:
            found.append(repeat)
            free = at
    return found


def counts(found: Iterable[Repeat]) -> tuple[int, int]:
    """How many repeated words and how many restarts are sure enough to be counted."""
    sure = [repeat for repeat in found if repeat.confidence >= COUNTED]
    return sum(not repeat.restart for repeat in sure), sum(repeat.restart for repeat in sure)


def _repeat_at(words: Sequence[SpokenWord], keys: Sequence[str], at: int, free: int) -> tuple[Repeat | None, int]:
    """The repeat whose first half begins at a word, or ends there broken off, and how many words to go on by.

    Words before `free` are the first half of a repeat already.
    """
    for length in range(min(_LONGEST_PHRASE, (len(words) - at) // 2), 0, -1):
        again = at + length
        phrase = keys[at:again]
        if (
            phrase != keys[again : again + length]
            or _is_repetition(phrase)
            or not _joined(words, at, again + length - 1)
        ):
            continue
        confidence = _confidence(words[at:again], keys[at : again + length + 2])
        repeat = Repeat(words[at].start_ms, words[again + length - 1].end_ms, length, length > 1, confidence)
        return repeat, length
    if words[at].text.rstrip().endswith(_CUT_OFF) and at + 1 < len(words):
        begin = max(free, at - _BACK)
        if keys[at + 1] in keys[begin : at + 1] and _joined(words, at, at + 1):
            first = begin + keys[begin : at + 1].index(keys[at + 1])
            return Repeat(words[first].start_ms, words[at + 1].end_ms, at + 1 - first, True, _SURE), 1
    return None, 1


def _joined(words: Sequence[SpokenWord], first: int, last: int) -> bool:
    """Whether words follow one another within a sentence, without a long gap."""
    return all(
        not words[at].ends_sentence and words[at + 1].start_ms - words[at].end_ms < _LONGEST_GAP_MS
        for at in range(first, last)
    )


def _is_repetition(phrase: Sequence[str]) -> bool:
    """Whether a phrase is itself something shorter said over again."""
    return any(
        len(phrase) % length == 0 and list(phrase) == list(phrase[:length]) * (len(phrase) // length)
        for length in range(1, len(phrase) // 2 + 1)
    )


def _confidence(phrase: Sequence[SpokenWord], keys: Sequence[str]) -> float:
    """Of a phrase said twice; `keys` are those of both and of the two words after them."""
    if len(phrase) == 1:
        letter = len(keys[0]) == 1 and phrase[0].text.strip().isupper() and keys[0] not in _WORDS_OF_A_LETTER
        return _EITHER if letter or keys[0] in _DOUBLES or keys[0].isdigit() else _SURE
    # "Again and again and again" is a figure of speech; with another "and" it would be a third time.
    figure = len(phrase) == 2 and keys[4:5] == keys[:1] and keys[5:6] != keys[1:2]
    return _EITHER if figure else _SURE
