"""A call in Twilio's dialect (Media Streams), without input and output.

Each track of a call is a stream of its own. Twilio takes no text back, and reports a message that it does not know as
an error of the call, so nothing is sent: the text is in the session's transcript, in the streams TRACK-STREAMSID.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct, field

from gateway.doors.options import Option, Treatment, refused, sort_options
from gateway.doors.steps import Close, CountRefusal, RefusedError, Step, ToSession, goes_on, problem_of
from gateway.doors.telephony.ordering import Ordering
from gateway.protocol.errors import CloseCode, Code, Problem
from gateway.protocol.messages import ErrorMessage, ServerMessage, StreamChunk, StreamEnd, StreamEnded, StreamStart

_S: Final = Treatment.SUPPORTED
PARAMETERS: Final = (
    Option("token", _S, "a session token or an API key; needed unless the path or a header has it"),
    Option("language", _S, "BCP-47, default `auto`: decided on the first seconds of each track"),
    Option("hotwords", _S, "words to expect, comma-separated"),
    Option("endpointing_ms", _S, "silence that ends a segment, 100 to 10000"),
)
"""The custom parameters that the gateway reads; all others belong to the application."""

_ENCODINGS: Final[Mapping[str, str]] = {"audio/x-mulaw": "audio/pcmu", "audio/x-alaw": "audio/pcma"}
_TRACKS: Final = ("inbound", "outbound")
_CLOSES: Final[Mapping[Code, int]] = {
    Code.BUSY: CloseCode.BUSY,
    Code.NO_WORKER: CloseCode.BUSY,
    Code.WORKER_FAILED: CloseCode.INTERNAL,
    Code.DEADLINE_EXCEEDED: CloseCode.INTERNAL,
    Code.INTERNAL: CloseCode.INTERNAL,
}


class MediaFormat(Struct, rename="camel"):
    """How the samples of a call are written."""

    encoding: str = "audio/x-mulaw"
    sample_rate: int = 8000
    channels: int = 1


class Start(Struct, rename="camel"):
    """What a call is."""

    stream_sid: str = ""
    tracks: list[str] = field(default_factory=lambda: ["inbound"])
    custom_parameters: dict[str, str] = {}
    media_format: MediaFormat = field(default_factory=MediaFormat)

    def __repr__(self) -> str:
        return "Start(...)"


class Media(Struct):
    """20 ms of a track."""

    payload: bytes
    track: str = "inbound"


class Event(Struct, rename="camel"):
    """Any message of Twilio's. `sequence_number` rises by one from `start`, which has 1; `connected` has none."""

    event: str
    sequence_number: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    start: Start | None = None
    media: Media | None = None


_decoder: Final = msgspec.json.Decoder(Event, strict=False)  # Twilio writes numbers as text


def read(text: str) -> Event | None:
    """A message; None if it is not one of Twilio's."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


class TwilioCall:
    """See `gateway.doors.steps.Conversation`. Begins with Twilio's `start`."""

    def __init__(self, opening: Event) -> None:
        """Raises RefusedError for a call that cannot be transcribed."""
        assert opening.start is not None
        self.starts: Sequence[StreamStart] = _streams(opening.start)
        self._streams = {
            track: str(start.stream_id)
            for track, start in zip(dict.fromkeys(opening.start.tracks), self.starts, strict=True)
        }
        number = opening.sequence_number
        self._ordering: Ordering[Event] = Ordering(2 if number is None else number + 1)
        self._is_stopped = False
        self._failure: Problem | None = None
        self._ended: set[str] = set()

    @property
    def missing(self) -> int:
        """How many messages were numbered and did not come."""
        return self._ordering.missing

    def receive_text(self, text: str, now: float) -> Iterable[Step]:
        """See Conversation."""
        event = read(text)
        if event is None:
            return [CountRefusal()]
        if self._is_stopped:
            return []
        if event.sequence_number is None:
            return self._perform([event])
        return self._perform(self._ordering.offer(event.sequence_number, event, now, size=len(text)))

    def receive_bytes(self, payload: bytes, now: float) -> Iterable[Step]:
        """See Conversation."""
        return [CountRefusal()]

    def refused(self, problem: Problem) -> Iterable[Step]:
        """See Conversation."""
        return [closing(problem)]

    def on_message(self, message: ServerMessage, now: float) -> Iterable[Step]:
        """See Conversation."""
        match message:
            case ErrorMessage(data=error) if not goes_on(problem := problem_of(error)):
                self._failure = self._failure or problem
                return [] if isinstance(error.stream_id, str) else [closing(problem)]
            case StreamEnded(stream_id=stream_id):
                self._ended.add(stream_id)
                return self._close() if self._ended >= set(self._streams.values()) else []
            case _:
                return []

    def deadline(self) -> float | None:
        """See Conversation."""
        return self._ordering.deadline()

    def tick(self, now: float) -> Iterable[Step]:
        """See Conversation."""
        return self._perform(self._ordering.poll(now))

    def _perform(self, events: Iterable[Event]) -> list[Step]:
        steps: list[Step] = []
        for event in events:
            match event:
                case Event(event="media", media=Media(payload, track)) if track in self._streams:
                    if payload:
                        steps.append(ToSession(StreamChunk(stream_id=self._streams[track], payload=payload)))
                case Event(event="stop"):
                    self._is_stopped = True
                    steps += [ToSession(StreamEnd(stream_id=stream_id)) for stream_id in self._streams.values()]
                    break
                case _:  # connected, mark, dtmf: nothing is said
                    pass
        return steps

    def _close(self) -> list[Step]:
        if self._failure is not None:
            return [closing(self._failure)]
        if self._is_stopped:
            return [Close(CloseCode.NORMAL)]
        return [Close(CloseCode.RESTART, "the gateway is restarting")]


def closing(problem: Problem) -> Close:
    """A problem as the close of a socket, the only way to report one to Twilio."""
    return Close(_CLOSES.get(problem.code, CloseCode.POLICY), f"{problem.code}: {problem.message}"[:120])


def _streams(start: Start) -> list[StreamStart]:
    given = sort_options(PARAMETERS, start.custom_parameters.items())
    sound = start.media_format
    name = _ENCODINGS.get(sound.encoding.lower())
    tracks = list(dict.fromkeys(start.tracks))
    if name is None:
        text = "mediaFormat: the encoding must be audio/x-mulaw or audio/x-alaw"
        raise RefusedError(Problem(Code.UNSUPPORTED_FORMAT, text, field="mediaFormat"))
    if not tracks or not set(tracks) <= set(_TRACKS):
        raise refused("tracks", "must be inbound, outbound or both")
    return [
        StreamStart(
            stream_id=f"{track}-{start.stream_sid}"[:64] if start.stream_sid else track,
            kind="audio",
            format=f"{name};rate={sound.sample_rate};channels={sound.channels}",
            services=["stt"],
            language=given.first("language", "auto"),
            interim_results=False,
            hotwords=[word.strip() for word in given.first("hotwords").split(",") if word.strip()],
            endpointing_ms=given.whole("endpointing_ms", 100, 10_000),
        )
        for track in tracks
    ]
