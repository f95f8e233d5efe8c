"""Which words need not be heard twice: those the model is sure of, with enough audio behind them.

The less sure a word is, the more audio it needs: what is wrong was mostly cut off by the window's end, or is unlikely
however much follows. A word before silence is complete, so it needs no audio behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

from workers.stt.decode_job import DecodeJob
from workers.stt.tuning import Tuning, samples
from workers.stt.words import Word


@dataclass(frozen=True, slots=True)
class Sureness:
    """Judges the words of one job's hypothesis, on the media clock.

    `known_language`: whether the language is decided. If it is not, no word is sure: of words in a language guessed
    wrong the model is sure, too.
    """

    tuning: Tuning
    job: DecodeJob
    known_language: bool = True

    def is_sure(self, word: Word) -> bool:
        """Whether a word is final when it is first heard."""
        tuning, behind = self.tuning, self.job.end - word.end
        if not self.known_language or behind < 0:
            return False
        if self.job.ends_in_silence:
            return word.probability >= tuning.likely
        sure = word.probability >= tuning.sure and behind >= samples(tuning.sure_age)
        return sure or (word.probability >= tuning.likely and behind >= samples(tuning.likely_age))
