"""The answer to an upload in Deepgram's dialect. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import pairwise

from msgspec import UNSET, Struct, UnsetType

from gateway.doors.deepgram.messages import ModelInfo, Warned, Word, model_of, warned, word_of
from gateway.doors.deepgram.options import Listen
from gateway.protocol.messages import StreamEnded, TranscriptUpdate


class Alternative(Struct):
    """The text of a channel."""

    transcript: str
    confidence: float
    words: list[Word]


class ChannelText(Struct):
    """What was said on a channel. `detected_language`: ISO 639-1, if it was to be detected."""

    alternatives: list[Alternative]
    detected_language: str | UnsetType = UNSET


class Utterance(Struct):
    """Words without a longer pause between them."""

    start: float
    end: float
    confidence: float
    channel: int
    transcript: str
    words: list[Word]
    id: str


class Results(Struct, omit_defaults=True):
    """The texts of all channels."""

    channels: list[ChannelText]
    utterances: list[Utterance] | UnsetType = UNSET


class RecordedMetadata(Struct):
    """What the recording was. `sha256`: of the bytes received."""

    transaction_key: str
    request_id: str
    sha256: str
    created: str
    duration: float
    channels: int
    models: list[str]
    model_info: dict[str, ModelInfo]
    warnings: list[Warned] | UnsetType = UNSET


class Answer(Struct):
    """The answer to an upload."""

    metadata: RecordedMetadata
    results: Results


Heard = tuple[Sequence[TranscriptUpdate], StreamEnded]
"""The finals of a channel and its end."""


def answer(
    wishes: Listen, request_id: str, models: Sequence[str], heard: Sequence[Heard], *, sha256: str, began: float
) -> Answer:
    """The answer for all channels; `began`: UNIX seconds."""
    model_uuid, model = model_of(models)
    channels = [_channel(finals, ended, wishes) for finals, ended in heard]
    utterances: list[Utterance] | UnsetType = UNSET
    if wishes.utterances:
        found = [each for index, channel in enumerate(channels) for each in _utterances(index, channel, wishes)]
        utterances = sorted(found, key=lambda each: each.start)
    metadata = RecordedMetadata(
        transaction_key="deprecated",
        request_id=request_id,
        sha256=sha256,
        created=dt.datetime.fromtimestamp(began, dt.UTC).isoformat(timespec="milliseconds"),
        duration=max(ended.data.media_seconds for _, ended in heard),
        channels=wishes.sound.channels,
        models=[model_uuid],
        model_info={model_uuid: model},
        warnings=warned(wishes.warnings),
    )
    return Answer(metadata, Results(channels, utterances))


def _channel(finals: Sequence[TranscriptUpdate], ended: StreamEnded, wishes: Listen) -> ChannelText:
    words = [word_of(word) for final in finals for word in final.data.words]
    alternative = Alternative(ended.data.text.strip(), _mean(words), words)
    language = next((final.data.language for final in finals if final.data.language), "")
    return ChannelText([alternative], language if wishes.detect_language and language else UNSET)


def _mean(words: Sequence[Word]) -> float:
    return sum(word.confidence for word in words) / len(words) if words else 0.0


def _utterances(index: int, channel: ChannelText, wishes: Listen) -> Iterator[Utterance]:
    words = channel.alternatives[0].words
    pauses = [at for at, (one, other) in enumerate(pairwise(words), 1) if _is_split(one, other, wishes)]
    for begin, end in pairwise([0, *pauses, len(words)] if words else []):
        part = words[begin:end]
        text = " ".join(word.punctuated_word for word in part)
        yield Utterance(part[0].start, part[-1].end, _mean(part), index, text, part, f"{index}-{begin}")


def _is_split(one: Word, other: Word, wishes: Listen) -> bool:
    return 1000 * (other.start - one.end) > wishes.utterance_split_ms
