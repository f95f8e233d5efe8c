"""A call as a socket of raw samples, without input and output: Vonage, Asterisk, jambonz and similar services.

Samples come as binary messages. Their format is in the query, or in the first text message: the JSON of Vonage and
jambonz, or the `MEDIA_START` of Asterisk. `audio/l16` is little-endian here, as all of them send it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Struct, field

from gateway.doors.options import Given, Option, Treatment, refused, sort_options
from gateway.doors.session import new_stream_id
from gateway.doors.split import ChannelSplitter
from gateway.doors.steps import Close, CountRefusal, RefusedError, Step, ToClient, ToSession, goes_on, problem_of
from gateway.doors.telephony.twilio import closing
from gateway.protocol.codec import encode
from gateway.protocol.errors import CloseCode, Problem
from gateway.protocol.formats import parse_format
from gateway.protocol.messages import (
    ErrorMessage,
    ServerMessage,
    SpeechEvent,
    StreamChunk,
    StreamEnd,
    StreamEnded,
    StreamStart,
    TranscriptUpdate,
)

_S: Final = Treatment.SUPPORTED
PLAIN_OPTIONS: Final = (
    Option("token", _S, "a session token; API keys come in a header"),
    Option("format", _S, "`audio/l16;rate=8000` and the like, `audio/pcmu`, `audio/pcma`; else the first message says"),
    Option("multichannel", _S, "each channel is a stream of its own, instead of one mix"),
    Option("language", _S, "BCP-47, default `auto`: decided on the first seconds"),
    Option("hotwords", _S, "words to expect, comma-separated"),
    Option("endpointing_ms", _S, "silence that ends a segment, 100 to 10000"),
    Option("events", _S, "`true`: our own `transcript_update`, `speech_event` and `error` messages come back as text"),
)
"""The options of the query; others are ignored and named in the header `talkup-ignored-options`."""

# What Asterisk calls its formats (chan_websocket).
_ASTERISK: Final[Mapping[str, str]] = {
    "ulaw": "audio/pcmu",
    "alaw": "audio/pcma",
    "slin": "audio/l16;rate=8000",
    **{f"slin{rate}": f"audio/l16;rate={rate}000" for rate in (12, 16, 24, 32, 48, 96, 192)},
    "slin44": "audio/l16;rate=44100",
}
_SAMPLE_BYTES: Final[Mapping[str, int]] = {"s16le": 2, "s16be": 2, "f32le": 4, "mulaw": 1, "alaw": 1}


class _Event(Struct):
    """A text message with JSON."""

    event: str


class _Opening(Struct):
    """The first text message of Vonage (`content-type`) or jambonz (`sampleRate`)."""

    content_type: str = field(default="", name="content-type")
    sample_rate: int = field(default=0, name="sampleRate")
    mix_type: str = field(default="", name="mixType")


@dataclass(frozen=True, slots=True)
class _Sound:
    mime: str
    channels: int
    sample_bytes: int


def given_options(query: Iterable[tuple[str, str]]) -> Given:
    """The options of a query. Raises RefusedError."""
    return sort_options(PLAIN_OPTIONS, query)


def format_of(text: str) -> str | None:
    """The format that a first text message names; None: it names none."""
    if text.startswith("MEDIA_START "):
        words = dict(word.split(":", 1) for word in text.split() if ":" in word)
        return _ASTERISK.get(words.get("format", ""))
    try:
        opening = msgspec.json.decode(text, type=_Opening, strict=False)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if opening.content_type:
        return opening.content_type
    channels = 2 if opening.mix_type == "stereo" else 1
    return f"audio/l16;rate={opening.sample_rate};channels={channels}" if opening.sample_rate else None


class PlainCall:
    """See `gateway.doors.steps.Conversation`."""

    def __init__(self, given: Given, mime: str, now: float) -> None:
        """Raises RefusedError for a format or an option that cannot be served."""
        sound = _sound(mime)
        is_split = given.is_true("multichannel") and sound.channels > 1
        self._splitter = ChannelSplitter(sound.channels, sound.sample_bytes) if is_split else None
        self._sends_events = given.is_true("events")
        self.starts: Sequence[StreamStart] = [
            StreamStart(
                stream_id=new_stream_id("channel-1" if number == 0 else f"channel-{number + 1}"),
                kind="audio",
                format=sound.mime.replace(f"channels={sound.channels}", "channels=1") if is_split else sound.mime,
                services=["stt"],
                language=given.first("language", "auto"),
                interim_results=self._sends_events,
                hotwords=[word.strip() for word in given.first("hotwords").split(",") if word.strip()],
                endpointing_ms=given.whole("endpointing_ms", 100, 10_000),
            )
            for number in range(sound.channels if is_split else 1)
        ]
        self._ids = [str(start.stream_id) for start in self.starts]
        self._failure: Problem | None = None
        self._is_stopped = False
        self._ended: set[str] = set()

    def receive_text(self, text: str, now: float) -> Iterable[Step]:
        """See Conversation. Keys that were pressed and other events say nothing, but `stop` ends the call."""
        try:
            event = msgspec.json.decode(text, type=_Event).event
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return [CountRefusal()]
        if event != "stop" or self._is_stopped:
            return []
        self._is_stopped = True
        return [ToSession(StreamEnd(stream_id=stream_id)) for stream_id in self._ids]

    def receive_bytes(self, payload: bytes, now: float) -> Iterable[Step]:
        """See Conversation."""
        if self._is_stopped:
            return []
        parts = [payload] if self._splitter is None else self._splitter.split(payload)
        return [
            ToSession(StreamChunk(stream_id=stream_id, payload=part))
            for stream_id, part in zip(self._ids, parts, strict=True)
            if part
        ]

    def refused(self, problem: Problem) -> Iterable[Step]:
        """See Conversation."""
        return [closing(problem)]

    def on_message(self, message: ServerMessage, now: float) -> Iterable[Step]:
        """See Conversation."""
        steps: list[Step] = []
        if self._sends_events and isinstance(message, TranscriptUpdate | SpeechEvent | ErrorMessage):
            steps.append(ToClient(encode(message, now)))
        match message:
            case ErrorMessage(data=error) if not goes_on(problem := problem_of(error)):
                self._failure = self._failure or problem
                if not isinstance(error.stream_id, str):
                    steps.append(closing(problem))
            case StreamEnded(stream_id=stream_id):
                self._ended.add(stream_id)
                if self._ended >= set(self._ids):
                    steps.append(self._close())
        return steps

    def _close(self) -> Close:
        if self._failure is not None:
            return closing(self._failure)
        if self._is_stopped:
            return Close(CloseCode.NORMAL)
        return Close(CloseCode.RESTART, "the gateway is restarting")

    def deadline(self) -> float | None:
        """See Conversation."""
        return None

    def tick(self, now: float) -> Iterable[Step]:
        """See Conversation."""
        return []


def _sound(mime: str) -> _Sound:
    name = mime.partition(";")[0].strip().lower()
    if name in ("audio/l16", "audio/x-l16") and "endianness" not in mime.lower():
        mime = f"{mime};endianness=little-endian"
    parsed = parse_format(mime)
    if isinstance(parsed, Problem):
        raise RefusedError(parsed)
    encoding = parsed.mime_type.rpartition("encoding=")[2]
    if encoding not in _SAMPLE_BYTES:
        raise refused("format", "calls come as raw samples: audio/l16, audio/pcmu or audio/pcma")
    return _Sound(parsed.mime_type, parsed.channels, _SAMPLE_BYTES[encoding])
