"""Messages from the gateway as frozen values. Times in `*_ms` are milliseconds on the stream's media clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from talkup_client.delivery import Delivery, read_delivery
from talkup_client.errors import BadAnswerError


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a transcript; `confidence` lies between 0 and 1."""

    word: str
    start_ms: int
    end_ms: int
    confidence: float


@dataclass(frozen=True, slots=True)
class TranscriptUpdate:
    """An interim (may change) or a final (never changes) of a segment."""

    stream_id: str
    segment_id: int
    revision: int
    is_final: bool
    text: str
    stable_chars: int
    confidence: float
    language: str
    start_ms: int
    end_ms: int
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class SpeechEvent:
    """`event` is `speech_started` or `speech_ended`."""

    stream_id: str
    event: str
    media_time_ms: int


@dataclass(frozen=True, slots=True)
class AnalysisResult:
    """A result of vision or delivery; `data` is the message's whole `data`.

    `delivery`: how something was said; None in a result of vision.
    """

    stream_id: str
    media_time_ms: int
    data: Mapping[str, Any]
    delivery: Delivery | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """The stream is behind or degraded, or a worker was replaced; `data` is the message's whole `data`."""

    stream_id: str
    behind_ms: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Notice:
    """The stream continues after a loss (`gap`, `orphan_chunk`, a refused picture), or waits (`no_worker`)."""

    stream_id: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The last event of a stream. `totals` holds all figures that the gateway sent."""

    stream_id: str
    text: str
    media_seconds: float
    totals: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StreamState:
    """The state of a stream in a resumed session."""

    stream_id: str
    state: str
    handle: int
    next_sequence: int
    committed: int


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The session is open on this connection."""

    session_id: str
    resume_token: str
    expires_at: int
    resumed: bool
    streams: tuple[StreamState, ...]
    max_chunk_bytes: int


@dataclass(frozen=True, slots=True)
class AuthExpiring:
    """The credential of the connection expires soon, at `expires_at`; the connection closes at `closes_at`."""

    expires_at: int
    closes_at: int


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A new credential was accepted; this resume token takes the place of the one before."""

    resume_token: str = field(repr=False)
    resume_expires_at: int


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """A sequence of -1 means none. The answer to a start has `handle` and `accepted`, that to a flush `flush_id`."""

    stream_id: str
    received: int
    committed: int
    next_sequence: int
    handle: int | None = None
    accepted: bool | None = None
    flush_id: int | None = None


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping; `data` holds the echo."""

    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Status:
    """The status of gateway, session and services; `data` as in the protocol."""

    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ErrorReceived:
    """An `error` message; `data` as in the protocol."""

    stream_id: str | None
    data: Mapping[str, Any] = field(repr=False)


StreamEvent = TranscriptUpdate | SpeechEvent | AnalysisResult | Flow | Notice | StreamEnded
Message = StreamEvent | SessionOpened | AuthExpiring | Authenticated | Acknowledge | Pong | Status | ErrorReceived


def parse(text: str | bytes) -> Message | None:
    """Parse one message of the gateway; None for a type that this version does not know.

    Raises BadAnswerError for anything that is not such a message.
    """
    try:
        message = json.loads(text)
        data = message["data"]
        parser = _PARSERS.get(message["type"])
        return parser(data) if parser else None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise BadAnswerError("the answer is not a message of the TalkUp protocol") from error


def _session(data: Mapping[str, Any]) -> SessionOpened:
    return SessionOpened(
        session_id=str(data["session_id"]),
        resume_token=str(data["resume_token"]),
        expires_at=int(data["expires_at"]),
        resumed=bool(data["resumed"]),
        streams=tuple(
            StreamState(
                stream_id=str(state["stream_id"]),
                state=str(state.get("state", "open")),
                handle=int(state["handle"]),
                next_sequence=int(state["next_sequence"]),
                committed=int(state.get("committed", -1)),
            )
            for state in data.get("streams", ())
        ),
        max_chunk_bytes=int(data.get("limits", {}).get("max_chunk_bytes", 0)),
    )


def _acknowledge(data: Mapping[str, Any]) -> Acknowledge:
    return Acknowledge(
        stream_id=str(data["stream_id"]),
        received=int(data["received"]),
        committed=int(data["committed"]),
        next_sequence=int(data["next_sequence"]),
        handle=_optional_int(data.get("handle")),
        accepted=data.get("accepted"),
        flush_id=_optional_int(data.get("flush_id")),
    )


def _transcript(data: Mapping[str, Any]) -> TranscriptUpdate:
    return TranscriptUpdate(
        stream_id=str(data["stream_id"]),
        segment_id=int(data["segment_id"]),
        revision=int(data["revision"]),
        is_final=bool(data["is_final"]),
        text=str(data["text"]),
        stable_chars=int(data["stable_chars"]),
        confidence=float(data["confidence"]),
        language=str(data["language"]),
        start_ms=int(data["start_ms"]),
        end_ms=int(data["end_ms"]),
        words=tuple(
            Word(str(word["word"]), int(word["start_ms"]), int(word["end_ms"]), float(word["confidence"]))
            for word in data.get("words", ())
        ),
    )


def _speech_event(data: Mapping[str, Any]) -> SpeechEvent:
    return SpeechEvent(str(data["stream_id"]), str(data["event"]), int(data["media_time_ms"]))


def _analysis(data: Mapping[str, Any]) -> AnalysisResult:
    said = data.get("delivery")
    delivery = None if said is None else read_delivery(said)
    return AnalysisResult(str(data["stream_id"]), int(data["media_time_ms"]), data, delivery)


def _flow(data: Mapping[str, Any]) -> Flow:
    return Flow(str(data["stream_id"]), int(data.get("behind_ms", 0)), data)


def _stream_ended(data: Mapping[str, Any]) -> StreamEnded:
    return StreamEnded(str(data["stream_id"]), str(data["text"]), float(data["media_seconds"]), data)


def _error(data: Mapping[str, Any]) -> ErrorReceived:
    stream_id = data.get("stream_id")
    return ErrorReceived(None if stream_id is None else str(stream_id), data)


def _optional_int(value: Any) -> int | None:  # noqa: ANN401 - whatever the other end wrote
    return None if value is None else int(value)


_PARSERS: dict[str, Callable[[Mapping[str, Any]], Message]] = {
    "session": _session,
    "auth_expiring": lambda data: AuthExpiring(int(data["expires_at"]), int(data["closes_at"])),
    "authenticated": lambda data: Authenticated(str(data["resume_token"]), int(data["resume_expires_at"])),
    "acknowledge": _acknowledge,
    "transcript_update": _transcript,
    "speech_event": _speech_event,
    "analysis_result": _analysis,
    "flow": _flow,
    "stream_ended": _stream_ended,
    "pong": Pong,
    "status": Status,
    "error": _error,
}
