"""Media format names: turns a declared MIME type, with its parameters, into a `MediaFormat`.

Syntax as in RFC 9110, section 8.3.1, with `codecs` as in RFC 6381: names and parameters in any case, spaces anywhere
between the parts, values quoted or not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from talkup.v1 import media_pb2

from gateway.protocol.errors import Code, Problem

MIN_SAMPLE_RATE: Final = 8000
MAX_SAMPLE_RATE: Final = 48000
MAX_CHANNELS: Final = 8

_PCM_DEFAULT_RATE: Final = 16000
_NAME: Final = r"[A-Za-z0-9!#$&^_.+-]+"
_TYPE: Final = re.compile(rf"\s*({_NAME})\s*(?:/\s*({_NAME})\s*)?")
_PARAMETER: Final = re.compile(rf"\s*;\s*(?:({_NAME})\s*=\s*(?:\"([^\"\\]*)\"|'([^'\\]*)'|([^\s;\"']*))\s*)?")

_KINDS: Final[Mapping[str, media_pb2.MediaKind]] = {
    "audio": media_pb2.MEDIA_KIND_AUDIO,
    "video": media_pb2.MEDIA_KIND_VIDEO,
    "image": media_pb2.MEDIA_KIND_IMAGE,
}

_ALIASES: Final = {
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/x-flac": "audio/flac",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/x-pcm": "audio/pcm",
    "application/ogg": "audio/ogg",
    "image/jpg": "image/jpeg",
}

_PCM_ENCODINGS: Final[Mapping[str, tuple[str, media_pb2.PcmEncoding]]] = {
    "s16le": ("s16le", media_pb2.PCM_ENCODING_S16LE),
    "pcm_s16le": ("s16le", media_pb2.PCM_ENCODING_S16LE),
    "f32le": ("f32le", media_pb2.PCM_ENCODING_F32LE),
    "pcm_f32le": ("f32le", media_pb2.PCM_ENCODING_F32LE),
    "mulaw": ("mulaw", media_pb2.PCM_ENCODING_MULAW),
    "ulaw": ("mulaw", media_pb2.PCM_ENCODING_MULAW),
    "alaw": ("alaw", media_pb2.PCM_ENCODING_ALAW),
}


@dataclass(frozen=True, slots=True)
class _Known:
    """A supported format: its container and the `codecs` values (RFC 6381, by prefix) that it may declare."""

    container: media_pb2.Container
    codecs: tuple[str, ...] = ()


_KNOWN: Final[Mapping[str, _Known]] = {
    "audio/webm": _Known(media_pb2.CONTAINER_WEBM, ("opus", "pcm")),
    "audio/ogg": _Known(media_pb2.CONTAINER_OGG, ("opus",)),
    "audio/opus": _Known(media_pb2.CONTAINER_SNIFF, ("opus",)),
    "audio/mp4": _Known(media_pb2.CONTAINER_MP4, ("mp4a.", "opus")),
    "audio/mpeg": _Known(media_pb2.CONTAINER_MP3, ("mp3",)),
    "audio/wav": _Known(media_pb2.CONTAINER_WAV, ("1", "pcm")),
    "audio/flac": _Known(media_pb2.CONTAINER_FLAC, ("flac",)),
    "audio/pcm": _Known(media_pb2.CONTAINER_PCM),
    "video/webm": _Known(media_pb2.CONTAINER_WEBM, ("vp8", "vp9", "vp08", "vp09", "opus")),
    "video/mp4": _Known(media_pb2.CONTAINER_MP4, ("avc1", "avc3", "mp4a.", "opus")),
    "image/jpeg": _Known(media_pb2.CONTAINER_JPEG),
    "image/webp": _Known(media_pb2.CONTAINER_WEBP),
    "audio": _Known(media_pb2.CONTAINER_SNIFF),
    "video": _Known(media_pb2.CONTAINER_SNIFF),
    "image": _Known(media_pb2.CONTAINER_SNIFF),
}

SUPPORTED_FORMATS: Final = tuple(_KNOWN)


@dataclass(frozen=True, slots=True)
class MimeType:
    """A parsed MIME type: name and parameters in lower case."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_mime(text: str) -> MimeType | None:
    """Split `type/subtype; name=value...`; None if the syntax is invalid. Bare `audio` has no subtype."""
    head = _TYPE.match(text)
    if head is None:
        return None
    major, minor = head.group(1).lower(), head.group(2)
    position = head.end()
    parameters: dict[str, str] = {}
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            return None
        position = match.end()
        if match.group(1) is not None:
            value = next(group for group in match.group(2, 3, 4) if group is not None)
            parameters.setdefault(match.group(1).lower(), value.strip())
    return MimeType(f"{major}/{minor.lower()}" if minor else major, parameters)


