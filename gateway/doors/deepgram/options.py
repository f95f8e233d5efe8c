"""The options of `/v1/listen`: what the gateway makes of each, and the stream that they ask for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from gateway.doors.options import Given, Option, Treatment, refused, sort_options
from gateway.doors.session import new_stream_id
from gateway.doors.steps import RefusedError
from gateway.protocol.errors import Code, Problem
from gateway.protocol.messages import StreamStart

_YES: Final = ("true", "1")
_NO: Final = ("false", "0")
_S, _I, _R = Treatment.SUPPORTED, Treatment.IGNORED, Treatment.REFUSED
_SPEAKERS: Final = "speakers are not distinguished"
_OFF: Final = "always off here"

MIN_ENDPOINTING_MS: Final = 100
MAX_ENDPOINTING_MS: Final = 10_000
MIN_UTTERANCE_END_MS: Final = 1_000
_MAX_UTTERANCE_END_MS: Final = 60_000
_MAX_HOTWORDS: Final = 100
_MAX_HOTWORD: Final = 64
_MAX_HINTS: Final = 10
_WEIGHT: Final = re.compile(r":[0-9.]+$")
# Deepgram's `language=multi`, in the order of its documentation: what each segment is decided among.
_MULTI: Final = ("en", "es", "fr", "de", "hi", "ru", "pt", "ja", "it", "nl")


def _refused_switch(name: str, why: str) -> tuple[Option, Option]:
    return Option(name, _S, _OFF, _NO), Option(name, _R, why)


_COMMON: Final = (
    Option("model", _I, "the workers' model transcribes; `model_info` names it"),
    Option("version", _I, "the workers' model transcribes"),
    Option("language", _S, "BCP-47, default `en`; `multi` decides each segment separately"),
    Option("language_hint", _S, "with `language=multi`: the languages to decide among, at most 10"),
    Option("keyterm", _S, "a hot word, at most 100 of 64 characters"),
    Option("keywords", _I, "a word of negative weight is not suppressed", ("*:-*",)),
    Option("keywords", _S, "a hot word, as `keyterm`; its weight is ignored, and named in the warning"),
    Option("punctuate", _S, "the text always has punctuation", _YES),
    Option("punctuate", _I, "the text always has punctuation"),
    Option("smart_format", _S, "numbers and names are written as the model writes them", _YES),
    Option("smart_format", _I, "numbers and names are written as the model writes them"),
    Option("numerals", _I, "numbers are written as the model writes them"),
    Option("measurements", _I, "measurements are written as the model writes them"),
    Option("dictation", _I, "spoken punctuation stays words"),
    Option("filler_words", _I, "the model leaves most of them out"),
    Option("tag", _I, "there is no usage reporting"),
    Option("extra", _I, "nothing is passed through"),
    Option("mip_opt_out", _S, "nothing leaves this gateway and its workers"),
    *_refused_switch("profanity_filter", "words are never hidden"),
    *_refused_switch("diarize", _SPEAKERS),
    Option("diarize_model", _R, _SPEAKERS),
    *_refused_switch("redact", "nothing is redacted from the text"),
    Option("replace", _R, "words are not replaced"),
    Option("search", _R, "the sound cannot be searched"),
    *_refused_switch("detect_entities", "entities are not detected"),
    Option("callback", _R, "answers go to the caller only"),
    Option("callback_method", _I, "answers go to the caller only"),
    Option("encoding", _S, "raw samples without a container", ("linear16", "linear32", "mulaw", "alaw")),
    Option("encoding", _S, "as sent", ("flac", "amr-nb", "amr-wb", "opus", "ogg-opus")),
    Option("encoding", _R, "this encoding is not decoded: send linear16, mulaw, alaw, opus, ogg-opus, flac or AMR"),
    Option("sample_rate", _S, "8000 to 192000; needed with linear16 and linear32, 8000 for mulaw and alaw"),
    Option("channels", _S, "1 to 8, interleaved; without `multichannel` they are mixed"),
    Option("multichannel", _S, "each channel of raw samples is a stream of its own; refused for containers"),
)  # fmt: skip

LIVE_OPTIONS: Final = (
    *_COMMON,
    Option("interim_results", _S, "default `false`"),
    Option("endpointing", _S, "silence that ends a segment, 100 to 10000 ms; lower values count as 100"),
    Option("utterance_end_ms", _S, "1000 to 60000; counted from the end of speech that the voice detector reports"),
    Option("vad_events", _S, "`SpeechStarted`, from the workers' voice detector"),
    Option("no_delay", _S, "nothing waits for formatting"),
)
"""The options of the WebSocket."""

RECORDED_OPTIONS: Final = (
    *_COMMON,
    Option(
        "detect_language", _S, "decided on the first seconds, unless `language` is given; `detected_language` names it"
    ),
    Option("utterances", _S, "stretches of words without a longer pause than `utt_split`"),
    Option("utt_split", _S, "seconds, default 0.8"),
    Option("paragraphs", _I, "the text is not cut into paragraphs"),
    *_refused_switch("summarize", "nothing is summarised"),
    *_refused_switch("topics", "topics are not detected"),
    *_refused_switch("intents", "intents are not detected"),
    *_refused_switch("sentiment", "sentiment is not detected"),
    Option("custom_topic", _R, "topics are not detected"),
    Option("custom_topic_mode", _I, "topics are not detected"),
    Option("custom_intent", _R, "intents are not detected"),
    Option("custom_intent_mode", _I, "intents are not detected"),
)
"""The options of the upload."""

_RAW: Final[Mapping[str, tuple[str, int]]] = {
    "linear16": ("s16le", 2),
    "linear32": ("f32le", 4),
    "mulaw": ("mulaw", 1),
    "alaw": ("alaw", 1),
}
_CODED: Final[Mapping[str, str]] = {
    "flac": "audio/flac",
    "amr-nb": "audio/amr",
    "amr-wb": "audio/amr",
    "opus": "audio/opus",
    "ogg-opus": "audio/ogg;codecs=opus",
}


@dataclass(frozen=True, slots=True)
class Sound:
    """What the client sends: the format of one stream, and how many streams the bytes are split into.

    `sample_bytes`: of one channel of raw samples; 0 for coded sound, which is not split.
    """

    mime: str
    streams: int = 1
    channels: int = 1
    sample_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Listen:
    """A client's wishes, understood. `warnings`: an ignored option and why."""

    sound: Sound
    starts: Sequence[StreamStart]
    warnings: Sequence[tuple[str, str]]
    interim_results: bool = False
    vad_events: bool = False
    utterance_end_ms: int | None = None
    endpointing_ms: int | None = None
    utterances: bool = False
    utterance_split_ms: int = 800
    detect_language: bool = False


