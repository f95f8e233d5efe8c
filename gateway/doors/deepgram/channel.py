"""What one channel's stream says, in Deepgram's messages: results, ends of utterances, answers to Finalize. Pure.

The workers report the end of speech before the last words of the segment are final. So the first final after that
report is `speech_final`. If no words were left, the workers commit the silence without one, and an empty result says
so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.doors.deepgram.messages import (
    Alternative,
    Channel,
    Message,
    ModelInfo,
    Results,
    ResultsMetadata,
    SpeechStarted,
    UtteranceEnd,
    word_of,
)
from gateway.protocol.messages import SpeechEventData, TranscriptData

# For workers that commit nothing: the same after this time.
_LAST_WORDS_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What the results of a channel say about themselves, and which events the client wants.

    `utterance_end_ms` and `endpointing_ms` both count from the last sound: workers report it after `endpointing_ms`.
    """

    request_id: str
    model_uuid: str
    model_info: ModelInfo
    channels: int
    vad_events: bool = False
    utterance_end_ms: int | None = None
    endpointing_ms: int = 0


class ChannelResults:
    """One channel. Every `now` is UNIX seconds."""

    def __init__(self, index: int, terms: Terms) -> None:
        self._place = [index, terms.channels]
        self._terms = terms
        # While Finalize is unanswered, the latest final waits: it may be the one that answers.
        self._is_finalizing = False
        self._held: Results | None = None
        self._end_ms = 0
        self._last_word_end: float | None = None
        self._speech_final_at: float | None = None
        self._committed = -1
        self._utterance_end_at: float | None = None

    def deadline(self) -> float | None:
        """When `tick` is due; None: never."""
        first, second = self._speech_final_at, self._utterance_end_at
        if first is None or second is None:
            return second if first is None else first
        return min(first, second)

    def tick(self, now: float) -> Iterator[Message]:
        """Do what is due."""
        if self._speech_final_at is not None and now >= self._speech_final_at:
            yield from self._close_speech()
        if self._utterance_end_at is not None and now >= self._utterance_end_at and self._speech_final_at is None:
            self._utterance_end_at = None
            if self._last_word_end is not None:
                yield UtteranceEnd(self._place, self._last_word_end)
                self._last_word_end = None

    def spoke(self, event: SpeechEventData, now: float) -> Iterator[Message]:
        """The voice detector heard speech begin or end."""
        if event.event == "speech_started":
            yield from self._close_speech()
            self._utterance_end_at = None
            if self._terms.vad_events:
                yield SpeechStarted(self._place, event.media_time_ms / 1000)
            return
        self._speech_final_at = now + _LAST_WORDS_S
        if self._terms.utterance_end_ms is not None:
            wait_ms = max(0, self._terms.utterance_end_ms - self._terms.endpointing_ms)
            self._utterance_end_at = now + wait_ms / 1000

    def said(self, data: TranscriptData) -> Iterator[Message]:
        """An interim or a final."""
        if not data.is_final:
            yield self._results(data, is_final=False)
            return
        yield from self._release()
        results = self._results(data, is_final=True)
        if self._speech_final_at is not None:
            self._speech_final_at = None
            results.speech_final = True
        self._end_ms = max(self._end_ms, data.end_ms)
        if results.channel.alternatives[0].transcript:
            self._last_word_end = data.end_ms / 1000
        self._held = results
        if not self._is_finalizing:
            yield from self._release()

    def committed(self, sequence: int) -> Iterator[Message]:
        """The workers no longer need the chunks up to this one; -1: none yet."""
        if sequence > self._committed:
            self._committed = sequence
            yield from self._close_speech()

    def finalize(self) -> None:
        """The client asked for final text; `finalized` follows."""
        self._is_finalizing = True

    def finalized(self, answers: int) -> Iterator[Message]:
        """Everything received is final: give `answers` Finalizes their results, the first one with the last words."""
        self._is_finalizing = False
        for _ in range(answers):
            results, self._held = self._held or self._empty(), None
            results.from_finalize = True
            yield results

    def ended(self, answers: int) -> Iterator[Message]:
        """The stream is over, and this many Finalizes are unanswered."""
        yield from self.finalized(answers)
        yield from self._close_speech()
        self._utterance_end_at = None

    def _close_speech(self) -> Iterator[Message]:
        """Say that speech has ended, unless a final has said it."""
        if self._speech_final_at is not None:
            self._speech_final_at = None
            results = self._empty()
            results.speech_final = True
            yield results

    def _release(self) -> Iterator[Message]:
        held, self._held = self._held, None
        if held is not None:
            yield held

    def _results(self, data: TranscriptData, *, is_final: bool) -> Results:
        words = [word_of(word) for word in data.words]
        return Results(
            channel_index=self._place,
            duration=max(0, data.end_ms - data.start_ms) / 1000,
            start=data.start_ms / 1000,
            is_final=is_final,
            speech_final=False,
            channel=Channel([Alternative(data.text.strip(), data.confidence, words)]),
            metadata=ResultsMetadata(self._terms.request_id, self._terms.model_info, self._terms.model_uuid),
        )

    def _empty(self) -> Results:
        at = self._end_ms
        nothing = TranscriptData(
            stream_id="",
            segment_id=0,
            revision=0,
            is_final=True,
            text="",
            stable_chars=0,
            confidence=0.0,
            language="",
            start_ms=at,
            end_ms=at,
            words=[],
        )
        return self._results(nothing, is_final=True)
