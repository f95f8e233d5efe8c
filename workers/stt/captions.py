"""Finals and interims as `Transcript` messages, with strictly rising segment ids and revisions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from talkup.v1 import transcript_pb2

from workers.stt import events
from workers.stt.tuning import milliseconds
from workers.stt.words import Word, join_words

_REVISIONS_PER_ATTEMPT = 1 << 16
# A gateway that takes a stream over numbers its attempts from 100,000 on; revisions have 32 bits.
_HIGHEST_START = 1 << 31


class Captions:
    """Every final closes the open segment; interims show what it may become.

    `attempt` above 1 starts the open segment's revisions higher, so that they are above those that an earlier
    worker sent after its last report. Beyond attempt 32,768 all start at the same number: gateways renumber them.
    """

    def __init__(self, *, word_timestamps: bool, segment_id: int = 1, attempt: int = 1) -> None:
        self._word_timestamps = word_timestamps
        self._segment_id = segment_id
        self._revision = min((max(1, attempt) - 1) * _REVISIONS_PER_ATTEMPT, _HIGHEST_START)
        self._shown: str | None = "" if attempt <= 1 else None

    @property
    def segment_id(self) -> int:
        """The id of the open segment: one more than the number of finals."""
        return self._segment_id

    def final(self, event: events.Final) -> transcript_pb2.Transcript:
        """The final words of the open segment."""
        text = join_words(event.words)
        message = self._message(text, event.language)
        message.is_final = True
        message.stable_chars = len(text)
        message.confidence = _mean(event.words)
        message.start_ms = milliseconds(event.words[0].start)
        message.end_ms = milliseconds(event.words[-1].end)
        if self._word_timestamps:
            message.words.extend(_word(word) for word in event.words)
        self._segment_id += 1
        self._revision = 0
        self._shown = ""
        return message

    def interim(self, event: events.Interim) -> transcript_pb2.Transcript | None:
        """The open segment as it seems now; None when nothing changed. Empty text withdraws an earlier interim."""
        text = join_words(event.words)
        if text == self._shown:
            return None
        self._shown = text
        message = self._message(text, event.language)
        message.confidence = math.exp(min(0.0, event.score)) if text else 0.0
        message.start_ms = milliseconds(event.start)
        message.end_ms = max(message.start_ms, milliseconds(event.end))
        return message

    def _message(self, text: str, language: str) -> transcript_pb2.Transcript:
        self._revision += 1
        return transcript_pb2.Transcript(
            segment_id=self._segment_id, revision=self._revision, text=text, language=language
        )


def _mean(words: Sequence[Word]) -> float:
    return sum(word.probability for word in words) / len(words)


def _word(word: Word) -> transcript_pb2.Word:
    return transcript_pb2.Word(
        text=word.text.strip(),
        start_ms=milliseconds(word.start),
        end_ms=milliseconds(word.end),
        confidence=word.probability,
    )
