"""The options of an upload: what the gateway makes of each, and the stream that they ask for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.doors.openai.languages import code_of
from gateway.doors.options import Given, Option, Treatment, refused, sort_options
from gateway.doors.session import new_stream_id
from gateway.protocol.messages import StreamStart

_S, _I, _R = Treatment.SUPPORTED, Treatment.IGNORED, Treatment.REFUSED
_SPEAKERS: Final = "speakers are not distinguished"

MAX_PROMPT: Final = 1000
MAX_HOTWORDS: Final = 100
MAX_HOTWORD: Final = 64
MAX_LANGUAGES: Final = 10

AUDIO_OPTIONS: Final = (
    Option("file", _S, "any recording that the product decodes, whatever its name"),
    Option("model", _R, _SPEAKERS, ("*diarize*",)),
    Option("model", _I, "the workers' model transcribes; `GET /v1/models` names it"),
    Option("language", _S, "ISO 639-1, BCP-47 or an English name; default: decided on the first seconds"),
    Option("languages", _S, "the languages to decide among, at most 10"),
    Option("prompt", _S, f"text before the recording; its last {MAX_PROMPT} characters count"),
    Option("keywords", _S, f"hot words, at most {MAX_HOTWORDS} of {MAX_HOTWORD} characters"),
    Option("response_format", _S, "default `json`", ("json", "text", "srt", "verbose_json", "vtt")),
    Option("response_format", _R, _SPEAKERS, ("diarized_json",)),
    Option("response_format", _R, "must be json, text, srt, verbose_json or vtt"),
    Option("timestamp_granularities", _S, "with `verbose_json`; default `segment`", ("word", "segment")),
    Option("timestamp_granularities", _R, "must be word or segment"),
    Option("stream", _S, "server-sent events, with `json` and `text`", ("true", "false", "1", "0")),
    Option("stream", _R, "must be true or false"),
    Option("temperature", _S, "as always here: 0, and higher if a window needs it", ("0", "0.0")),
    Option("temperature", _I, "0, and higher if a window needs it"),
    Option("chunking_strategy", _S, "the worker cuts at silence", ("auto",)),
    Option("chunking_strategy", _I, "the worker cuts at silence, by its own settings"),
    Option("include", _R, "probabilities of tokens are not known: words have confidences"),
    Option("known_speaker_names", _R, _SPEAKERS),
    Option("known_speaker_references", _R, _SPEAKERS),
    Option("user", _I, "there is no usage reporting"),
)
"""The options of the form; names without the `[]` and `[key]` of lists and objects."""

LATE: Final = frozenset({"model", "response_format", "timestamp_granularities", "stream", "temperature", "user"})
"""Options that shape the answer only, or nothing: they may follow a file whose transcription has begun."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """A client's wishes, understood. `warnings`: an ignored option and why."""

    start: StreamStart
    warnings: Sequence[tuple[str, str]]
    response_format: str = "json"
    granularities: Sequence[str] = ("segment",)
    is_streamed: bool = False


def recorded(fields: Iterable[tuple[str, str]]) -> Wishes:
    """The wishes of a form. Raises RefusedError."""
    given = sort_options(AUDIO_OPTIONS, ((name.partition("[")[0], value) for name, value in fields))
    warnings = list(given.ignored)
    response_format = given.first("response_format", "json").lower()
    granularities = [value.lower() for value in given.values.get("timestamp_granularities", ())]
    if granularities and response_format != "verbose_json":
        raise refused("timestamp_granularities", "needs response_format=verbose_json")
    is_streamed = given.is_true("stream")
    if is_streamed and response_format not in ("json", "text"):
        raise refused("stream", "needs response_format json or text")
    language, languages = languages_of(given.first("language"), given.values.get("languages", ()))
    start = StreamStart(
        stream_id=new_stream_id("openai"),
        kind="audio",
        format="audio",
        services=["stt"],
        mode="file",
        interim_results=False,
        language=language,
        languages=languages,
        hotwords=hotwords_of("keywords", given.values.get("keywords", ())),
        initial_prompt=_prompt(given, warnings),
    )
    return Wishes(start, warnings, response_format, granularities or ("segment",), is_streamed)


def languages_of(language: str, languages: Sequence[str]) -> tuple[str, list[str]]:
    """The language of a stream and those to decide among. Raises RefusedError."""
    if len(languages) > MAX_LANGUAGES:
        raise refused("languages", f"at most {MAX_LANGUAGES} languages")
    return code_of(language) if language else "auto", [code_of(each) for each in languages]


def hotwords_of(name: str, words: Sequence[str]) -> list[str]:
    """Hot words. Raises RefusedError."""
    if len(words) > MAX_HOTWORDS or any(not 0 < len(word) <= MAX_HOTWORD for word in words):
        raise refused(name, f"at most {MAX_HOTWORDS} of {MAX_HOTWORD} characters each")
    return list(words)


def _prompt(given: Given, warnings: list[tuple[str, str]]) -> str:
    prompt = given.first("prompt")
    if len(prompt) > MAX_PROMPT:
        warnings.append(("prompt", f"only its last {MAX_PROMPT} characters count"))
    return prompt[-MAX_PROMPT:]