def kind_of(mime: str) -> media_pb2.MediaKind:
    """The kind named by a MIME type's first part; UNSPECIFIED for anything else."""
    parsed = parse_mime(mime)
    if parsed is None:
        return media_pb2.MEDIA_KIND_UNSPECIFIED
    major = _ALIASES.get(parsed.name, parsed.name).partition("/")[0]
    return _KINDS.get(major, media_pb2.MEDIA_KIND_UNSPECIFIED)


def parse_format(
    mime: str, *, sample_rate: int | None = None, channels: int | None = None
) -> media_pb2.MediaFormat | Problem:
    """Parse the format that a client declares.

    `sample_rate` (Hz) and `channels` describe PCM if the MIME type does not; for other formats the container's header
    says. Anything that cannot be served is an `unsupported_format` problem that names the field.
    """
    parsed = parse_mime(mime)
    if parsed is None:
        return _unsupported("the format is not a MIME type")
    name = _ALIASES.get(parsed.name, parsed.name)
    known = _KNOWN.get(name)
    if known is None:
        return _unsupported(f"the format must be one of {', '.join(SUPPORTED_FORMATS)}")
    if known.container == media_pb2.CONTAINER_PCM:
        return _pcm(parsed.parameters, sample_rate, channels)
    codecs = [codec.strip().lower() for codec in parsed.parameters.get("codecs", "").split(",") if codec.strip()]
    if known.codecs and not all(codec.startswith(known.codecs) for codec in codecs):
        return _unsupported(f"{name} supports only the codecs {', '.join(known.codecs)}")
    suffix = f";codecs={','.join(codecs)}" if codecs and known.codecs else ""
    return media_pb2.MediaFormat(mime_type=name + suffix, container=known.container)


def _pcm(
    parameters: Mapping[str, str], sample_rate: int | None, channels: int | None
) -> media_pb2.MediaFormat | Problem:
    rate = _integer(parameters.get("rate"), sample_rate, _PCM_DEFAULT_RATE)
    count = _integer(parameters.get("channels"), channels, 1)
    encoding = _PCM_ENCODINGS.get(parameters.get("encoding", "s16le").lower())
    if rate is None or not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
        return _unsupported(f"the rate of audio/pcm must be a number from {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE}")
    if count is None or not 1 <= count <= MAX_CHANNELS:
        return _unsupported(f"the channels of audio/pcm must be a number from 1 to {MAX_CHANNELS}")
    if encoding is None:
        return _unsupported("the encoding of audio/pcm must be s16le, f32le, mulaw or alaw")
    if sample_rate not in (None, rate):
        return _unsupported("sample_rate contradicts the rate in format", "sample_rate")
    if channels not in (None, count):
        return _unsupported("channels contradicts the channels in format", "channels")
    label, value = encoding
    return media_pb2.MediaFormat(
        mime_type=f"audio/pcm;rate={rate};channels={count};encoding={label}",
        container=media_pb2.CONTAINER_PCM,
        pcm_encoding=value,
        sample_rate=rate,
        channels=count,
    )


def _integer(text: str | None, field_value: int | None, default: int) -> int | None:
    """The parameter if given, else the field, else the default; None for a parameter that is not a small number."""
    if text is None:
        return default if field_value is None else field_value
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


def _unsupported(message: str, field_name: str = "format") -> Problem:
    return Problem(Code.UNSUPPORTED_FORMAT, message, field=field_name)
