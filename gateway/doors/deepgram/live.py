"""A live conversation in Deepgram's dialect, without input and output."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from gateway.doors.deepgram.channel import ChannelResults, Terms
from gateway.doors.deepgram.errors import words_for
from gateway.doors.deepgram.messages import ConfigureFailure, Error, Message, Metadata, encode, model_of, warned
from gateway.doors.deepgram.options import Listen
from gateway.doors.split import ChannelSplitter
from gateway.doors.steps import Close, CountRefusal, Step, ToClient, ToSession, goes_on, problem_of
from gateway.protocol.errors import CloseCode, Problem
from gateway.protocol.messages import (
    Acknowledge,
    ErrorMessage,
    ServerMessage,
    SpeechEvent,
    StreamChunk,
    StreamEnd,
    StreamEnded,
    StreamFlush,
    StreamStart,
    TranscriptUpdate,
)

MAX_TEXT: Final = 16 * 1024
"""Characters of a text message: all of them are small."""


class _Control(msgspec.Struct):
    """A text message of the client."""

    type: str


class LiveConversation:
    """See `gateway.doors.steps.Conversation`. `models`: the names of the workers' models. `began`: UNIX seconds."""

    def __init__(self, wishes: Listen, request_id: str, models: Sequence[str], began: float) -> None:
        self._wishes = wishes
        self._request_id = request_id
        self._model_uuid, self._model = model_of(models)
        self._began = began
        self._digest = hashlib.sha256()
        terms = Terms(
            request_id=request_id,
            model_uuid=self._model_uuid,
            model_info=self._model,
            channels=wishes.sound.channels,
            vad_events=wishes.vad_events,
            utterance_end_ms=wishes.utterance_end_ms,
            endpointing_ms=wishes.endpointing_ms or 0,
        )
        self._ids = [start.stream_id for start in wishes.starts]
        self._channels = {
            stream_id: ChannelResults(index, terms) for index, stream_id in enumerate(self._ids) if stream_id
        }
        sound = wishes.sound
        self._splitter = ChannelSplitter(sound.channels, sound.sample_bytes) if sound.streams > 1 else None
        self._flushes = 0
        self._unanswered: set[str] = set()
        # How many Finalizes the flush on its way answers, and how many came since.
        self._asked = 0
        self._asked_since = 0
        self._is_closing = False
        self._ended: dict[str, StreamEnded] = {}
        self._failure: Problem | None = None

    @property
    def starts(self) -> Sequence[StreamStart]:
        """See Conversation."""
        return self._wishes.starts

    # --- from the client

    def receive_text(self, text: str, now: float) -> Iterable[Step]:
        """See Conversation."""
        try:
            kind = None if len(text) > MAX_TEXT else msgspec.json.decode(text, type=_Control).type
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            kind = None
        match kind:
            case "KeepAlive":
                return []
            case "Finalize":
                return self._finalize()
            case "CloseStream":
                return self._close_stream()
            case "Configure":
                text = "options are given when the socket opens, and stay"
                failure = ConfigureFailure(self._request_id, "CONFIGURE_KEYTERMS_NOT_SUPPORTED", text)
                return [ToClient(encode(failure)), CountRefusal()]
            case _:
                why = "the message is not JSON with the type KeepAlive, Finalize or CloseStream"
                # The message itself is not repeated: it may be large.
                return [ToClient(encode(Error("SchemaError", why, ""))), CountRefusal()]

    def receive_bytes(self, payload: bytes, now: float) -> Iterable[Step]:
        """See Conversation."""
        if not payload:
            return self._close_stream()  # as the dialect had it before CloseStream
        if self._is_closing:
            return []
        self._digest.update(payload)
        if self._splitter is None:
            return [ToSession(StreamChunk(stream_id=self._ids[0], payload=payload))]
        parts = zip(self._ids, self._splitter.split(payload), strict=True)
        return [ToSession(StreamChunk(stream_id=stream_id, payload=part)) for stream_id, part in parts if part]

    def refused(self, problem: Problem) -> Iterable[Step]:
        """See Conversation."""
        words = words_for(problem.code)
        return [ToClient(encode(Error(words.err_code, problem.message, ""))), Close(words.close, words.reason)]

    def _finalize(self) -> list[Step]:
        """Ask for final text; one request at a time, which may answer several. The end of the stream answers, too."""
        self._asked_since += 1
        if self._unanswered or self._is_closing:
            return []
        self._asked, self._asked_since = self._asked_since, 0
        self._flushes += 1
        live = [stream_id for stream_id in self._channels if stream_id not in self._ended]
        self._unanswered = set(live)
        for stream_id in live:
            self._channels[stream_id].finalize()
        return [ToSession(StreamFlush(stream_id=stream_id, flush_id=self._flushes)) for stream_id in live]

    def _close_stream(self) -> list[Step]:
        if self._is_closing:
            return []
        self._is_closing = True
        return [
            ToSession(StreamEnd(stream_id=stream_id)) for stream_id in self._channels if stream_id not in self._ended
        ]

    # --- from the session

    def on_message(self, message: ServerMessage, now: float) -> Iterable[Step]:
        """See Conversation."""
        match message:
            case TranscriptUpdate(data=data) if (channel := self._channels.get(data.stream_id)) is not None:
                return _said(channel.said(data))
            case SpeechEvent(data=event) if (channel := self._channels.get(event.stream_id)) is not None:
                return _said(channel.spoke(event, now))
            case Acknowledge(data=data) if (channel := self._channels.get(data.stream_id)) is not None:
                closed = list(_said(channel.committed(data.committed)))
                answers = isinstance(data.flush_id, int) and data.stream_id in self._unanswered
                return closed + self._flushed(data.stream_id) if answers else closed
            case StreamEnded(data=ended) if ended.stream_id in self._channels:
                return self._stream_ended(message)
            case ErrorMessage(data=error):
                problem = problem_of(error)
                if not goes_on(problem):
                    self._failure = self._failure or problem
                    if not isinstance(error.stream_id, str):
                        return self.refused(problem)
                return []
            case _:
                return []

    def deadline(self) -> float | None:
        """See Conversation."""
        due = [at for channel in self._channels.values() if (at := channel.deadline()) is not None]
        return min(due) if due else None

    def tick(self, now: float) -> Iterable[Step]:
        """See Conversation."""
        return [step for channel in self._channels.values() for step in _said(channel.tick(now))]

    def _flushed(self, stream_id: str) -> list[Step]:
        self._unanswered.discard(stream_id)
        steps = list(_said(self._channels[stream_id].finalized(self._asked)))
        if self._unanswered:
            return steps
        self._asked = 0
        if self._asked_since:
            self._asked_since -= 1
            steps += self._finalize()
        return steps

    def _stream_ended(self, message: StreamEnded) -> Iterator[Step]:
        stream_id = message.stream_id
        self._ended[stream_id] = message
        answers = self._asked_since + (self._asked if stream_id in self._unanswered else 0)
        self._unanswered.discard(stream_id)
        yield from _said(self._channels[stream_id].ended(answers))
        if len(self._ended) < len(self._channels):
            return
        if self._failure is not None:
            yield from self.refused(self._failure)
            return
        yield ToClient(encode(self._metadata()))
        # Without the client's wish only the gateway ends streams: it is shutting down.
        yield Close(CloseCode.NORMAL) if self._is_closing else Close(CloseCode.RESTART, "the gateway is restarting")

    def _metadata(self) -> Metadata:
        return Metadata(
            transaction_key="deprecated",
            request_id=self._request_id,
            sha256=self._digest.hexdigest(),
            created=dt.datetime.fromtimestamp(self._began, dt.UTC).isoformat(timespec="milliseconds"),
            duration=max((ended.data.media_seconds for ended in self._ended.values()), default=0.0),
            channels=self._wishes.sound.channels,
            models=[self._model_uuid],
            model_info={self._model_uuid: self._model},
            warnings=warned(self._wishes.warnings),
        )


def _said(messages: Iterable[Message]) -> Iterator[Step]:
    for message in messages:
        yield ToClient(encode(message))
