"""The last words of a window, in up to three attempts: a window that closes loses for good what the decoder left out.

A decoder may end its text long before the voice ends, and words without audio are cut from it. So the first attempt is
checked against the voice track. If speech lies behind its last word, the window is decoded again at the encoder's full
length; if that does not help, what lies behind the last word is decoded by itself. All attempts fall between two
reports to the gateway: another worker repeats them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from workers.stt.decode_job import Attempt, Counters, DecodeJob
from workers.stt.hearing import Hearing
from workers.stt.hypothesis import Hypothesis
from workers.stt.stabilizer import LocalAgreement
from workers.stt.tuning import Tuning, samples
from workers.stt.window import encoder_frames
from workers.stt.words import Word

_FULL_LENGTH_FRAMES = 3000
_SHORTEST_REST = samples(0.1)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an attempt found: the words that are not final yet, and how much speech lies behind the last one, samples.

    `fallback`: its hypothesis was rejected, and the words are those of the last step. `doubtful`: words without audio
    were cut from it.
    """

    words: Sequence[Word]
    unheard: int
    fallback: bool = False
    doubtful: bool = False


class Closing:
    """Makes the attempts at one window and chooses between them.

    `wordless`: speech of the stream, in samples, for which no attempt found words.
    """

    def __init__(self, hearing: Hearing, tuning: Tuning, counters: Counters, wordless: int = 0) -> None:
        self.wordless = wordless
        self._hearing = hearing
        self._tuning = tuning
        self._counters = counters
        self._best: Answer | None = None

    def take(self, job: DecodeJob, hypothesis: Hypothesis, stable: LocalAgreement, *, doubtful: bool) -> None:
        """Take an attempt's hypothesis, on the media clock; `doubtful`: words without audio were cut from it."""
        committed, before = stable.committed, self._best
        heard = () if hypothesis.rejected else hypothesis.words
        if job.attempt is Attempt.REST:
            assert before is not None, "the rest is decoded last"
            unheard = self.unheard(heard, committed, job)
            self._best = replace(before, words=[*before.words, *heard], unheard=unheard)
            return
        if hypothesis.rejected:
            tail = list(stable.tail)
            answer = Answer(tail, self.unheard(tail, committed, job), fallback=True)
        else:
            answer = Answer(stable.preview(heard), self.unheard(heard, committed, job), doubtful=doubtful)
        if before is None or self._rank(answer) < self._rank(before):
            self._best = answer

    def next_job(self, job: DecodeJob, stable: LocalAgreement, epoch: int) -> DecodeJob | None:
        """The next attempt after this one; None: the best answer is good enough, or there is no better one."""
        assert self._best is not None, "after `take`"
        best = self._best
        empty = not (stable.committed or stable.tail or best.words)
        tolerated = self._tuning.real_speech if empty else self._tuning.unheard_speech
        lacking = best.unheard >= samples(tolerated)
        if job.attempt is Attempt.WINDOW and (lacking or best.doubtful):
            self._counters.empty_retries += empty
            self._counters.unheard_retries += not empty
            request = replace(job.request, encoder_frames=_FULL_LENGTH_FRAMES)
            return replace(job, request=request, epoch=epoch, attempt=Attempt.FULL_LENGTH)
        if job.attempt is Attempt.FULL_LENGTH and lacking and not empty:
            self._counters.rests += 1
            return self._rest(job, _heard_to(best.words, stable.committed, job.start), epoch)
        self._counters.empty_segments += empty and lacking
        self.wordless += best.unheard if lacking else 0
        return None

    def finish(self) -> Sequence[Word]:
        """The words found, for good; the next window begins without any."""
        assert self._best is not None, "after `take`"
        best, self._best = self._best, None
        self._counters.fallbacks += best.fallback
        return best.words

    def unheard(self, words: Sequence[Word], committed: Sequence[Word], job: DecodeJob) -> int:
        """Samples of speech between the last word, of a hypothesis or final, and the end of a job's audio."""
        heard_to = _heard_to(words, committed, job.start)
        return self._hearing.track.voiced_samples(heard_to, job.end, self._tuning.voice_on)

    def hears_all(self, words: Sequence[Word], committed: Sequence[Word], job: DecodeJob) -> bool:
        """Whether little enough speech lies behind the last word."""
        return bool(words) and self.unheard(words, committed, job) < samples(self._tuning.unheard_speech)

    def _rest(self, job: DecodeJob, heard_to: int, epoch: int) -> DecodeJob:
        """What lies behind the last word, by itself."""
        start = min(max(job.start, self._hearing.track.quietest(heard_to)), job.end - _SHORTEST_REST)
        audio = self._hearing.audio.slice(start, job.end)
        request = replace(job.request, audio=audio, encoder_frames=encoder_frames(len(audio), self._tuning))
        return replace(job, start=start, request=request, epoch=epoch, attempt=Attempt.REST)

    def _rank(self, answer: Answer) -> tuple[bool, bool, bool, int]:
        """The lower, the better."""
        lacking = answer.unheard >= samples(self._tuning.unheard_speech)
        return lacking, answer.fallback, answer.doubtful, answer.unheard


def _heard_to(words: Sequence[Word], committed: Sequence[Word], start: int) -> int:
    """Where the last word ends, of a hypothesis or final; `start` if there is none."""
    return max(start, *(word.end for word in (*words[-1:], *committed[-1:])), 0)
