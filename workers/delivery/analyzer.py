"""One stream's delivery: blocks of sound and final words in, `Analysis` messages out. Synchronous, on media time only.

Everything happens at the end of a second, when it is known of each of its hops whether it is speech, and every word
that begins in it is final: first the words, then the sentences and pauses that ended, then the sums, the events and the
message. A window closes with its last second. So the messages are a function of the blocks and the words, and a worker
that goes on from `state` gives the same ones.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from talkup.v1 import analysis_pb2

from workers.delivery import events, moments, repeats
from workers.delivery.baseline import Spread, joint_spread
from workers.delivery.filled_pauses import FilledPauseFinder
from workers.delivery.listener import Block
from workers.delivery.options import FILLED_PAUSES
from workers.delivery.pace import Speaking, rates, speaking
from workers.delivery.pauses import Heard, PauseFinder, Stretch
from workers.delivery.sentence_meter import Sentence
from workers.delivery.state import DeliveryState
from workers.delivery.summary import summary
from workers.delivery.sums import Sums
from workers.delivery.windows import HOP_MS, WINDOW_MS, Wanted, frame_message, window_message
from workers.delivery.words import SpokenWord

SCHEMA_VERSION: Final = 2
"""From 2 on, counts that were not measured are absent, where they were 0."""
FRAME_MS: Final = 1_000

_HOPS_A_SECOND: Final = FRAME_MS // HOP_MS
_LEVELS: Final = 30
"""Blocks of the short-term loudness, 3 s."""
_PACE_BYTES: Final = 4
_PITCH_WINDOWS: Final = 6
_PITCH_HOPS: Final = 1_000
"""Voiced speech within the last minute, 20 s, from which it can be called monotone."""

Messages = Iterator[analysis_pb2.Analysis]
Events = list[analysis_pb2.VisionEvent]


class DeliveryAnalyzer:
    """Everything that is carried over from block to block. `state` changes with every call: encode it at once."""

    def __init__(self, wanted: Wanted, state: DeliveryState | None = None) -> None:
        self.state = state or DeliveryState()
        self._wanted = wanted
        self._pauses = PauseFinder(self.state.pauses)
        self._fillers = FilledPauseFinder(self.state.filled)
        self._events = events.EventFinder(self.state.events)
        self.state.events = self._events.memories

    def say(self, words: Sequence[SpokenWord], language: str) -> None:
        """Take final words, before the blocks that they end in."""
        base = self.state.base_ms
        if base:
            words = [SpokenWord(word.text, word.start_ms - base, word.end_ms - base) for word in words]
        self.state.waiting += words
        self.state.language = language

    def hear(self, block: Block) -> Messages:
        """Take the next block; gives the messages that it completes."""
        state = self.state
        state.block += 1
        state.filter_state = block.filter_state
        heard = self._pauses.push(block.hops.power, block.voices)
        if block.changes is not None:
            self._fillers.push(block.hops, block.changes)
        state.undecided_powers += block.hops.power.tolist()
        state.undecided_pitches += block.hops.f0.tolist()
        yield from self._decide(heard)

    def finish(self, media_ms: int) -> Messages:
        """The stream ends at `media_ms`: what is still due, then the summary with the ends of the events that last."""
        state, end_ms = self.state, media_ms - self.state.base_ms
        yield from self._decide(self._pauses.finish())
        found = self._end_second(end_ms, last=True)
        if end_ms > len(state.pace) // _PACE_BYTES * WINDOW_MS:
            self._end_window(end_ms)
        else:
            # The stream ends with a window: what was due at its end alone belongs to the whole.
            state.whole.merge(state.second)
        found += self._events.finish()
        found += state.long_pauses.finish(end_ms) if self._wanted.has("pauses") else []
        delivery = analysis_pb2.Delivery(summary=summary(state, media_ms, self._wanted), speech=self._speech(media_ms))
        yield self._message(end_ms, delivery, found)

    # --- seconds

    def _decide(self, heard: Heard) -> Messages:
        """Take the hops of which it has become known whether they are speech."""
        state, count = self.state, len(heard.speech)
        state.pauses_new += heard.pauses
        state.stretches_new += heard.stretches
        if not count:
            return
        powers = np.array(state.undecided_powers[:count])
        pitches = np.array(state.undecided_pitches[:count], np.float32)
        speech = np.array(heard.speech, np.bool_)
        del state.undecided_powers[:count], state.undecided_pitches[:count]
        state.second.hear(powers, pitches, speech)
        state.levels = [*state.levels, float(powers.mean())][-_LEVELS:]
        state.sentence.hear(heard.first_hop, powers, speech)
        if state.second.hops >= _HOPS_A_SECOND:
            yield from self._second(self._pauses.decided_ms)

    def _second(self, t1_ms: int) -> Messages:
        """A whole second has ended: its frame, and the window if it ends, too."""
        found = self._end_second(t1_ms, last=False)
        state = self.state
        recent = self._recent()
        found += self._look_at_pace(recent, t1_ms)
        level = sum(state.levels) / _LEVELS if len(state.levels) == _LEVELS else None
        t0_ms = state.base_ms + t1_ms - FRAME_MS
        pause_ms = self._pause_ms(t1_ms)
        frame = frame_message(state.second, t0_ms, recent, level, pause_ms=pause_ms, wanted=self._wanted)
        speech = self._speech(state.base_ms + self._pauses.settled_ms)
        yield self._message(t1_ms, analysis_pb2.Delivery(frame=frame, speech=speech), found)
        state.window.merge(state.second)
        state.second = Sums()
        if t1_ms % WINDOW_MS == 0:
            yield self._window(t1_ms, recent)

    def _end_second(self, t1_ms: int, *, last: bool) -> Events:
        """Words, sentences and pauses up to the end of a second; `last`: all that are left."""
        state = self.state
        # In the order of the text: a word whose time lies before that of an earlier one waits for it.
        words = list(itertools.takewhile(lambda word: last or word.start_ms < t1_ms, state.waiting))
        del state.waiting[: len(words)]
        window_ms = self._window_begin(t1_ms)
        state.recent = [word for word in state.recent if word.start_ms >= t1_ms - WINDOW_MS] + words
        state.pauses_recent = [pause for pause in state.pauses_recent if pause.t1_ms > t1_ms - WINDOW_MS]
        self._note_times(words)
        if self._wanted.has(FILLED_PAUSES):
            filled = self._fillers.decide(words, t1_ms, state.language, last=last)
            state.second.filled += len(filled)
        found: Events = []
        for sentence in state.sentence.end(words, t1_ms, last=last):
            found += self._take_sentence(sentence)
        for pause in state.pauses_new:
            found += self._take_pause(pause, window_ms)
        state.pauses_new = []
        state.moments.hear(words)
        self._speak_on(t1_ms, window_ms)
        if self._wanted.has("pauses") and not last:
            found += state.long_pauses.lasts(self._pauses.pause_from_ms, t1_ms)
        return found

    def _note_times(self, words: Sequence[SpokenWord]) -> None:
        """Between which words the stream is spoken."""
        state = self.state
        if words:
            state.silent_ms, state.silent_since_ms = state.silent_ms + state.silent_since_ms, 0
            state.paused_ms, state.paused_since_ms = state.paused_ms + state.paused_since_ms, 0
        for word in words:
            began = state.spoken_from_ms
            state.spoken_from_ms = word.start_ms if began is None else min(began, word.start_ms)
            state.spoken_to_ms = max(state.spoken_to_ms, word.end_ms)

    def _note_pause(self, pause: Stretch) -> None:
        """How much of the time between words is silent; behind the last word it counts once another one follows."""
        state = self.state
        if state.spoken_from_ms is None:
            return
        silent_ms, paused_ms = (pause.ms, 0) if pause.ms >= events.TURN_MS else (0, pause.ms)
        if pause.t0_ms + pause.t1_ms < 2 * state.spoken_to_ms:
            state.silent_ms += silent_ms
            state.paused_ms += paused_ms
        else:
            state.silent_since_ms += silent_ms
            state.paused_since_ms += paused_ms

    def _take_sentence(self, sentence: Sentence) -> Events:
        """What was said again in a sentence, and how it ends."""
        second, words = self.state.second, sentence.words
        repeated, restarts = repeats.counts(repeats.repeats(words))
        second.repeated += repeated
        second.restarts += restarts
        if sentence.ending is None or not self._wanted.has("loudness"):
            return []
        second.sentences += 1
        second.trailing += sentence.ending.trailing
        t0_ms, t1_ms = (words[0].start_ms + 2 * words[-1].end_ms) // 3, words[-1].end_ms
        last_words = [word for word in words if word.end_ms > t0_ms]
        self.state.moments.offer(moments.SOFTEST_ENDING, -sentence.ending.fall, t0_ms, t1_ms, last_words)
        return [events.event(events.TRAILING_OFF, t0_ms, t1_ms)] if sentence.ending.trailing else []

    def _take_pause(self, pause: Stretch, window_ms: int) -> Events:
        """A pause has ended; a silence of ten seconds was the end of a turn and is none."""
        state = self.state
        if pause.ms >= events.LONG_PAUSE_MS:
            begun = state.monologue.begun
            state.monologue.speak(pause.t0_ms if begun is None else begun, pause.t0_ms, window_ms)
            state.monologue.end()
        found = state.long_pauses.ended(pause.t0_ms, pause.t1_ms) if self._wanted.has("pauses") else []
        self._note_pause(pause)
        if pause.ms >= events.TURN_MS:
            return found
        before = [word for word in state.recent if word.start_ms + word.end_ms < pause.t0_ms + pause.t1_ms]
        state.second.pauses.add(pause.ms, within=bool(before) and not before[-1].ends_sentence)
        state.pauses_recent.append(pause)
        if self._wanted.has("pauses"):
            state.moments.offer(moments.LONGEST_PAUSE, pause.ms, pause.t0_ms, pause.t1_ms, before)
        return found

    def _speak_on(self, t1_ms: int, window_ms: int) -> None:
        """Let the monologue last while someone speaks."""
        speech_from, memory = self._pauses.speech_from_ms, self.state.pauses
        if speech_from is None or memory.speech_to is None:
            return
        self.state.monologue.speak(speech_from, min(memory.speech_to * HOP_MS, t1_ms), window_ms)

    def _recent(self) -> Speaking:
        """The words of the last ten seconds."""
        state = self.state
        return speaking(state.recent, state.pauses_recent, state.language)

    def _pause_ms(self, now_ms: int) -> int:
        """The length of the pause that lasts; none after the end of a turn."""
        began = self._pauses.pause_from_ms
        length = 0 if began is None else now_ms - began
        return length if length < events.TURN_MS else 0

    def _look_at_pace(self, recent: Speaking, t1_ms: int) -> Events:
        if not self._wanted.has("pace"):
            return []
        rate, own = rates(recent).articulation_rate, self.state.baseline.articulation_rate
        t0_ms = max(0, t1_ms - WINDOW_MS)
        found = self._events.look(events.SPEAKING_FAST, events.is_fast(rate, own), t0_ms, t1_ms)
        return found + self._events.look(events.SPEAKING_SLOWLY, events.is_slow(rate, own), t0_ms, t1_ms)

    # --- windows

    def _window(self, t1_ms: int, recent: Speaking) -> analysis_pb2.Analysis:
        """A whole window has ended."""
        state = self.state
        state.window.speaking = recent
        state.window.monologue_ms = state.monologue.longest_in_window_ms
        base = state.base_ms
        window = window_message(state.window, base + t1_ms - WINDOW_MS, base + t1_ms, self._wanted, state.baseline)
        self._end_window(t1_ms)
        return self._message(t1_ms, analysis_pb2.Delivery(window=window), self._look_at_pitch(t1_ms))

    def _end_window(self, t1_ms: int) -> None:
        """Add a window, or the rest of one, to the whole."""
        state, t0_ms = self.state, self._window_begin(t1_ms)
        window = state.window
        window.merge(state.second)
        state.second, state.window = Sums(), Sums()
        words = [word for word in state.recent if word.start_ms >= t0_ms]
        window.speaking = speaking(words, state.pauses_recent, state.language)
        pace = rates(window.speaking).words_per_minute
        state.pace += struct.pack("<f", np.nan if pace is None else pace)
        pitch = window.pitch.pitch()
        spread = Spread(window.pitch.hops, pitch.spread) if pitch is not None and pitch.spread is not None else None
        self._offer_moments(window, words, t0_ms, t1_ms, spread)
        state.baseline.add(window, spread)
        state.whole.merge(window)
        state.whole.monologue_ms = state.monologue.longest_ms
        if state.spoken_from_ms is not None:
            state.whole.speaking.span_ms = state.spoken_to_ms - state.spoken_from_ms - state.silent_ms
            state.whole.speaking.paused_ms = state.paused_ms
        state.monologue.longest_in_window_ms = 0
        state.spreads = [*state.spreads, spread or Spread(0, 0.0)][-_PITCH_WINDOWS:]

    def _offer_moments(
        self, window: Sums, words: Sequence[SpokenWord], t0_ms: int, t1_ms: int, spread: Spread | None
    ) -> None:
        state, rate = self.state, rates(window.speaking).words_per_minute
        if self._wanted.has("pace") and rate is not None:
            state.moments.offer(moments.FASTEST, rate, t0_ms, t1_ms, words)
            state.moments.offer(moments.SLOWEST, -rate, t0_ms, t1_ms, words)
        if self._wanted.has("pitch") and spread is not None:
            state.moments.offer(moments.LIVELIEST_PITCH, spread.semitones, t0_ms, t1_ms, words)

    def _look_at_pitch(self, t1_ms: int) -> Events:
        """Whether the pitch hardly moves in the last windows that hold enough of it, within a minute."""
        spreads = self.state.spreads
        lengths = range(1, len(spreads) + 1)
        enough = (count for count in lengths if joint_spread(spreads[-count:]).hops >= _PITCH_HOPS)
        count = next(enough, 0)
        if not count or not self._wanted.has("pitch"):
            return []
        joint = joint_spread(spreads[-count:])
        met = events.is_monotone(joint.semitones, self.state.baseline.window_spread)
        return self._events.look(events.MONOTONE, met, t1_ms - WINDOW_MS * count, t1_ms)

    def _speech(self, settled_ms: int) -> analysis_pb2.DeliverySpeech:
        """The stretches of speech since the last message; later ones begin at `settled_ms` or after it."""
        base, stretches, self.state.stretches_new = self.state.base_ms, self.state.stretches_new, []
        given = [analysis_pb2.SpeechStretch(t0_ms=base + each.t0_ms, t1_ms=base + each.t1_ms) for each in stretches]
        return analysis_pb2.DeliverySpeech(stretches=given, settled_ms=settled_ms)

    def _window_begin(self, t1_ms: int) -> int:
        """Where the window begins that `t1_ms` belongs to or ends."""
        return (max(t1_ms, 1) - 1) // WINDOW_MS * WINDOW_MS

    def _message(self, media_ms: int, delivery: analysis_pb2.Delivery, found: Events) -> analysis_pb2.Analysis:
        """The next message of the stream, at a time from `base_ms`, as the times of the events found are."""
        state = self.state
        if state.origin_unix_ms is not None:
            delivery.origin_unix_ms = state.origin_unix_ms
        for event in found:
            event.t0_ms += state.base_ms
            if event.HasField("t1_ms"):
                event.t1_ms += state.base_ms
        message = analysis_pb2.Analysis(
            schema_version=SCHEMA_VERSION,
            frame_seq=state.given,
            media_time_ms=state.base_ms + media_ms,
            events=found,
            delivery=delivery,
        )
        state.given += 1
        return message
