"""The recognition of a recording as a pure machine: audio in, jobs for the model out, hypotheses in, events out.

A recording is not a live stream: nobody waits for its next word, so each stretch of it is decoded once, in windows as
long as the encoder takes. Windows do not depend on each other: the text before a window is not its prompt, as it is in
offline recognition (tiny.en on 6.7 minutes of reading: 8.1 % word errors without, 11.2 with, since the decoder then
ends its text before the voice does). So several windows can be decoded at the same time, and their words come out in
order. That is once the language is known: before, and with a list of languages to expect, windows go one by one.

Every decision falls on media time. What is final is a function of the audio and the options alone, however the audio
arrived; a flush ends a window where it falls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from workers.delivery.listener import SoundListener
from workers.stt import events
from workers.stt.decode_job import Counters, StreamOptions
from workers.stt.file_attempts import RecordedWindow, WindowAttempts
from workers.stt.file_state import FileState
from workers.stt.file_windows import Piece, WindowCutter
from workers.stt.hearing import HeardFrame, Hearing
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.language import LanguageChoice
from workers.stt.segmenter import Edge
from workers.stt.state import RecognizerState
from workers.stt.tuning import FRAME, SAMPLE_RATE, Tuning, samples
from workers.stt.vad import VoiceDetector
from workers.stt.window import Samples, VoiceTrack
from workers.stt.word_times import WordTimes
from workers.stt.words import Word

_SILENCE_REPORTED = samples(5.0)
_LEAST_CUT = samples(10.0)
"""Speech of a window that `cut` may end."""
_SENTENCE_ENDS = (".", "?", "!", "。", "？", "！")


@dataclass(frozen=True, slots=True)
class Covered:
    """Media before `position` are final or silent; `state` is what another worker needs to continue from here."""

    position: int
    state: FileState


FileEvent = events.SpeechStarted | events.SpeechEnded | events.Final | events.Flushed | events.Ended | Covered


@dataclass(slots=True, eq=False)
class _Pending:
    """A window without its words. `before` and `after`: states around it; all before `covered` is done with it.

    `given`: words of it that an earlier worker made final.
    """

    window: RecordedWindow
    before: FileState
    after: FileState
    covered: int
    given: int
    attempts: WindowAttempts | None = None
    asked: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class FileJob:
    """A request for a hypothesis of a window."""

    request: DecodeRequest
    window: _Pending


_Entry = FileEvent | _Pending


class FileRecognizer:
    """One recording. `lanes` windows are decoded at the same time, and one more is collected meanwhile.

    Call `hear` for the audio, `next_job` for work, and `apply` every hypothesis; `pop_events` gives what is known.
    """

    def __init__(
        self,
        detect_voice: VoiceDetector,
        tuning: Tuning,
        options: StreamOptions,
        state: FileState | None = None,
        *,
        lanes: int = 1,
        listener: SoundListener | None = None,
    ) -> None:
        state = state or FileState()
        self._tuning = tuning
        self._options = options
        self._lanes = lanes
        self._hearing = Hearing(detect_voice, tuning, options, state.hearing, listener)
        pieces = [Piece(*piece) for piece in state.pieces]
        self._cutter = WindowCutter(tuning, pieces, state.start, state.voiced_to, state.floor)
        self._language = LanguageChoice(options.languages, state.language or options.language, state.previous_language)
        self._times = WordTimes(tuning.voice_off, state.word_floor)
        self._given = state.given
        self._before = state
        self._first = state.first
        self._reported = state.hearing.frame * FRAME
        self._marks: deque[tuple[int, events.Flushed | events.Ended | None]] = deque()
        self._queue: deque[_Entry] = deque()
        self._events: list[FileEvent] = []
        self._ending = False
        self.finished = False
        self.counters = Counters()

    # --- audio in

    @property
    def received(self) -> int:
        """End of the audio received, samples."""
        return self._hearing.audio.end

    @property
    def unheard(self) -> int:
        """Samples received that no window was cut from yet."""
        return self.received - self._hearing.position

    @property
    def deciding(self) -> bool:
        """Whether words are on their way: a window waits for a hypothesis, or ends at a mark."""
        return bool(self._marks) or bool(self._pending())

    def append_samples(self, audio: Samples) -> None:
        """Append the next samples."""
        if self._ending:
            raise ValueError("audio after the end")
        self._hearing.audio.append(audio)

    def flush(self, flush_id: int) -> None:
        """Make everything received so far final; `Flushed` follows."""
        self._marks.append((self.received, events.Flushed(flush_id)))

    def cut(self) -> bool:
        """End the window here, because its media take too much room; False: it is too short. Depends on the chunks."""
        worth_it = self._cutter.open and self.received - self._cutter.needs_from(self.received) >= _LEAST_CUT
        if worth_it:
            self._marks.append((self.received, None))
        return worth_it

    def end(self) -> None:
        """No more audio; `Ended` follows the last words."""
        self._marks.append((self.received, events.Ended()))
        self._ending = True

    def hear(self, frames: int) -> bool:
        """Hear this many frames at most; False: there is nothing to do until audio, a mark or a hypothesis comes."""
        return all(self._hear_next() for _ in range(frames))

    # --- the model

    def next_job(self) -> FileJob | None:
        """The next request, in order of the windows; None: nothing can be asked now."""
        for number, pending in enumerate(self._pending()[: self._lanes]):
            if pending.attempts is None:
                if self._language.current is None and number:
                    return None
                pending.attempts = self._attempts(pending)
            if not pending.asked and pending.attempts.request is not None:
                pending.asked = True
                self.counters.closings += 1
                return FileJob(pending.attempts.request, pending)
        return None

    def apply(self, job: FileJob, hypothesis: Hypothesis) -> None:
        """Apply the hypothesis of a job; jobs may be answered in any order."""
        pending = job.window
        if not pending.asked or pending.attempts is None:
            raise ValueError("this hypothesis was not asked for")
        pending.asked = False
        pending.attempts.apply(hypothesis)
        self._release()

    def pop_events(self) -> list[FileEvent]:
        """What happened since the last call, in order."""
        taken, self._events = self._events, []
        return taken

    # --- frames

    def _hear_next(self) -> bool:
        """Hear one frame or reach one mark; False: neither is there, or enough windows wait already."""
        if len(self._pending()) > self._lanes:
            return False
        if self._marks:
            position, event = self._marks[0]
            if (self._hearing.frame + 1) * FRAME > position:
                self._marks.popleft()
                self._reach(position, event)
                return True
        frame = self._hearing.next_frame()
        if frame is None:
            return False
        self._on_frame(frame)
        return True

    def _on_frame(self, frame: HeardFrame) -> None:
        if frame.edge is Edge.SPEECH_STARTED:
            self._put(events.SpeechStarted(frame.begin))
        pieces = self._cutter.push(frame, self._hearing.track)
        if frame.edge is Edge.SPEECH_ENDED:
            self._put(events.SpeechEnded(self._hearing.voiced_at))
            if self._options.languages and not pieces:
                pieces = self._cutter.close(frame.end)  # the next segment may have another language
        if pieces:
            self._close(pieces)
        if not self._cutter.open and frame.end - self._reported >= _SILENCE_REPORTED:
            self._report(frame.end)
        needed = self._cutter.needs_from(frame.end)
        if needed - self._hearing.audio.start >= SAMPLE_RATE:  # each time, the rest of the audio is copied
            self._hearing.forget_before(needed)

    def _reach(self, position: int, event: events.Flushed | events.Ended | None) -> None:
        """All frames before a mark are heard: close the window there, then report it."""
        segmenter = self._hearing.segmenter
        if isinstance(event, events.Ended) and segmenter.speaking:
            segmenter.speaking = False
            self._put(events.SpeechEnded(self._hearing.voiced_at))
        pieces = self._cutter.close(position)
        if pieces:
            self._close(pieces)
        self._report(position)
        if event is not None:
            self._put(event)

    def _close(self, pieces: Sequence[Piece]) -> None:
        audio = np.concatenate([self._hearing.audio.slice(*piece) for piece in pieces])
        track = VoiceTrack(self._hearing.track.first, self._hearing.track.levels())
        given, self._given, self._first = self._given, 0, False
        covered = self._cutter.needs_from(self._hearing.position)
        self._hearing.forget_before(covered)
        before, self._before = self._before, self._snapshot()
        self._put(_Pending(RecordedWindow(tuple(pieces), audio, track), before, self._before, covered, given))

    def _report(self, position: int) -> None:
        self._reported = position
        self._before = self._snapshot()
        self._put(Covered(self._cutter.needs_from(position), self._before))

    def _snapshot(self) -> FileState:
        """The state before the window that is being collected; what the model adds is filled in when it is known."""
        cutter, hearing = self._cutter, self._hearing
        needs = cutter.needs_from(hearing.position)
        replay_from = max(hearing.audio.start, min(needs, hearing.saved_vad()[0] * FRAME))
        return FileState(
            hearing=RecognizerState(**hearing.saved(), replay_from=replay_from),
            pieces=[(piece.start, piece.end) for piece in cutter.pieces],
            start=cutter.start,
            voiced_to=cutter.voiced_to,
            floor=cutter.floor,
            given=self._given,
            first=self._first,
        )

    # --- words out, in order

    def _pending(self) -> list[_Pending]:
        return [entry for entry in self._queue if isinstance(entry, _Pending)]

    def _attempts(self, pending: _Pending) -> WindowAttempts:
        options = self._options
        hints = options.hotwords + (options.initial_prompt if pending.before.first else ())
        return WindowAttempts(pending.window, self._tuning, self._language, hints, self.counters)

    def _put(self, entry: _Entry) -> None:
        self._queue.append(entry)
        self._release()

    def _release(self) -> None:
        """Give out what comes before the first window without words."""
        while self._queue:
            entry = self._queue[0]
            if isinstance(entry, _Pending):
                if entry.attempts is None or entry.asked or entry.attempts.request is not None:
                    return
                self._finalise(entry, entry.attempts)
            elif isinstance(entry, Covered):
                self._events.append(Covered(entry.position, self._known(entry.state)))
            else:
                self.finished = isinstance(entry, events.Ended)
                self._events.append(entry)
            self._queue.popleft()

    def _finalise(self, pending: _Pending, attempts: WindowAttempts) -> None:
        """The words of a window as finals, each with the state from which another worker goes on behind it."""
        window = pending.window
        given = pending.given
        end = window.pieces[-1].end
        pause = self._options.endpointing or samples(self._tuning.endpointing)
        groups = _sentences(attempts.words[given:], pause)
        for number, group in enumerate(groups, 1):
            words = self._times.settle(group, window.track, end)
            self._events.append(events.Final(words, attempts.language or "en"))
            given += len(group)
            if number < len(groups):
                state = msgspec.structs.replace(self._known(pending.before), given=given)
                self._events.append(Covered(words[-1].end, state))
        if attempts.language is not None:
            self._language.heard(attempts.language, window.voiced_after(0, self._tuning.voice_on))
        self._language.end_segment(attempts.language if attempts.words else None)
        self._events.append(Covered(pending.covered, self._known(pending.after)))

    def _known(self, state: FileState) -> FileState:
        language = self._language
        return msgspec.structs.replace(
            state, language=language.current, previous_language=language.previous, word_floor=self._times.floor
        )


def _sentences(words: Sequence[Word], pause: int) -> list[list[Word]]:
    """The words in groups that end with a sentence or at a pause of this many samples."""
    groups: list[list[Word]] = []
    for word in words:
        last = groups[-1][-1] if groups else None
        if last is None or last.text.endswith(_SENTENCE_ENDS) or word.start - last.end >= pause:
            groups.append([])
        groups[-1].append(word)
    return groups
