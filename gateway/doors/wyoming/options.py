"""What Wyoming's clients can ask for, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.doors.options import Given, Option, Treatment, refused, sort_options
from gateway.doors.session import new_stream_id
from gateway.protocol.messages import StreamStart

_S, _I = Treatment.SUPPORTED, Treatment.IGNORED
_MAX_HOTWORDS: Final = 100
_MAX_HOTWORD: Final = 64
_MIN_RATE: Final = 8_000
_MAX_RATE: Final = 192_000
_MAX_CHANNELS: Final = 8

OPTIONS: Final = (
    Option("language", _S, "BCP-47, default `auto`: decided on the first seconds"),
    Option("transcript_names", _S, "hot words; with `transcript_terms` at most 100 of 64 characters"),
    Option("transcript_terms", _S, "hot words, after the names"),
    Option("name", _I, "the workers' model transcribes; `info` names it"),
    Option("context", _I, "requests are independent of each other"),
    Option("vad_sensitivity", _I, "`audio-stop` ends a request"),
)
"""What `transcribe` can say; others are ignored. The log only counts ignored ones, since clients choose their names."""


class AudioFormat(Struct, frozen=True):
    """The sound of a request. `rate`: Hz; `width`: bytes of a sample."""

    rate: int
    width: int
    channels: int


class _Transcribe(Struct):
    language: str | None = None
    transcript_names: list[str] | None = None
    transcript_terms: list[str] | None = None


def wishes(data: Mapping[str, Any]) -> Given:
    """What a `transcribe` event asks for. Raises RefusedError."""
    try:
        asked = msgspec.convert(data, _Transcribe)
    except msgspec.ValidationError:
        text = "language must be a string, transcript_names and transcript_terms must be lists of strings"
        raise refused("transcribe", text) from None
    words = [("transcript_names", word) for word in asked.transcript_names or ()]
    words += [("transcript_terms", word) for word in asked.transcript_terms or ()]
    others = [(name, "given") for name, value in data.items() if name not in _Transcribe.__struct_fields__ and value]
    return sort_options(OPTIONS, [("language", asked.language or ""), *words, *others])


def audio_format(data: Mapping[str, Any]) -> AudioFormat:
    """The format that `audio-start` or `audio-chunk` names. Raises RefusedError."""
    try:
        found = msgspec.convert(data, AudioFormat)
    except msgspec.ValidationError:
        raise refused("rate, width, channels", "must be whole numbers") from None
    if found.width != 2:
        raise refused("width", "samples have 2 bytes: send signed 16-bit samples, little-endian")
    if not _MIN_RATE <= found.rate <= _MAX_RATE:
        raise refused("rate", f"must be from {_MIN_RATE} to {_MAX_RATE}")
    if not 1 <= found.channels <= _MAX_CHANNELS:
        raise refused("channels", f"must be from 1 to {_MAX_CHANNELS}")
    return found


def stream_start(given: Given, sound: AudioFormat) -> StreamStart:
    """The stream of a request. Raises RefusedError."""
    hotwords: Sequence[str] = [*given.values.get("transcript_names", ()), *given.values.get("transcript_terms", ())]
    if len(hotwords) > _MAX_HOTWORDS or any(len(word) > _MAX_HOTWORD for word in hotwords):
        raise refused("transcript_names", f"at most {_MAX_HOTWORDS} words of {_MAX_HOTWORD} characters each")
    return StreamStart(
        stream_id=new_stream_id("wyoming"),
        kind="audio",
        format=f"audio/pcm;rate={sound.rate};channels={sound.channels};encoding=s16le",
        services=["stt"],
        language=given.first("language", "auto"),
        interim_results=False,
        hotwords=list(hotwords),
    )