def live(options: Iterable[tuple[str, str]]) -> Listen:
    """The wishes of a WebSocket. Raises RefusedError."""
    given = sort_options(LIVE_OPTIONS, options)
    warnings = list(given.ignored)
    endpointing_ms = _endpointing(given, warnings)
    utterance_end_ms = given.whole("utterance_end_ms", MIN_UTTERANCE_END_MS, _MAX_UTTERANCE_END_MS)
    interims = given.is_true("interim_results")
    sound = _sound(given)
    return Listen(
        sound=sound,
        starts=_starts(given, sound, warnings, endpointing_ms=endpointing_ms, interim_results=interims),
        warnings=warnings,
        interim_results=interims,
        vad_events=given.is_true("vad_events"),
        utterance_end_ms=utterance_end_ms,
        endpointing_ms=endpointing_ms,
    )


def recorded(options: Iterable[tuple[str, str]]) -> Listen:
    """The wishes of an upload. Raises RefusedError."""
    given = sort_options(RECORDED_OPTIONS, options)
    warnings = list(given.ignored)
    sound = _sound(given)
    detects = given.is_true("detect_language")
    return Listen(
        sound=sound,
        starts=_starts(given, sound, warnings, mode="file", interim_results=False),
        warnings=warnings,
        utterances=given.is_true("utterances"),
        utterance_split_ms=_split_ms(given),
        detect_language=detects or given.first("language") == "multi",
    )


