"""What becomes of a hypothesis before it is compared with the one before: words without audio go, and one that jumps
over speech is rejected."""

from __future__ import annotations

from dataclasses import replace

from workers.stt.decode_job import Attempt, Counters, DecodeJob
from workers.stt.hypothesis import Hypothesis
from workers.stt.stabilizer import LocalAgreement
from workers.stt.unspoken import cut_unspoken
from workers.stt.window import VoiceTrack
from workers.stt.words import Word

_SKIPS_DOUBTED = 2
"""Hypotheses in a row that may be put aside for leaving out much of the last one, which may itself be wrong."""


class Screening:
    """One stream's. `skips`: hypotheses put aside in a row for jumping over speech."""

    def __init__(self, voice_off: float, counters: Counters, skips: int = 0) -> None:
        self.skips = skips
        self._voice_off = voice_off
        self._counters = counters

    def screen(
        self, job: DecodeJob, hypothesis: Hypothesis, stable: LocalAgreement, track: VoiceTrack
    ) -> tuple[Hypothesis, int]:
        """A job's hypothesis on the media clock, and how many words without audio were cut from it."""
        cut = 0
        if not hypothesis.rejected:
            placed = tuple(word.moved(job.start) for word in hypothesis.words)
            words = cut_unspoken(placed, track, self._voice_off)
            cut = len(placed) - len(words)
            doubted = job.attempt is not Attempt.REST and self._is_doubted(words, stable)
            hypothesis = replace(hypothesis, words=words, rejected=doubted)
        self._counters.rejected += hypothesis.rejected
        self._counters.unspoken_words += cut
        return hypothesis, cut

    def _is_doubted(self, words: tuple[Word, ...], stable: LocalAgreement) -> bool:
        doubted = self.skips < _SKIPS_DOUBTED and stable.skips(words)
        self.skips = self.skips + 1 if doubted else 0
        return doubted
