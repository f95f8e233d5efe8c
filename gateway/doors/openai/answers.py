"""The answers to an upload in OpenAI's dialect: five formats, and events of a stream. Pure."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import UNSET, Struct, UnsetType, json

from gateway.cues import Piece, sentences
from gateway.doors.openai.errors import Details
from gateway.doors.openai.languages import name_of
from gateway.doors.openai.options import Wishes
from gateway.protocol.joining import is_unspaced
from gateway.protocol.messages import StreamEnded, TranscriptData, WordData
from gateway.transcript import Segment, StreamTranscript, Transcript
from gateway.transcript_formats import to_srt, to_vtt

_LEAST: Final = 1e-6


class Usage(Struct, tag="duration", tag_field="type"):
    """How long the recording was."""

    seconds: float


class PlainAnswer(Struct):
    """`json`."""

    text: str
    usage: Usage


class VerboseWord(Struct):
    """A word and its times in seconds."""

    word: str
    start: float
    end: float


class VerboseSegment(Struct):
    """A sentence. `avg_logprob` is the mean of the words' confidences; `tokens` and the constants are not known."""

    id: int
    start: float
    end: float
    text: str
    avg_logprob: float
    compression_ratio: float
    seek: int = 0
    tokens: Sequence[int] = ()
    temperature: float = 0.0
    no_speech_prob: float = 0.0


class VerboseAnswer(Struct):
    """`verbose_json`. `language`: its English name."""

    task: str
    language: str
    duration: float
    text: str
    usage: Usage
    segments: list[VerboseSegment] | UnsetType = UNSET
    words: list[VerboseWord] | UnsetType = UNSET


class Delta(Struct, tag="transcript.text.delta", tag_field="type"):
    """More text."""

    delta: str


class Done(Struct, tag="transcript.text.done", tag_field="type"):
    """The whole text: all deltas together."""

    text: str
    usage: Usage


class Failed(Struct):
    """A stream that ends without its text."""

    error: Details


class Heard(Struct):
    """What became of a recording."""

    finals: Sequence[TranscriptData]
    ended: StreamEnded

    @property
    def text(self) -> str:
        """The whole text."""
        return self.ended.data.text.strip()

    @property
    def usage(self) -> Usage:
        """How long the recording was."""
        return Usage(round(self.ended.data.media_seconds, 3))


class Deltas:
    """The finals of a stream as pieces of text that together are the whole text."""

    def __init__(self) -> None:
        self._has_text = False
        self._is_unspaced = False

    def add(self, text: str, language: str) -> str:
        """The text of a final with the space before it; empty if it has none."""
        text = text.strip()
        if not text:
            return ""
        unspaced = is_unspaced(language)
        space = " " if self._has_text and not (unspaced and self._is_unspaced) else ""
        self._has_text, self._is_unspaced = True, unspaced
        return space + text


def event(message: Struct) -> bytes:
    """A server-sent event."""
    return b"data: " + json.encode(message) + b"\n\n"


def answer(wishes: Wishes, heard: Heard) -> tuple[str, bytes]:
    """The content type and the body of the answer."""
    return _FORMATS[wishes.response_format](wishes, heard)


def _json(_wishes: Wishes, heard: Heard) -> tuple[str, bytes]:
    return "application/json", json.encode(PlainAnswer(heard.text, heard.usage))


def _text(_wishes: Wishes, heard: Heard) -> tuple[str, bytes]:
    return "text/plain", f"{heard.text}\n".encode()


def _verbose(wishes: Wishes, heard: Heard) -> tuple[str, bytes]:
    words = [word for final in heard.finals for word in final.words]
    language = next((final.language for final in heard.finals if final.language), wishes.start.language)
    body = VerboseAnswer("transcribe", name_of(language), heard.usage.seconds, heard.text, heard.usage)
    if "segment" in wishes.granularities:
        body.segments = _segments(heard.finals, words)
    if "word" in wishes.granularities:
        body.words = [VerboseWord(word.word.strip(), word.start_ms / 1000, word.end_ms / 1000) for word in words]
    return "application/json", json.encode(body)


def _segments(finals: Sequence[TranscriptData], words: Sequence[WordData]) -> list[VerboseSegment]:
    found = []
    for number, sentence in enumerate(sentences(_pieces(finals))):
        within = [word for word in words if sentence.start_ms <= word.start_ms < max(sentence.end_ms, word.end_ms)]
        chances = [max(word.confidence, _LEAST) for word in within if word.end_ms <= sentence.end_ms]
        text = sentence.text
        found.append(
            VerboseSegment(
                id=number,
                start=sentence.start_ms / 1000,
                end=sentence.end_ms / 1000,
                text=text,
                avg_logprob=math.log(sum(chances) / len(chances)) if chances else 0.0,
                compression_ratio=len(text.encode()) / len(zlib.compress(text.encode())),
            )
        )
    return found


def _pieces(finals: Sequence[TranscriptData]) -> list[Piece]:
    return [Piece(final.start_ms, final.end_ms, final.text, final.language) for final in finals]


def _transcript(heard: Heard) -> Transcript:
    segments = tuple(
        Segment(final.segment_id, final.text, final.language, final.confidence, final.start_ms, final.end_ms)
        for final in heard.finals
    )
    return Transcript("", 0.0, (StreamTranscript(heard.ended.stream_id, 0.0, ended=True, segments=segments),))


def _srt(_wishes: Wishes, heard: Heard) -> tuple[str, bytes]:
    return "application/x-subrip", to_srt(_transcript(heard)).encode()


def _vtt(_wishes: Wishes, heard: Heard) -> tuple[str, bytes]:
    return "text/vtt", to_vtt(_transcript(heard)).encode()


_FORMATS: Final[Mapping[str, Callable[[Wishes, Heard], tuple[str, bytes]]]] = {
    "json": _json,
    "text": _text,
    "verbose_json": _verbose,
    "srt": _srt,
    "vtt": _vtt,
}