def _starts(given: Given, sound: Sound, warnings: list[tuple[str, str]], **more: object) -> list[StreamStart]:
    language, languages = _languages(given, warnings)
    hotwords = [*given.values.get("keyterm", ()), *_keywords(given, warnings)]
    if len(hotwords) > _MAX_HOTWORDS or any(not 0 < len(word) <= _MAX_HOTWORD for word in hotwords):
        raise refused("keyterm", f"at most {_MAX_HOTWORDS} terms of {_MAX_HOTWORD} characters each")
    return [
        StreamStart(
            stream_id=new_stream_id("deepgram"),
            kind="audio",
            format=sound.mime,
            services=["stt"],
            language=language,
            languages=languages,
            hotwords=hotwords,
            **more,  # type: ignore[arg-type]
        )
        for _ in range(sound.streams)
    ]


def _keywords(given: Given, warnings: list[tuple[str, str]]) -> list[str]:
    """The words of `keywords`, without the weights that may follow them (`word:2`)."""
    given_words = given.values.get("keywords", ())
    words = [_WEIGHT.sub("", word) for word in given_words]
    if words != list(given_words):
        warnings.append(("keywords", "weights are ignored"))
    return words


def _languages(given: Given, warnings: list[tuple[str, str]]) -> tuple[str, list[str]]:
    language = given.first("language", "auto" if given.is_true("detect_language") else "en")
    hints = list(given.values.get("language_hint", ()))
    if given.first("language") and given.is_true("detect_language"):
        warnings.append(("detect_language", "the option language decides"))
    if language != "multi":
        if hints:
            warnings.append(("language_hint", "counts only with language=multi"))
        return language, []
    if len(hints) > _MAX_HINTS:
        raise refused("language_hint", f"at most {_MAX_HINTS} languages")
    return "auto", hints or list(_MULTI)


def _endpointing(given: Given, warnings: list[tuple[str, str]]) -> int | None:
    text = given.first("endpointing").lower()
    if text in ("", "true"):
        return None
    if text == "false":
        warnings.append(("endpointing", "segments always end in silence"))
        return None
    value = given.whole("endpointing", 0, MAX_ENDPOINTING_MS)
    if value is not None and value < MIN_ENDPOINTING_MS:
        warnings.append(("endpointing", f"counts as {MIN_ENDPOINTING_MS} ms"))
        return MIN_ENDPOINTING_MS
    return value


def _sound(given: Given) -> Sound:
    encoding = given.first("encoding").lower()
    channels = given.whole("channels", 1, 8) or 1
    is_split = given.is_true("multichannel")
    if encoding not in _RAW:
        if is_split:
            raise refused("multichannel", "channels are kept apart only in raw samples: send linear16, mulaw or alaw")
        return Sound(_CODED.get(encoding, "audio"), channels=channels)
    name, size = _RAW[encoding]
    rate = given.whole("sample_rate", 8_000, 192_000) or (8_000 if size == 1 else None)
    if rate is None:
        raise refused("sample_rate", f"is needed with encoding={encoding}")
    per_stream = 1 if is_split else channels
    mime = f"audio/pcm;rate={rate};channels={per_stream};encoding={name}"
    return Sound(mime, channels if is_split else 1, channels, size)


def _split_ms(given: Given) -> int:
    text = given.first("utt_split", "0.8")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds <= 3600.0:
        raise refused("utt_split", "must be a number of seconds")
    return int(seconds * 1000)


class _Grant(msgspec.Struct):
    """What a client that asks for a token may say."""

    ttl_seconds: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 30.0


def grant_seconds(body: bytes) -> float:
    """How long a token is to be valid. Raises RefusedError."""
    try:
        return msgspec.json.decode(body or b"{}", type=_Grant).ttl_seconds
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise refused("ttl_seconds", "must be a number from 1 to 3600") from None


def url_refused() -> RefusedError:
    """The refusal of a recording that the gateway would have to fetch."""
    text = "the gateway fetches nothing from other servers: send the recording itself as the body"
    return RefusedError(Problem(Code.BAD_MESSAGE, text, field="url"))
