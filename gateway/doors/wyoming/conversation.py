"""A connection's conversation in Wyoming, without input and output: requests one after another, each with its answer.

A request is `transcribe` (may be left out), `audio-start`, any number of `audio-chunk`, `audio-stop`. Its answer is
`transcript-start`, a `transcript-chunk` for each final as it comes, `transcript` with the whole text, and
`transcript-stop`. An `error` ends the connection, since clients that wait for a transcript ignore errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct

from gateway.doors.options import Given
from gateway.doors.steps import Close, CountRefusal, RefusedError, Step, ToClient, ToSession, goes_on, problem_of
from gateway.doors.wyoming.framing import Event, write_event
from gateway.doors.wyoming.info import info
from gateway.doors.wyoming.options import AudioFormat, audio_format, stream_start, wishes
from gateway.protocol.errors import CloseCode, Code, Problem
from gateway.protocol.joining import join_finals
from gateway.protocol.messages import (
    ErrorMessage,
    ServerMessage,
    ServiceStatus,
    StreamChunk,
    StreamEnd,
    StreamEnded,
    StreamStart,
    TranscriptUpdate,
)

_RESTARTING: Final = Problem(Code.BUSY, "the gateway is restarting")


@dataclass(frozen=True, slots=True)
class Begin:
    """Start the stream of a request. `ignored`: names of options that change nothing."""

    start: StreamStart
    ignored: Sequence[str]


class _Spoken(Struct, omit_defaults=True):
    """The data of transcript events."""

    text: str | None = None
    language: str | None = None


@dataclass(slots=True)
class _Request:
    """A request whose answer is not complete."""

    stream_id: str
    sound: AudioFormat
    is_stopped: bool = False
    failure: Problem | None = None
    last: tuple[str, str] | None = None
    language: str | None = None


class WyomingConversation:
    """Nothing that a client sends raises: what it should not have sent becomes an `error`."""

    def __init__(self, services: Callable[[], Sequence[ServiceStatus]]) -> None:
        """`services` gives the state of the workers."""
        self.is_over = False
        self._services = services
        self._given = Given({})
        self._request: _Request | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a request has begun and is not answered."""
        return self._request is not None

    @property
    def is_answering(self) -> bool:
        """Whether all of a request has arrived and its answer is not complete."""
        return self._request is not None and self._request.is_stopped

    def receive(self, event: Event) -> Iterable[Step | Begin]:
        """The client sent an event; never one while `is_answering`."""
        if self.is_over:
            return []
        try:
            return self._receive(event)
        except RefusedError as error:
            return self.refused(error.problem)

    def refused(self, problem: Problem) -> list[Step]:
        """The request cannot be served, or the client broke a rule."""
        if self.is_over:
            return []
        self.is_over, self._request = True, None
        body: dict[str, Any] = {"text": problem.message, "code": str(problem.code)}
        return [ToClient(write_event("error", body)), Close(CloseCode.NORMAL)]

    def on_message(self, message: ServerMessage) -> Iterable[Step]:
        """The session sent a message."""
        request = self._request
        match message:
            case ErrorMessage(data=error) if not goes_on(problem := problem_of(error)):
                if not isinstance(error.stream_id, str):
                    return self.refused(problem)
                if request is not None and error.stream_id == request.stream_id:
                    request.failure = request.failure or problem
            case TranscriptUpdate(stream_id=stream_id) if request is not None and stream_id == request.stream_id:
                return self._heard(request, message)
            case StreamEnded(stream_id=stream_id) if request is not None and stream_id == request.stream_id:
                return self._answer(request, message)
        return []

    def _receive(self, event: Event) -> list[Step | Begin]:
        match event.type:
            case "describe":
                return [ToClient(write_event("info", info(self._services())))]
            case "ping":
                text = event.data.get("text")
                return [ToClient(write_event("pong", {"text": text if isinstance(text, str) else None}))]
            case "transcribe":
                self._given = wishes(event.data)
            case "audio-start":
                if self._request is not None:
                    raise RefusedError(Problem(Code.BAD_MESSAGE, "audio-start: the previous request has no audio-stop"))
                return self._begin(audio_format(event.data))
            case "audio-chunk":
                return self._chunk(event)
            case "audio-stop":
                return self._stop()
        return [CountRefusal()]  # other parts of a voice assistant have more events: they are ignored

    def _begin(self, sound: AudioFormat) -> list[Step | Begin]:
        start = stream_start(self._given, sound)
        ignored = [name for name, _ in self._given.ignored]
        self._given = Given({})
        self._request = _Request(str(start.stream_id), sound)
        return [Begin(start, ignored)]

    def _chunk(self, event: Event) -> list[Step | Begin]:
        sound = audio_format(event.data)
        steps = self._begin(sound) if self._request is None else []
        assert self._request is not None
        if sound != self._request.sound:
            raise RefusedError(Problem(Code.BAD_MESSAGE, "audio-chunk: the format changed within a request"))
        if event.payload:
            steps.append(ToSession(StreamChunk(stream_id=self._request.stream_id, payload=event.payload)))
        return steps

    def _stop(self) -> list[Step | Begin]:
        self._given = Given({})
        if self._request is None:  # nothing was said
            return [*_last_words("", None, is_first=True)]
        self._request.is_stopped = True
        return [ToSession(StreamEnd(stream_id=self._request.stream_id))]

    def _heard(self, request: _Request, message: TranscriptUpdate) -> list[Step]:
        text, language = message.text.strip(), message.data.language
        if not message.data.is_final or not text:
            return []
        steps: list[Step] = []
        piece = text
        if request.last is None:
            request.language = language or None
            steps.append(ToClient(write_event("transcript-start", _Spoken(language=request.language))))
        else:
            # With the space that belongs between the two, if their language has one.
            piece = join_finals([request.last, (text, language)])[len(request.last[0]) :]
        request.last = text, language
        return [*steps, ToClient(write_event("transcript-chunk", _Spoken(text=piece)))]

    def _answer(self, request: _Request, ended: StreamEnded) -> list[Step]:
        if request.failure is not None or not request.is_stopped:
            return self.refused(request.failure or _RESTARTING)
        self._request = None
        return _last_words(ended.data.text.strip(), request.language, is_first=request.last is None)


def _last_words(text: str, language: str | None, *, is_first: bool) -> list[Step]:
    """The end of an answer. `is_first`: nothing of it was sent before."""
    start = [write_event("transcript-start")] if is_first else []
    whole = write_event("transcript", _Spoken(text=text, language=language))
    return [ToClient(payload) for payload in (*start, whole, write_event("transcript-stop"))]
