"""Filled pauses ("um", "euh") found by their sound: vowels and murmurs that are held, level in pitch and colour.

Speech models leave them out of the transcript, and their alignment gives the time to a neighbouring word: of 44 filled
pauses, two were left uncovered. So the words that cover a held sound are checked: whether they are too long for their
syllables with it, and long enough without it. The constants were chosen on half of the speakers of
`python -m bench.delivery --only fillers`; docs/delivery.md has the figures of the other half.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from workers.delivery import syllables
from workers.delivery.acoustics import HOP, SAMPLE_RATE, Hops
from workers.delivery.words import SpokenWord

HOP_MS: Final = 1000 * HOP // SAMPLE_RATE

_STEADY_DB: Final = 2.5
"""Most change of the spectrum within a held sound (`steadiness.changes`)."""

_STEADY_SEMITONES: Final = 0.5
"""Most change of pitch from hop to hop."""

_LEAST_PERIODICITY: Final = 0.6
_BELOW_LOUDEST_DB: Final = 30.0
_FORGOTTEN_DB: Final = 1.0 * HOP_MS / 1000
"""The loudest sound so far counts one dB less with each second."""

_UNSTEADY: Final = 2
"""Hops in a row, voiced but unsteady, that do not end a held sound."""

_LEAD: Final = 2
"""Hops by which the sound begins before it is seen to be steady: pitch and spectrum look back."""

_SHORTEST: Final = 10
_LONGEST: Final = 100
"""Hops. What is held longer than 2 s is sung or played."""

_JOINED_MS: Final = 120
"""Held sounds so near each other are one: the "u" and the "m" of "um"."""

_KEPT_WORDS_MS: Final = 4_000
_UNCOVERED: Final = 0.5
_LEAST_SYLLABLE_MS: Final = 80
"""What must be left of the words for each syllable if the sound is not theirs: 12 syllables a second."""

_MOST_SYLLABLE_MS: Final = 250
"""Words that are no longer than this for each syllable need no filled pause to explain them."""

_LETTERS_A_SYLLABLE: Final = 3
_SILENT: Final = 1e-12


WRITTEN: Final[Mapping[str, frozenset[str]]] = {
    "en": frozenset({"um", "umm", "uh", "uhm", "er", "erm", "hm", "hmm", "mm"}),
    "fr": frozenset({"euh", "heu", "hum", "hm"}),
    "de": frozenset({"äh", "ähm", "hm"}),
}
"""Filled pauses as a transcript writes them: the held sound that one of them covers is one."""


class FilledPause(msgspec.Struct, frozen=True, array_like=True):
    """A held sound that is no part of a word, on the stream's media clock."""

    t0_ms: int
    t1_ms: int


class FilledPauseMemory(msgspec.Struct, array_like=True):
    """One stream's memory; a `FilledPauseFinder` changes it, and another one goes on from its bytes.

    Positions are hops from the stream's start; `run_to` is behind the last steady hop. It holds the words of the last
    seconds and the sounds that are not decided: some hundred bytes.
    """

    hop: int = 0
    loudest: float = -120.0
    semitone: float | None = None
    run_from: int | None = None
    run_to: int = 0
    held: list[FilledPause] = []
    words: list[SpokenWord] = []


class FilledPauseFinder:
    """Finds the filled pauses of one stream: sound block by block, then the words of a time that is known."""

    def __init__(self, memory: FilledPauseMemory | None = None) -> None:
        self.memory = memory or FilledPauseMemory()

    def push(self, hops: Hops, changes: NDArray[np.float64]) -> None:
        """Take the next block: `acoustics.analyse` and `steadiness.changes` of it."""
        semitones = 12 * np.log2(hops.f0.astype(np.float64))
        levels = 10 * np.log10(hops.power + _SILENT)
        for number in range(len(changes)):
            steady = hops.periodicity[number] >= _LEAST_PERIODICITY and changes[number] <= _STEADY_DB
            self._hear(float(semitones[number]), float(levels[number]), steady=bool(steady))

    def decide(
        self, words: Sequence[SpokenWord], until_ms: int, language: str, *, last: bool = False
    ) -> list[FilledPause]:
        """The filled pauses that have become certain. `last`: the stream ends here.

        `words`: the final words that begin before `until_ms` and were not given before. `language`: ISO 639-1. Sound
        must have been pushed up to `until_ms`.
        """
        memory = self.memory
        memory.words += [word for word in words if word.key and word.key not in WRITTEN.get(language, ())]
        if last:
            self._end_run()
        open_from = math.inf if memory.run_from is None else _begin_ms(memory.run_from)
        found: list[FilledPause] = []
        while memory.held:
            sound = memory.held[0]
            if not last and sound.t1_ms + _JOINED_MS + _LEAD * HOP_MS >= min(until_ms, open_from):
                break
            if _is_filled_pause(sound, memory.words, language):
                found.append(sound)
            del memory.held[0]
        memory.words = [word for word in memory.words if word.end_ms > until_ms - _KEPT_WORDS_MS]
        return found

    def _hear(self, semitone: float, level: float, *, steady: bool) -> None:
        memory = self.memory
        before = memory.semitone
        memory.semitone = None if math.isnan(semitone) else semitone
        memory.loudest = max(level, memory.loudest - _FORGOTTEN_DB)
        level_pitch = before is not None and abs(semitone - before) <= _STEADY_SEMITONES
        if steady and level_pitch and level >= memory.loudest - _BELOW_LOUDEST_DB:
            memory.run_from = memory.hop if memory.run_from is None else memory.run_from
            memory.run_to = memory.hop + 1
        elif memory.semitone is None or memory.hop - memory.run_to >= _UNSTEADY:
            self._end_run()
        memory.hop += 1

    def _end_run(self) -> None:
        """Keep the sound that was held, if its length is right."""
        memory = self.memory
        if memory.run_from is None:
            return
        length = memory.run_to - memory.run_from
        if _SHORTEST <= length <= _LONGEST:
            sound = FilledPause(_begin_ms(memory.run_from), memory.run_to * HOP_MS)
            if memory.held and sound.t0_ms - memory.held[-1].t1_ms <= _JOINED_MS:
                sound = FilledPause(memory.held.pop().t0_ms, sound.t1_ms)
            memory.held.append(sound)
        memory.run_from = None


def _begin_ms(run_from: int) -> int:
    return max(0, run_from - _LEAD) * HOP_MS


def _is_filled_pause(sound: FilledPause, words: Sequence[SpokenWord], language: str) -> bool:
    """Whether the words leave room for a held sound: none covers it, or those that do are far too long without it."""
    length = sound.t1_ms - sound.t0_ms
    if length > _LONGEST * HOP_MS:
        return False
    around = [word for word in words if word.start_ms < sound.t1_ms and word.end_ms > sound.t0_ms]
    covered = sum(min(word.end_ms, sound.t1_ms) - max(word.start_ms, sound.t0_ms) for word in around)
    if covered < _UNCOVERED * length:
        return True
    spoken = max(word.end_ms for word in around) - min(word.start_ms for word in around)
    count = sum(_syllables(word, language) for word in around)
    return spoken >= _MOST_SYLLABLE_MS * count and spoken - length >= _LEAST_SYLLABLE_MS * count


def _syllables(word: SpokenWord, language: str) -> int:
    """The syllables of a word, at least one; where no rule knows them, by its letters."""
    count = syllables.count(word.text, language)
    return max(1, -(-len(word.key) // _LETTERS_A_SYLLABLE) if count is None else count)
