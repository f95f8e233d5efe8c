"""One stream's recognition as a pure machine: audio in, requests for hypotheses out, hypotheses in, events out.

It reads no clock and waits for nothing. Everything falls on media time: frames are taken in order, a step or a
segment's end stops the machine until its hypothesis is there, and only then the next frame is looked at. What is
committed is therefore a function of the audio and the options alone, however the audio arrived and however long the
model took, as long as `Effort` stays at its defaults. Extra interims are for the eye only: they touch nothing that a
commit depends on.

The life of a window: speech begins -> the window begins `preroll` before -> every `step`, and sooner at a pause or for
an undecided word, a hypothesis of the whole window, LocalAgreement commits -> past `window` it is trimmed at a quiet
place between committed words -> silence of `endpointing` -> one last hypothesis, whose uncommitted words are final ->
no window until speech begins. The last step's hypothesis is the last one if no voice was heard since, only silence.

Only `pause` does not come from the media. Its words travel with the report from which another worker goes on behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from workers.delivery.listener import SoundListener
from workers.stt import events
from workers.stt.cadence import Cadence
from workers.stt.closing import Closing
from workers.stt.decode_job import Counters, DecodeJob, Effort, Purpose, StreamOptions
from workers.stt.hearing import HeardFrame, Hearing
from workers.stt.hypothesis import Hypothesis
from workers.stt.jobs import JobMaker
from workers.stt.language import LanguageChoice
from workers.stt.screening import Screening
from workers.stt.segmenter import Edge
from workers.stt.stabilizer import LocalAgreement
from workers.stt.state import RecognizerState
from workers.stt.sureness import Sureness
from workers.stt.trim import trim_place
from workers.stt.tuning import FRAME, Tuning, samples
from workers.stt.vad import VoiceDetector
from workers.stt.window import Samples
from workers.stt.word_times import WordTimes
from workers.stt.words import Word

_Mark = events.Flushed | events.Paused | events.Ended


class Recognizer:
    """The recognition of one stream. Call `advance` until it returns None, and `apply` every hypothesis it asks for."""

    def __init__(
        self,
        detect_voice: VoiceDetector,
        tuning: Tuning,
        options: StreamOptions,
        state: RecognizerState | None = None,
        listener: SoundListener | None = None,
    ) -> None:
        state = state or RecognizerState()
        self._tuning = tuning
        self._options = options
        self._hearing = Hearing(detect_voice, tuning, options, state, listener)
        committed, tail = ([Word(*word) for word in words] for words in (state.committed, state.tail))
        self._stable = LocalAgreement(committed, tail, cut_off=state.cut_off)
        self._open, self._start = state.window_open, state.window_start
        self._cadence = Cadence(tuning, state.last_step)
        self._reported = state.frame * FRAME
        self._first_window = state.first_window
        self._heard_all = bool(state.heard_all_language)
        self._heard_language = state.heard_all_language
        self._languages = LanguageChoice(options.languages, state.language or options.language, state.previous_language)
        self._jobs = JobMaker(self._hearing, self._languages, tuning, options)
        self._word_times = WordTimes(tuning.voice_off, state.word_floor)
        self._marks: deque[tuple[int, _Mark]] = deque()
        self._waiting: DecodeJob | None = None
        self._retry: DecodeJob | None = None
        self._epoch = 0
        self._ending = False
        self._ended = False
        self._events: list[events.Event] = []
        self.counters = Counters()
        self._screening = Screening(tuning.voice_off, self.counters, state.skips)
        self._closing = Closing(self._hearing, tuning, self.counters, state.wordless)

    @property
    def received(self) -> int:
        """End of the audio received, samples."""
        return self._hearing.audio.end

    @property
    def position(self) -> int:
        """End of the audio heard, samples."""
        return self._hearing.position

    @property
    def committed(self) -> int:
        """Everything before this sample is covered by finals or is silence."""
        if self._ended:
            return self._hearing.audio.end
        if not self._open:
            return max(self._idle_start(), self._word_times.floor)
        done = self._stable.committed
        return max(self._start, min(done[-1].end, self.position)) if done else self._start

    @property
    def wordless(self) -> int:
        """Samples of speech in which no words were found."""
        return self._closing.wordless

    @property
    def listening(self) -> bool:
        """Whether words may be waiting for more audio: a window is open."""
        return self._open and not self._ended

    @property
    def finished(self) -> bool:
        """Whether everything up to the end is final."""
        return self._ended

    @property
    def replay_from(self) -> int:
        """The first sample that another worker needs to continue from `snapshot`."""
        start = self._start if self._open else self._idle_start()
        return max(self._hearing.audio.start, min(start, self._hearing.saved_vad()[0] * FRAME))

    @property
    def until_mark(self) -> int | None:
        """Samples from the position to the next flush, pause or end; None if there is none."""
        return max(0, self._marks[0][0] - self.position) if self._marks else None

    def append_samples(self, audio: Samples) -> None:
        """Append the next samples."""
        if self._ending:
            raise ValueError("audio after the end")
        self._hearing.audio.append(audio)

    def flush(self, flush_id: int) -> None:
        """Make everything received so far final; `Flushed` follows."""
        if self._ending:
            raise ValueError("a flush after the end")
        self._marks.append((self._hearing.audio.end, events.Flushed(flush_id)))

    def pause(self) -> None:
        """No audio comes for now: make everything received so far final, and end the segment; `Paused` follows.

        Audio that comes after all goes on from there: it is heard together with a word that the pause cut off.
        """
        if not self._ending:
            self._marks.append((self._hearing.audio.end, events.Paused()))

    def end(self) -> None:
        """No more audio; `Ended` follows the last words."""
        self._marks.append((self._hearing.audio.end, events.Ended()))
        self._ending = True

    def pop_events(self) -> list[events.Event]:
        """What happened since the last call, in order."""
        taken, self._events = self._events, []
        return taken

    def advance(self, effort: Effort) -> DecodeJob | None:
        """Work on the audio received so far until a hypothesis is needed or the audio is used up (None).

        An `INTERIM` job does not stop the machine; any other must be answered by `apply` before the next call.
        """
        if self._waiting is not None:
            raise ValueError("the last hypothesis is still missing")
        if self._retry is not None:
            retry, self._retry = self._retry, None
            return self._wait_for(retry)
        while True:
            mark = self._marks[0] if self._marks else None
            if mark is not None and self._hearing.audio.end >= mark[0] and (self._hearing.frame + 1) * FRAME > mark[0]:
                job = self._reach_mark(*mark, effort)
                if job is not None:
                    return self._wait_for(job)
                if self._ended:
                    return None
                continue
            frame = self._hearing.next_frame()
            if frame is None:
                return None
            job = self._on_frame(frame, effort)
            if job is not None:
                return job if job.purpose is Purpose.INTERIM else self._wait_for(job)

    def withdraw(self, job: DecodeJob) -> None:
        """Go on without the hypothesis of a step: one with more audio follows."""
        if job is not self._waiting or job.closing:
            raise ValueError("only a step that is waited for can be withdrawn")
        self._waiting = None

    def apply(self, job: DecodeJob, hypothesis: Hypothesis) -> None:
        """Apply the hypothesis of a job; a late interim is ignored."""
        if job.purpose is Purpose.INTERIM:
            self._apply_interim(job, hypothesis)
            return
        if job is not self._waiting:
            raise ValueError("this hypothesis was not asked for")
        self._waiting = None
        self._epoch += 1
        hypothesis, cut = self._screening.screen(job, hypothesis, self._stable, self._hearing.track)
        if not hypothesis.rejected:
            self._languages.heard(hypothesis.language, self._hearing.segmenter.spoken)
        whole = job.ends_in_silence and hypothesis.language and not hypothesis.rejected and not cut
        self._heard_all = bool(whole) and self._closing.hears_all(hypothesis.words, self._stable.committed, job)
        self._heard_language = hypothesis.language
        if job.closing:
            self._close(job, hypothesis, doubtful=cut > 0)
        elif not hypothesis.rejected:
            self._step(job, hypothesis)

    def snapshot(self) -> RecognizerState:
        """What another worker needs in addition to the audio from `replay_from` on."""
        return RecognizerState(
            **self._hearing.saved(),
            replay_from=self.replay_from,
            committed=[(word.text, word.start, word.end, word.probability) for word in self._stable.committed],
            tail=[(word.text, word.start, word.end, word.probability) for word in self._stable.tail],
            wordless=self._closing.wordless,
            cut_off=self._stable.cut_off,
            window_open=self._open,
            window_start=self._start,
            last_step=self._cadence.last_step,
            first_window=self._first_window,
            language=self._languages.current,
            previous_language=self._languages.previous,
            word_floor=self._word_times.floor,
            skips=self._screening.skips,
            heard_all_language=self._heard_language if self._heard_all else "",
        )

    # --- frames

    def _on_frame(self, frame: HeardFrame, effort: Effort) -> DecodeJob | None:
        begin, end, edge = frame.begin, frame.end, frame.edge
        if frame.voice >= self._tuning.voice_off:
            self._heard_all = False
        if edge is Edge.SPEECH_STARTED:
            self._events.append(events.SpeechStarted(begin))
            start = max(self._start, begin - samples(self._tuning.preroll), self._hearing.audio.start)
            self._open_window(start)
        elif edge is Edge.SPEECH_ENDED:
            self._events.append(events.SpeechEnded(self._hearing.voiced_at))
            return self._closing_job(Purpose.SEGMENT_END, end, effort)
        if not self._open:
            self._rest()
            return None
        return self._job_in_speech(end, effort)

    def _rest(self) -> None:
        """Silence: forget what no later window can need, and report progress from time to time."""
        self._hearing.forget_before(self._idle_start())
        if self._hearing.frame * FRAME - self._reported >= samples(self._tuning.silence_progress):
            self._report()

    def _idle_start(self) -> int:
        """Where a window would begin if speech began with the next frame."""
        return max(self._start, self.position - samples(self._tuning.preroll), 0)

    def _report(self) -> None:
        self._reported = self._hearing.frame * FRAME
        self._events.append(events.Committed(self.committed, self.snapshot()))

    # --- jobs

    def _job_in_speech(self, end: int, effort: Effort) -> DecodeJob | None:
        tuning = self._tuning
        if end - self._start > samples(tuning.window_limit):
            length = end - self._start
            cut = self._hearing.track.pause_in(self._start + int(0.4 * length), end - samples(0.3))
            self.counters.cuts += 1
            return self._closing_job(Purpose.CUT, cut, effort)
        welcome = effort.extra_interims and self._options.interims and not self._heard_all
        silence, waiting = self._hearing.silence, self._stable.waiting
        purpose = self._cadence.due(self._start, end, effort, interims=welcome, silence=silence, waiting=waiting)
        self.counters.steps += purpose is Purpose.STEP
        self.counters.interims += purpose is Purpose.INTERIM
        return self._job(purpose, end, effort) if purpose is not None else None

    def _closing_job(self, purpose: Purpose, end: int, effort: Effort) -> DecodeJob | None:
        """The last job of the window; a window in which nobody spoke, or all was heard, closes without one."""
        if self._hearing.segmenter.spoken == 0 and not self._stable.tail:
            self._leave_window(purpose, end)
            return None
        if self._heard_all and purpose is not Purpose.CUT:
            self.counters.closed_by_step += 1
            self._finalise(self._stable.tail, self._heard_language, end)
            self._leave_window(purpose, end, self._stable.tail)
            return None
        self.counters.closings += 1
        return self._job(purpose, end, effort)

    def _job(self, purpose: Purpose, end: int, effort: Effort) -> DecodeJob:
        return self._jobs.job(purpose, (self._start, end), effort, self._epoch, first_window=self._first_window)

    def _wait_for(self, job: DecodeJob) -> DecodeJob:
        self._waiting = job
        return job

    def _reach_mark(self, position: int, event: _Mark, effort: Effort) -> DecodeJob | None:
        """All frames before a mark are heard: close the window there, then report it."""
        hearing = self._hearing
        last = not isinstance(event, events.Flushed)
        if self._open and self._start < position and (last or hearing.segmenter.spoken):
            if last and hearing.segmenter.speaking:
                hearing.segmenter.speaking = False
                self._events.append(events.SpeechEnded(hearing.voiced_at))
            job = self._closing_job(Purpose.SEGMENT_END if last else Purpose.FLUSH, position, effort)
            if job is not None:
                return job
        self._marks.popleft()
        self._ended = isinstance(event, events.Ended)
        self._report()
        self._events.append(event)
        return None

    # --- hypotheses

    def _apply_interim(self, job: DecodeJob, hypothesis: Hypothesis) -> None:
        if job.epoch != self._epoch or not self._open or hypothesis.rejected:
            return
        self._show(self._stable.preview(hypothesis.words), job.end, hypothesis)

    def _show(self, words: Sequence[Word], end: int, hypothesis: Hypothesis) -> None:
        if self._options.interims:
            self._cadence.shown(words=bool(words))
            start = self._stable.committed[-1].end if self._stable.committed else self._start
            self._events.append(
                events.Interim(
                    tuple(words), max(start, self._word_times.floor), end, hypothesis.score, hypothesis.language
                )
            )

    def _step(self, job: DecodeJob, hypothesis: Hypothesis) -> None:
        sureness = Sureness(self._tuning, job, known_language=self._languages.current is not None)
        fresh = self._stable.agree(hypothesis.words, sureness.is_sure)
        self._finalise(fresh, hypothesis.language, job.end)
        self._trim(job.end, hypothesis.words)
        if fresh:
            self._report()
        self._show(self._stable.tail, job.end, hypothesis)

    def _trim(self, end: int, words: Sequence[Word]) -> None:
        """Shorten a long window at a quiet place between committed words; `words` is its newest hypothesis."""
        trim = trim_place(self._stable.committed, words, self._hearing.track, (self._start, end), self._tuning)
        if trim is None:
            return
        count, cut = trim
        self._stable.trim(count)
        self.counters.trims += 1
        self._begin_at(cut)
        self._hearing.segmenter.spoken = self._hearing.voiced_since(self._start)

    def _close(self, job: DecodeJob, hypothesis: Hypothesis, *, doubtful: bool) -> None:
        self._closing.take(job, hypothesis, self._stable, doubtful=doubtful)
        self._retry = self._closing.next_job(job, self._stable, self._epoch)
        if self._retry is not None:
            return
        words = self._closing.finish()
        self._finalise(words, hypothesis.language, job.end)
        self._leave_window(job.purpose, job.end, words)
        if not words:
            self._show((), job.end, hypothesis)

    def _finalise(self, words: Sequence[Word], language: str, end: int) -> None:
        if words:
            placed = self._word_times.settle(words, self._hearing.track, end)
            self._events.append(events.Final(placed, language))

    def _leave_window(self, purpose: Purpose, end: int, words: Sequence[Word] = ()) -> None:
        """Begin the next window behind this one, whose last words were `words`.

        A word that a pause cut off is kept as a final one: audio that comes after all is heard together with it.
        """
        cut_off = self._hearing.segmenter.silence < samples(self._tuning.cut_off)
        said = [*self._stable.committed, *words]
        last = said[-1:] if purpose is Purpose.SEGMENT_END and cut_off else []
        self._stable = LocalAgreement(last, cut_off=True)
        self._begin_at(min([end, *(max(word.start, self._start) for word in last)]))
        self._cadence.restart(end)
        self._heard_all = False
        self._epoch += 1
        if purpose is Purpose.SEGMENT_END:
            self._open = False
            self._hearing.segmenter.spoken = 0
            self._languages.end_segment(self._heard_language if said else None)
        else:
            self._hearing.segmenter.spoken = self._hearing.voiced_since(end)
        self._report()

    def _open_window(self, start: int) -> None:
        self._open = True
        self._begin_at(start, first=self._first_window)
        self._cadence.restart(start, visible=False)
        self._stable = LocalAgreement([word for word in self._stable.committed if word.end > start], cut_off=True)

    def _begin_at(self, start: int, *, first: bool = False) -> None:
        self._start = start
        self._first_window = first
        self._hearing.forget_before(start)
