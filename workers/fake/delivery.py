"""The fake engine's delivery: frames, windows, an event and a summary made of the words alone. Pure.

A frame is a second, a window ten. Both count the words that begin in them, and come when everything before their end
is committed; each word has four syllables. In every second window someone speaks fast. The pitch of a frame is 100 Hz
and as many more as the checksum of its words says, so that a lost or doubled word shows.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Final

import msgspec
from talkup.v1 import analysis_pb2

FRAME_MS: Final = 1_000
WINDOW_MS: Final = 10_000
_SYLLABLES: Final = 4
_PITCHES: Final = 100
_KEPT_WORDS: Final = 5
_BUCKETS: Final = ((250, 500), (500, 1_000), (1_000, 2_000), (2_000, None))

_Count = Annotated[int, msgspec.Meta(ge=0)]


class Said(msgspec.Struct, frozen=True, array_like=True):
    """A word and when it begins."""

    text: str
    start_ms: _Count


class DeliveryState(msgspec.Struct, array_like=True):
    """What is carried over. `waiting`: words that no frame counted yet; `given`: messages so far.

    `windows`: the words of each window so far, the last one under way; `kept`: the first words of that one. `busiest`:
    the number of the window with the most words, and its first words.
    """

    origin_unix_ms: int | None = None
    given: _Count = 0
    frames: _Count = 0
    waiting: list[Said] = []
    windows: list[_Count] = msgspec.field(default_factory=lambda: [0])
    kept: list[str] = []
    busiest: tuple[_Count, str] = (0, "")


class FakeDelivery:
    """One stream's delivery. Words come before the `advance` that covers them."""

    def __init__(self, state: DeliveryState | None = None, *, with_words: bool = True) -> None:
        """`with_words`: whether speech runs as well; without it, measures that need words are absent."""
        self.state = state or DeliveryState()
        self._with_words = with_words

    def add(self, words: Iterable[tuple[str, int]]) -> None:
        """Final words and when each begins, milliseconds."""
        self.state.waiting += [Said(*word) for word in words]

    def advance(self, covered_ms: int) -> list[analysis_pb2.Analysis]:
        """The messages of the seconds that end at `covered_ms` or before and were not given yet."""
        return list(self._until(covered_ms))

    def finish(self, media_ms: int) -> analysis_pb2.Analysis:
        """The last message of a stream that ends: the summary. A second that is not whole has no frame."""
        state = self.state
        begun = media_ms - WINDOW_MS * (len(state.windows) - 1)
        if begun > 0:
            state.windows[-1] += len(state.waiting)
            state.kept += [said.text for said in state.waiting][: _KEPT_WORDS - len(state.kept)]
            self._note_busiest()
        ended = self._analysis(media_ms, analysis_pb2.Delivery(summary=self._summary(media_ms)))
        if begun > 0 and self._is_fast(len(state.windows) - 1):
            ended.events.append(_fast(len(state.windows) - 1, media_ms))
        return ended

    def _until(self, covered_ms: int) -> Iterator[analysis_pb2.Analysis]:
        state = self.state
        while FRAME_MS * (state.frames + 1) <= covered_ms:
            t0 = FRAME_MS * state.frames
            t1 = t0 + FRAME_MS
            words = [said.text for said in state.waiting if said.start_ms < t1]
            state.waiting = [said for said in state.waiting if said.start_ms >= t1]
            state.frames += 1
            state.windows[-1] += len(words)
            state.kept += words[: _KEPT_WORDS - len(state.kept)]
            message = self._analysis(t1, analysis_pb2.Delivery(frame=self._frame(t0, t1, words)))
            number = len(state.windows) - 1
            if t0 == WINDOW_MS * number and self._is_fast(number):
                message.events.append(_fast(number, None))
            yield message
            if t1 % WINDOW_MS == 0:
                yield self._end_window(number)

    def _end_window(self, number: int) -> analysis_pb2.Analysis:
        t0, t1 = WINDOW_MS * number, WINDOW_MS * (number + 1)
        window = self._window(t0, t1, self.state.windows[number])
        message = self._analysis(t1, analysis_pb2.Delivery(window=window))
        if self._is_fast(number):
            message.events.append(_fast(number, t1))
        self._note_busiest()
        self.state.windows.append(0)
        self.state.kept = []
        return message

    def _note_busiest(self) -> None:
        state = self.state
        number, _ = state.busiest
        if not state.busiest[1] or state.windows[-1] > state.windows[number]:
            state.busiest = len(state.windows) - 1, " ".join(state.kept)

    def _is_fast(self, number: int) -> bool:
        return self._with_words and number % 2 == 1

    def _frame(self, t0: int, t1: int, words: Sequence[str]) -> analysis_pb2.DeliveryFrame:
        frame = analysis_pb2.DeliveryFrame(
            t0_ms=t0, t1_ms=t1, speech_ratio=_measure(1), loudness_lufs=_measure(-23), pause_ms=0
        )
        frame.pitch_hz.CopyFrom(_measure(100 + zlib.crc32(" ".join(words).encode()) % _PITCHES))
        if self._with_words:
            frame.words_per_minute.CopyFrom(_measure(60 * len(words)))
        return frame

    def _window(self, t0: int, t1: int, words: int) -> analysis_pb2.DeliveryWindow:
        window = analysis_pb2.DeliveryWindow(
            t0_ms=t0,
            t1_ms=t1,
            speech_ratio=_measure(1),
            pauses=0,
            longest_monologue_ms=_measure(t1 - t0),
            loudness_lufs=_measure(-23),
        )
        if self._with_words:
            rate = 60_000 * words / (t1 - t0) if t1 > t0 else 0.0
            window.words, window.syllables, window.pauses_within_sentences = words, _SYLLABLES * words, 0
            window.words_per_minute.CopyFrom(_measure(rate))
            window.syllables_per_minute.CopyFrom(_measure(_SYLLABLES * rate))
            window.articulation_rate.CopyFrom(_measure(_SYLLABLES * rate))
            window.repeated_words.CopyFrom(_measure(0))
            window.restarts.CopyFrom(_measure(0))
        return window

    def _summary(self, media_ms: int) -> analysis_pb2.DeliverySummary:
        windows = self.state.windows
        summary = analysis_pb2.DeliverySummary(whole=self._window(0, media_ms, sum(windows)))
        summary.whole.whole_session = True
        summary.pauses.extend(analysis_pb2.PauseBucket(from_ms=first, to_ms=end) for first, end in _BUCKETS)
        if not self._with_words:
            return summary
        for number, words in enumerate(windows):
            t0, t1 = WINDOW_MS * number, min(WINDOW_MS * (number + 1), media_ms)
            if words and t1 > t0:
                rate = 60_000 * words / (t1 - t0)
                summary.pace.append(analysis_pb2.PacePoint(media_time_ms=(t0 + t1) // 2, words_per_minute=rate))
        number, words_there = self.state.busiest
        if words_there:
            t0, t1 = WINDOW_MS * number, min(WINDOW_MS * (number + 1), media_ms)
            summary.moments.append(analysis_pb2.Moment(type="fastest", t0_ms=t0, t1_ms=t1, words=words_there))
        return summary

    def _analysis(self, media_ms: int, delivery: analysis_pb2.Delivery) -> analysis_pb2.Analysis:
        state = self.state
        if state.origin_unix_ms is not None:
            delivery.origin_unix_ms = state.origin_unix_ms
        message = analysis_pb2.Analysis(
            schema_version=2, frame_seq=state.given, media_time_ms=media_ms, delivery=delivery
        )
        state.given += 1
        return message


def _fast(number: int, t1_ms: int | None) -> analysis_pb2.VisionEvent:
    return analysis_pb2.VisionEvent(type="speaking_fast", t0_ms=WINDOW_MS * number, t1_ms=t1_ms, confidence=0.9)


def _measure(value: float) -> analysis_pb2.Measure:
    return analysis_pb2.Measure(value=value, confidence=1.0)
