"""A transcription session in OpenAI's Realtime dialect, without input and output.

A stream begins with the first sound after the configuration, so a client that says nothing holds no slot. When the
configuration changes while sound flows, what follows goes to a stream of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gateway.doors.openai.errors import details_of, words_for
from gateway.doors.openai_realtime.configuration import Configuration
from gateway.doors.openai_realtime.events import (
    APPEND,
    Append,
    BetaUpdate,
    Clear,
    Cleared,
    Commit,
    ErrorEvent,
    FromClient,
    OtherEvent,
    ToldSession,
    Update,
    decoder,
    encode,
)
from gateway.doors.openai_realtime.items import Numbers, StreamItems
from gateway.doors.steps import Close, CountRefusal, RefusedError, Step, ToClient, ToSession, goes_on, problem_of
from gateway.protocol.errors import CloseCode, Code, Problem
from gateway.protocol.json_text import type_of
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

MAX_TEXT: Final = 64 * 1024
"""Characters of an event without sound."""

_MAX_CHUNK: Final = 64 * 1024
_MAX_COMMITS: Final = 32
_MAX_EVENT_ID: Final = 512
_RESTARTING: Final = Problem(Code.BUSY, "the gateway is restarting")


@dataclass(slots=True, eq=False)
class _Stream:
    id: str
    items: StreamItems
    failure: Problem | None = None
    is_accepted: bool = False
    is_ending: bool = False
    is_cut: bool = False


class RealtimeConversation:
    """See `gateway.doors.steps.Conversation`."""

    def __init__(self, configuration: Configuration, session_id: str, *, is_beta: bool = False) -> None:
        self._configuration = configuration
        self._session_id = session_id
        self._is_beta = is_beta
        self._numbers = Numbers(is_beta=is_beta)
        self._streams: dict[str, _Stream] = {}
        self._current: _Stream | None = None
        self._heard_bytes = 0
        self._heard_ms = 0.0
        self._has_sound = False
        self._flushes = 0

    @property
    def starts(self) -> Sequence[StreamStart]:
        """See Conversation."""
        return []

    def opening(self) -> list[Step]:
        """The first event for the client."""
        name = "transcription_session.created" if self._is_beta else "session.created"
        return [self._told_session(name, as_beta=self._is_beta)]

    # --- from the client

    def receive_text(self, text: str, now: float) -> Iterable[Step]:
        """See Conversation."""
        if len(text) > MAX_TEXT and type_of(text) != APPEND:
            problem = Problem(Code.PAYLOAD_TOO_LARGE, f"an event without sound has at most {MAX_TEXT} characters")
            return self._refusal(problem)
        try:
            event = decoder.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return self._misunderstood(text, is_typed=isinstance(error, msgspec.ValidationError))
        return self._obey(event)

    def receive_bytes(self, payload: bytes, now: float) -> Iterable[Step]:
        """See Conversation."""
        return self._refusal(Problem(Code.BAD_MESSAGE, "events are text; sound goes into input_audio_buffer.append"))

    def refused(self, problem: Problem) -> Iterable[Step]:
        """See Conversation."""
        return [*self._refusal(problem), Close(words_for(problem.code).close, problem.code)]

    def _obey(self, event: FromClient) -> Iterable[Step]:
        match event:
            case Append(audio=audio):
                return self._append(audio)
            case Commit(event_id=event_id):
                return self._commit(event_id)
            case Clear():
                return self._clear()
            case Update(session=session):
                return self._update(self._configuration.updated, session, event.event_id, as_beta=False)
            case BetaUpdate(session=session):
                return self._update(self._configuration.updated_as_beta, session, event.event_id, as_beta=True)

    def _append(self, audio: bytes) -> Iterator[Step]:
        if not audio:
            return
        stream = self._current
        if stream is None:
            start = self._configuration.start()
            items = StreamItems(self._numbers, self._all_ms, has_turns=self._configuration.has_turns)
            stream = self._current = _Stream(str(start.stream_id), items)
            self._streams[stream.id] = stream
            yield ToSession(start)
        self._heard_bytes += len(audio)
        self._has_sound = True
        for at in range(0, len(audio), _MAX_CHUNK):
            yield ToSession(StreamChunk(stream_id=stream.id, payload=audio[at : at + _MAX_CHUNK]))

    def _commit(self, event_id: str | None) -> Iterator[Step]:
        stream = self._current
        if stream is None or not self._has_sound:
            text = "the input audio buffer is empty"
            yield from self._refusal(Problem(Code.BAD_MESSAGE, text), event_id, code="input_audio_buffer_commit_empty")
            return
        if stream.items.unanswered >= _MAX_COMMITS:
            yield from self._refusal(Problem(Code.RATE_LIMITED, f"{_MAX_COMMITS} commits have no text yet"), event_id)
            return
        self._flushes += 1
        self._has_sound = False
        yield from _said(stream.items.commit(self._flushes, self._all_ms))
        yield ToSession(StreamFlush(stream_id=stream.id, flush_id=self._flushes))

    def _clear(self) -> Iterator[Step]:
        stream = self._current
        if stream is not None and self._has_sound and stream.items.unanswered < _MAX_COMMITS:
            self._flushes += 1
            stream.items.clear(self._flushes, self._all_ms)
            yield ToSession(StreamFlush(stream_id=stream.id, flush_id=self._flushes))
        self._has_sound = False
        yield ToClient(encode(Cleared(self._numbers.event_id())))

    def _update(
        self,
        update: Callable[[Mapping[str, Any]], Configuration],
        session: Mapping[str, Any],
        event_id: str | None,
        *,
        as_beta: bool,
    ) -> Iterator[Step]:
        try:
            changed = update(session)
        except RefusedError as error:
            yield from self._refusal(error.problem, event_id)
            return
        needs_new_stream = self._configuration.needs_new_stream(changed)
        if needs_new_stream:
            self._heard_ms, self._heard_bytes = self._heard_ms + self._stream_ms, 0
        self._configuration = changed
        if needs_new_stream and self._current is not None:
            stream, self._current = self._current, None
            stream.is_ending, self._has_sound = True, False
            yield ToSession(StreamEnd(stream_id=stream.id))
        yield self._told_session("transcription_session.updated" if as_beta else "session.updated", as_beta=as_beta)

    # --- from the session

    def on_message(self, message: ServerMessage, now: float) -> Iterable[Step]:
        """See Conversation."""
        match message:
            case TranscriptUpdate(data=data) if (stream := self._streams.get(data.stream_id)) is not None:
                return _said(stream.items.heard(data))
            case SpeechEvent(data=event) if (stream := self._streams.get(event.stream_id)) is not None:
                return _said(stream.items.spoke(event, now))
            case Acknowledge(data=data) if isinstance(data.flush_id, int) and data.stream_id in self._streams:
                return _said(self._streams[data.stream_id].items.flushed(data.flush_id))
            case Acknowledge(data=data) if data.stream_id in self._streams:
                self._streams[data.stream_id].is_accepted = True
                return []
            case StreamEnded(stream_id=stream_id) if (stream := self._streams.pop(stream_id, None)) is not None:
                return self._stream_ended(stream)
            case ErrorMessage(data=error):
                return self._failed(problem_of(error), error.stream_id)
            case _:
                return []

    def deadline(self) -> float | None:
        """See Conversation."""
        due = (stream.items.deadline() for stream in self._streams.values())
        return min((at for at in due if at is not None), default=None)

    def tick(self, now: float) -> Iterable[Step]:
        """See Conversation."""
        return [step for stream in self._streams.values() for step in _said(stream.items.tick(now))]

    def _failed(self, problem: Problem, stream_id: object) -> Iterable[Step]:
        if goes_on(problem):
            return []
        if problem.code is Code.UNKNOWN_STREAM:
            # The stream is at its end, because the gateway restarts: what came since is not heard.
            if self._current is not None:
                self._current.is_cut = True
            return []
        if not isinstance(stream_id, str):
            return self.refused(problem)
        if (stream := self._streams.get(stream_id)) is not None:
            stream.failure = stream.failure or problem
            if not stream.is_accepted:  # then nothing more is said about it
                del self._streams[stream_id]
                return self._stream_ended(stream)
        return []

    def _stream_ended(self, stream: _Stream) -> Iterator[Step]:
        if stream is self._current:
            self._current = None
        yield from _said(stream.items.ended(stream.failure or (_RESTARTING if stream.is_cut else None)))
        if stream.failure is not None:
            yield from self.refused(stream.failure)
        elif not stream.is_ending:
            # Without the client's wish only the gateway ends streams: it is shutting down.
            yield Close(CloseCode.RESTART, "the gateway is restarting")

    # --- to the client

    @property
    def _stream_ms(self) -> float:
        return self._heard_bytes / self._configuration.bytes_per_ms

    @property
    def _all_ms(self) -> int:
        """All sound of the session, in ms."""
        return int(self._heard_ms + self._stream_ms)

    def _told_session(self, name: str, *, as_beta: bool) -> Step:
        shown = self._configuration.as_beta_session if as_beta else self._configuration.as_session
        return ToClient(encode(ToldSession(name, self._numbers.event_id(), shown(self._session_id))))

    def _misunderstood(self, text: str, *, is_typed: bool) -> list[Step]:
        """The error for an event that transcription sessions do not have."""
        try:
            event = msgspec.json.decode(text, type=OtherEvent)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            code = Code.BAD_MESSAGE if is_typed else Code.BAD_JSON
            return self._refusal(Problem(code, "an event is a JSON object with a `type`"))
        known = ("input_audio_buffer.append", "input_audio_buffer.commit", "input_audio_buffer.clear")
        if event.type in (*known, "session.update", "transcription_session.update"):
            why = "audio must be Base64" if event.type == APPEND else "a field has the wrong type"
            return self._refusal(Problem(Code.BAD_MESSAGE, why), event.event_id)
        # The event itself is not repeated: it may be anything.
        return self._refusal(
            Problem(Code.UNKNOWN_TYPE, "transcription sessions do not have this event"), event.event_id
        )

    def _refusal(self, problem: Problem, event_id: str | None = None, code: str | None = None) -> list[Step]:
        details = details_of(problem, (event_id or "")[:_MAX_EVENT_ID] or None)
        details.code = code or details.code
        return [ToClient(encode(ErrorEvent(self._numbers.event_id(), details))), CountRefusal()]


def _said(events: Iterable[msgspec.Struct]) -> Iterator[Step]:
    for event in events:
        yield ToClient(encode(event))
