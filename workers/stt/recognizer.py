"""One stream's recognition as a pure machine: audio in, requests for hypotheses out, hypotheses in, events out.

It reads no clock and waits for nothing. Everything falls on media time: frames are taken in order, a step or a
segment's end stops the machine until its hypothesis is there, and only then the next frame is looked at. What is
committed is therefore a function of the audio and the options alone, however the audio arrived and however long the
model took, as long as `Effort` stays at its defaults. Extra interims are for the eye only: they touch nothing that a
commit depends on.

The life of a window: speech begins -> the window begins `preroll` before -> every `step` a hypothesis of the whole
window, LocalAgreement commits -> past `window` it is trimmed at a quiet place between committed words -> silence of
`endpointing` -> one last hypothesis, whose uncommitted words are final -> no window until speech begins again. The
last step's hypothesis is the last one if it fell into the silence and no voice was heard since.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from workers.stt import events
from workers.stt.decode_job import Ask, Counters, Effort, Purpose, StreamOptions
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.noise import NoiseMeter
from workers.stt.segmenter import Edge, Segmenter
from workers.stt.stabilizer import LocalAgreement
from workers.stt.state import RecognizerState
from workers.stt.trim import boundaries, choose_trim
from workers.stt.tuning import FRAME, Tuning, samples
from workers.stt.vad import VadState, VoiceDetector
from workers.stt.window import AudioBuffer, Samples, VoiceTrack, encoder_frames
from workers.stt.words import Word

_VAD_SLICE = 8 * FRAME
_FULL_LENGTH_FRAMES = 3000
_SKIPS_DOUBTED = 2
"""Hypotheses in a row that may be put aside for leaving out much of the last one, which may itself be wrong."""


class Recognizer:
    """The recognition of one stream. `advance` until it returns None, `apply` every hypothesis it asked for."""

    def __init__(
        self, detect_voice: VoiceDetector, tuning: Tuning, options: StreamOptions, state: RecognizerState | None = None
    ) -> None:
        state = state or RecognizerState()
        self._detect_voice = detect_voice
        self._tuning = tuning
        self._options = options
        self._frame = state.frame
        self._audio = AudioBuffer(state.replay_from)
        self._track = VoiceTrack(state.track_first, state.track)
        self._vad_saved = deque([(state.vad_frame, VadState.unpack(state.vad) if state.vad else VadState.fresh())])
        self._vad_frame = state.vad_frame
        self._voices: deque[float] = deque()
        self._segmenter = Segmenter(
            tuning.voice_on,
            tuning.voice_off,
            options.endpointing or samples(tuning.endpointing),
            state.speaking,
            state.silence,
            state.spoken,
        )
        self._noise = NoiseMeter(tuning.voice_on, tuning.voice_off, *state.noise)
        self._stable = LocalAgreement([Word(*word) for word in state.committed], [Word(*word) for word in state.tail])
        self._open = state.window_open
        self._start = state.window_start
        self._last_step = state.last_step
        self._last_shown = state.last_step
        self._visible = False
        self._reported = state.frame * FRAME
        self._heard_at = state.heard_at
        self._first_window = state.first_window
        self._skips = state.skips
        self._settled = state.settled
        self._language = state.language or options.language
        self._word_floor = state.word_floor
        self._marks: deque[tuple[int, events.Flushed | events.Ended]] = deque()
        self._waiting: Ask | None = None
        self._retry: Ask | None = None
        self._epoch = 0
        self._ending = False
        self._ended = False
        self._events: list[events.Event] = []
        self.counters = Counters()

    @property
    def received(self) -> int:
        """End of the audio fed, samples."""
        return self._audio.end

    @property
    def position(self) -> int:
        """End of the audio worked on, samples."""
        return min(self._frame * FRAME, self._audio.end)

    @property
    def language(self) -> str | None:
        """The language in force, None while it is open."""
        return self._language

    @property
    def committed(self) -> int:
        """Everything before this sample is covered by finals or is silence."""
        if self._ended:
            return self._audio.end
        if not self._open:
            return self._idle_start()
        done = self._stable.committed
        return max(self._start, min(done[-1].end, self.position)) if done else self._start

    @property
    def finished(self) -> bool:
        """Whether everything up to the end is final."""
        return self._ended

    @property
    def replay_from(self) -> int:
        """The first sample that another worker needs to go on from `snapshot`."""
        start = self._start if self._open else self._idle_start()
        return max(self._audio.start, min(start, self._saved_vad()[0] * FRAME))

    def append_samples(self, audio: Samples) -> None:
        """Take the next samples."""
        if self._ending:
            raise ValueError("audio after the end")
        self._audio.append(audio)

    def flush(self, flush_id: int) -> None:
        """Everything fed so far is to be final; `Flushed` follows."""
        if self._ending:
            raise ValueError("a flush after the end")
        self._marks.append((self._audio.end, events.Flushed(flush_id)))

    def end(self) -> None:
        """No more audio; `Ended` follows the last words."""
        self._marks.append((self._audio.end, events.Ended()))
        self._ending = True

    def take_events(self) -> list[events.Event]:
        """What happened since the last call, in order."""
        taken, self._events = self._events, []
        return taken

    def advance(self, effort: Effort) -> Ask | None:
        """Work on the audio fed so far until a hypothesis is needed or the audio is used up (None).

        An `INTERIM` ask does not stop the machine; any other must be answered by `apply` before the next call.
        """
        if self._waiting is not None:
            raise ValueError("the last hypothesis is still missing")
        if self._retry is not None:
            retry, self._retry = self._retry, None
            return self._wait_for(retry)
        while True:
            mark = self._marks[0] if self._marks else None
            if mark is not None and self._audio.end >= mark[0] and (self._frame + 1) * FRAME > mark[0]:
                ask = self._reach_mark(*mark, effort)
                if ask is not None:
                    return self._wait_for(ask)
                if self._ended:
                    return None
                continue
            if not self._voices and not self._hear():
                return None
            ask = self._take_frame(self._voices.popleft(), effort)
            if ask is not None:
                return ask if ask.purpose is Purpose.INTERIM else self._wait_for(ask)

    def apply(self, ask: Ask, hypothesis: Hypothesis) -> None:
        """Take the answer to an ask; a late interim is ignored."""
        if ask.purpose is Purpose.INTERIM:
            self._apply_interim(ask, hypothesis)
            return
        if ask is not self._waiting:
            raise ValueError("this hypothesis was not asked for")
        self._waiting = None
        self._epoch += 1
        if not hypothesis.rejected:
            placed = tuple(word.moved(ask.start) for word in hypothesis.words)
            doubted = self._skips < _SKIPS_DOUBTED and self._stable.skips(placed)
            self._skips = self._skips + 1 if doubted else 0
            hypothesis = replace(hypothesis, words=placed, rejected=doubted)
        if hypothesis.rejected:
            self.counters.rejected += 1
        if self._language is None and not hypothesis.rejected:
            self._consider_language(hypothesis.language)
        heard_all = ask.settled and hypothesis.words and not hypothesis.rejected
        self._settled = hypothesis.language if heard_all else ""
        if ask.closing:
            self._close(ask, hypothesis)
        elif not hypothesis.rejected:
            self._step(ask, hypothesis)

    def snapshot(self) -> RecognizerState:
        """What another worker needs beside the audio from `replay_from` on."""
        vad_frame, vad = self._saved_vad()
        return RecognizerState(
            frame=self._frame,
            replay_from=self.replay_from,
            track_first=self._track.first,
            track=self._track.levels(),
            vad_frame=vad_frame,
            vad=vad.pack(),
            speaking=self._segmenter.speaking,
            silence=self._segmenter.silence,
            spoken=self._segmenter.spoken,
            committed=[(word.text, word.start, word.end, word.probability) for word in self._stable.committed],
            tail=[(word.text, word.start, word.end, word.probability) for word in self._stable.tail],
            window_open=self._open,
            window_start=self._start,
            last_step=self._last_step,
            heard_at=self._heard_at,
            first_window=self._first_window,
            language=self._language,
            word_floor=self._word_floor,
            skips=self._skips,
            settled=self._settled,
            noise=(self._noise.voiced, self._noise.voiced_frames, self._noise.quiet, self._noise.quiet_frames),
        )

    # --- hearing

    def _hear(self) -> bool:
        """Get voice probabilities of the next frames fed; False: not a whole frame is there."""
        while not self._voices:
            start = self._vad_frame * FRAME
            count = min(_VAD_SLICE, self._audio.end - start) // FRAME
            if count <= 0:
                return False
            _, memory = self._vad_saved[-1]
            voices, memory = self._detect_voice(self._audio.slice(start, start + count * FRAME), memory)
            seen = max(0, self._frame - self._vad_frame)
            self._voices.extend(float(voice) for voice in voices[seen:])
            self._vad_frame += count
            self._vad_saved.append((self._vad_frame, memory))
            self._saved_vad()
        return True

    def _saved_vad(self) -> tuple[int, VadState]:
        """The newest voice detector memory that is not ahead of the frames taken; older ones are forgotten."""
        while len(self._vad_saved) > 1 and self._vad_saved[1][0] <= self._frame:
            self._vad_saved.popleft()
        return self._vad_saved[0]

    def _take_frame(self, voice: float, effort: Effort) -> Ask | None:
        begin = self._frame * FRAME
        self._frame += 1
        end = begin + FRAME
        self._track.append(voice)
        self._noise.push(self._audio.slice(begin, end), voice)
        self._segmenter.endpointing = self._endpointing()
        edge = self._segmenter.push(voice)
        if voice >= self._tuning.voice_on:
            self._heard_at = end
        if voice >= self._tuning.voice_off:
            self._settled = ""
        if edge is Edge.SPEECH_STARTED:
            self._events.append(events.SpeechStarted(begin))
            start = max(self._start, begin - samples(self._tuning.preroll), self._audio.start)
            self._open_window(start)
        elif edge is Edge.SPEECH_ENDED:
            self._events.append(events.SpeechEnded(self._heard_at))
            return self._ask_close(Purpose.SEGMENT_END, end, effort)
        if not self._open:
            self._rest()
            return None
        return self._ask_in_speech(end, effort)

    def _endpointing(self) -> int:
        """Silence that ends a segment, samples: as asked for, else by how noisy the place is."""
        if self._options.endpointing is not None:
            return self._options.endpointing
        return samples(self._tuning.noisy_endpointing if self._noisy() else self._tuning.endpointing)

    def _noisy(self) -> bool:
        """Whether speech hardly stands above its background: the voice detector misses words there."""
        above = self._noise.above()
        return above is not None and above < self._tuning.noisy_below

    def _rest(self) -> None:
        """Silence: forget what no later window can need, and say from time to time that it is done with."""
        self._forget_before(self._idle_start())
        position = self._frame * FRAME
        if position - self._reported >= samples(self._tuning.silence_progress):
            self._report()

    def _idle_start(self) -> int:
        """Where a window would begin if speech began with the next frame."""
        return max(self._start, min(self._audio.end, self._frame * FRAME) - samples(self._tuning.preroll), 0)

    def _forget_before(self, position: int) -> None:
        kept = min(position, self._saved_vad()[0] * FRAME)
        self._audio.drop_before(kept)
        self._track.drop_before(position // FRAME - _VAD_SLICE // FRAME)

    def _report(self) -> None:
        self._reported = self._frame * FRAME
        self._events.append(events.Committed(self.committed, self.snapshot()))

    # --- asking

    def _ask_in_speech(self, end: int, effort: Effort) -> Ask | None:
        tuning = self._tuning
        if end - self._start > samples(tuning.window_limit):
            length = end - self._start
            cut = self._track.pause_in(self._start + int(0.4 * length), end - samples(0.3))
            self.counters.cuts += 1
            return self._ask_close(Purpose.CUT, cut, effort)
        since_step = end - max(self._last_step, self._start)
        if since_step >= samples(effort.step):
            self._last_step = self._last_shown = end
            self.counters.steps += 1
            return self._ask(Purpose.STEP, end, effort)
        welcome = effort.extra_interims and self._options.interims and not self._settled
        if welcome and self._interim_due(end, samples(effort.step) - since_step):
            self._last_shown = end
            self.counters.interims += 1
            return self._ask(Purpose.INTERIM, end, effort)
        return None

    def _interim_due(self, end: int, until_step: int) -> bool:
        if until_step < samples(0.2):
            return False
        if self._last_shown <= self._start:
            return end - self._start >= samples(self._tuning.interim_first)
        every = self._tuning.interim_every if self._visible else self._tuning.interim_retry
        return end - self._last_shown >= samples(every)

    def _ask_close(self, purpose: Purpose, end: int, effort: Effort) -> Ask | None:
        """Ask for the last hypothesis of the window; one in which nobody spoke, or all was heard, closes without."""
        if self._segmenter.spoken == 0 and not self._stable.tail:
            self._leave_window(purpose, end)
            return None
        if self._settled and purpose is not Purpose.CUT:
            self.counters.settled += 1
            self._finalise(self._stable.finish(None), self._settled, end)
            self._leave_window(purpose, end)
            return None
        self.counters.closings += 1
        return self._ask(purpose, end, effort)

    def _ask(self, purpose: Purpose, end: int, effort: Effort) -> Ask:
        options = self._options
        request = DecodeRequest(
            audio=self._audio.slice(self._start, end),
            encoder_frames=encoder_frames(end - self._start, self._tuning),
            beam=effort.beam,
            language=self._language,
            prompt=options.hotwords + (options.initial_prompt if self._first_window else ()),
            align=purpose is not Purpose.INTERIM,
        )
        quiet = self._segmenter.silence >= samples(self._tuning.settled) and not self._noisy()
        settled = purpose is Purpose.STEP and quiet
        return Ask(purpose, self._start, end, request, self._epoch, settled=settled)

    def _wait_for(self, ask: Ask) -> Ask:
        self._waiting = ask
        return ask

    def _reach_mark(self, position: int, event: events.Flushed | events.Ended, effort: Effort) -> Ask | None:
        """All frames before a mark are taken: close the window there, then say so."""
        ending = isinstance(event, events.Ended)
        if self._open and self._start < position and (ending or self._segmenter.spoken):
            if ending and self._segmenter.speaking:
                self._segmenter.speaking = False
                self._events.append(events.SpeechEnded(self._heard_at))
            ask = self._ask_close(Purpose.SEGMENT_END if ending else Purpose.FLUSH, position, effort)
            if ask is not None:
                return ask
        self._marks.popleft()
        self._ended = ending
        self._report()
        self._events.append(event)
        return None

    # --- taking answers

    def _apply_interim(self, ask: Ask, hypothesis: Hypothesis) -> None:
        if ask.epoch != self._epoch or not self._open or hypothesis.rejected:
            return
        words = self._stable.preview(hypothesis.words)
        self._show(words, ask.end, hypothesis)

    def _show(self, words: Sequence[Word], end: int, hypothesis: Hypothesis) -> None:
        if self._options.interims:
            self._visible = self._visible or bool(words)
            start = self._stable.committed[-1].end if self._stable.committed else self._start
            self._events.append(
                events.Interim(tuple(words), max(start, self._word_floor), end, hypothesis.score, hypothesis.language)
            )

    def _step(self, ask: Ask, hypothesis: Hypothesis) -> None:
        tuning = self._tuning
        sure = tuning.sure if self._language is not None else math.inf  # in a language guessed wrong it is sure, too
        fresh = self._stable.agree(hypothesis.words, sure=sure, sure_until=ask.end - samples(tuning.sure_age))
        self._finalise(fresh, hypothesis.language, ask.end)
        self._trim(ask.end, hypothesis.words)
        if fresh:
            self._report()
        self._show(self._stable.tail, ask.end, hypothesis)

    def _trim(self, end: int, words: Sequence[Word]) -> None:
        """Shorten a long window at a quiet place between committed words; `words` is its newest hypothesis."""
        length = end - self._start
        if length <= samples(self._tuning.window):
            return
        late = length > samples(self._tuning.window + self._tuning.window_slack)
        places = boundaries(self._stable.committed, words)
        trim = choose_trim(places, self._track, self._start, None if late else self._tuning.quiet)
        if trim is None:
            return
        count, cut = trim
        self._stable.trim(count)
        self.counters.trims += 1
        self._begin_at(min(cut, end))
        self._segmenter.spoken = self._voiced_since(self._start)

    def _close(self, ask: Ask, hypothesis: Hypothesis) -> None:
        known = self._stable.committed or self._stable.tail
        nothing = not known and (hypothesis.rejected or not hypothesis.words)
        if nothing and self._segmenter.spoken >= samples(self._tuning.real_speech):
            if not ask.retry:
                self.counters.empty_retries += 1
                request = replace(ask.request, encoder_frames=_FULL_LENGTH_FRAMES)
                self._retry = replace(ask, request=request, epoch=self._epoch, retry=True)
                return
            self.counters.empty_segments += 1
        if hypothesis.rejected:
            self.counters.fallbacks += 1
            fresh = self._stable.finish(None)
        else:
            fresh = self._stable.finish(hypothesis.words)
        self._finalise(fresh, hypothesis.language, ask.end)
        self._leave_window(ask.purpose, ask.end)
        if not fresh:
            self._show((), ask.end, hypothesis)

    def _finalise(self, words: Sequence[Word], language: str, end: int) -> None:
        """Say that words are final, their times put in order after all earlier ones and inside the audio heard.

        An alignment gives a pause to one of the words beside it; the voice track takes it away again.
        """
        placed = []
        for word in words:
            heard_from, heard_to = self._track.voiced(word.start, word.end, self._tuning.voice_off)
            start = min(max(heard_from, self._word_floor), end)
            self._word_floor = max(start, min(heard_to, end))
            placed.append(replace(word, start=start, end=self._word_floor))
        if placed:
            self._events.append(events.Final(tuple(placed), language))

    def _leave_window(self, purpose: Purpose, end: int) -> None:
        self._stable = LocalAgreement()
        self._begin_at(end)
        self._last_step = self._last_shown = end
        self._settled = ""
        self._epoch += 1
        if purpose is Purpose.SEGMENT_END:
            self._open = False
            self._segmenter.spoken = 0
        else:
            self._segmenter.spoken = self._voiced_since(end)
        self._report()

    def _open_window(self, start: int) -> None:
        self._open = True
        self._visible = False
        self._begin_at(start, first=self._first_window)
        self._last_step = self._last_shown = start
        self._stable = LocalAgreement()

    def _begin_at(self, start: int, *, first: bool = False) -> None:
        self._start = start
        self._first_window = first
        self._forget_before(start)

    def _voiced_since(self, position: int) -> int:
        """Samples of frames with speech from a position on."""
        voices = self._track.between(-(-position // FRAME), self._frame)
        return int((voices >= self._tuning.voice_on).sum()) * FRAME

    def _consider_language(self, language: str) -> None:
        if self._segmenter.spoken >= samples(self._tuning.language_speech):
            self._language = language
