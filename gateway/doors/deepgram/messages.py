"""The messages of Deepgram's dialect as its SDKs parse them. Times are seconds on the media clock of the stream."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from gateway.protocol.messages import WordData

_NAMESPACE: Final = uuid.UUID("6d1f1c2e-64a2-5a3e-9d0e-6a9c1f0f7a55")
_ARCH: Final = "talkup"


class Word(Struct):
    """A word. `word` is in lower case and without punctuation, `punctuated_word` as it is in the text."""

    word: str
    start: float
    end: float
    confidence: float
    punctuated_word: str


class Alternative(Struct):
    """The text of a stretch; there is always one alternative."""

    transcript: str
    confidence: float
    words: list[Word]


class Channel(Struct):
    """What was said on a channel."""

    alternatives: list[Alternative]


class ModelInfo(Struct):
    """The model that transcribes."""

    name: str
    version: str
    arch: str


class ResultsMetadata(Struct):
    """Which request and which model a result belongs to."""

    request_id: str
    model_info: ModelInfo
    model_uuid: str


class Results(Struct, tag="Results", tag_field="type"):
    """Text of a stretch of a channel: an interim, or a final (`is_final`)."""

    channel_index: list[int]
    duration: float
    start: float
    is_final: bool
    speech_final: bool
    channel: Channel
    metadata: ResultsMetadata
    from_finalize: bool = False


class SpeechStarted(Struct, tag="SpeechStarted", tag_field="type"):
    """Speech begins."""

    channel: list[int]
    timestamp: float


class UtteranceEnd(Struct, tag="UtteranceEnd", tag_field="type"):
    """Nobody has spoken for a while."""

    channel: list[int]
    last_word_end: float


class Warned(Struct):
    """An option that is not followed, and why."""

    parameter: str
    type: str
    message: str


class Metadata(Struct, tag="Metadata", tag_field="type"):
    """The end of a stream: what it was."""

    transaction_key: str
    request_id: str
    sha256: str
    created: str
    duration: float
    channels: int
    models: list[str]
    model_info: dict[str, ModelInfo]
    warnings: list[Warned] | UnsetType = UNSET


class ConfigureFailure(Struct, tag="ConfigureFailure", tag_field="type"):
    """The options of a stream cannot change while it runs."""

    request_id: str
    code: str
    description: str


class Error(Struct, tag="Error", tag_field="type"):
    """What went wrong on the socket."""

    variant: str
    description: str
    message: str


class Refusal(Struct):
    """The body of a refused request."""

    err_code: str
    err_msg: str
    request_id: str


Message = Results | SpeechStarted | UtteranceEnd | Metadata | ConfigureFailure | Error | Refusal

_encoder: Final = msgspec.json.Encoder()


def encode(message: Struct) -> bytes:
    """A message as JSON."""
    return _encoder.encode(message)


def word_of(word: WordData) -> Word:
    """A word of ours."""
    text = word.word.strip()
    bare = text.strip(".,!?;:…\"'“”‘’«»()[]{}¿¡。，！？、").lower()
    return Word(bare or text, word.start_ms / 1000, word.end_ms / 1000, word.confidence, text)


def model_of(names: Sequence[str]) -> tuple[str, ModelInfo]:
    """The model's id and description."""
    name = names[0] if names else "unknown"
    return str(uuid.uuid5(_NAMESPACE, name)), ModelInfo(name=name, version="1", arch=_ARCH)


def warned(warnings: Sequence[tuple[str, str]]) -> list[Warned] | UnsetType:
    """The one warning of a session: every ignored option."""
    return [Warned(name, "ignored_option", why) for name, why in warnings] or UNSET
