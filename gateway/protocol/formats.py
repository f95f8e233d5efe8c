"""Media format names: turns a declared MIME type, with its parameters, into a `MediaFormat`.

Syntax as in RFC 9110, section 8.3.1, with `codecs` as in RFC 6381: names and parameters in any case, spaces anywhere
between the parts, values quoted or not. `codecs.py` knows the codecs, `pcm.py` headerless samples.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from talkup.v1 import media_pb2

from gateway.protocol.codecs import Medium, refusal_of
from gateway.protocol.errors import Code, Problem
from gateway.protocol.pcm import PCM_NAMES, parse_pcm

_NAME: Final = r"[A-Za-z0-9!#$&^_.+-]+"
_TYPE: Final = re.compile(rf"\s*({_NAME})\s*(?:/\s*({_NAME})\s*)?")
_PARAMETER: Final = re.compile(rf"\s*;\s*(?:({_NAME})\s*=\s*(?:\"([^\"\\]*)\"|'([^'\\]*)'|([^;\"']*))\s*)?")

_KINDS: Final[Mapping[str, media_pb2.MediaKind]] = {
    "audio": media_pb2.MEDIA_KIND_AUDIO,
    "video": media_pb2.MEDIA_KIND_VIDEO,
    "image": media_pb2.MEDIA_KIND_IMAGE,
}

ALIASES: Final[Mapping[str, str]] = {
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "audio/mp2": "audio/mpeg",
    "audio/aacp": "audio/aac",
    "audio/vorbis": "audio/ogg",
    "audio/x-aac": "audio/aac",
    "audio/x-hx-aac-adts": "audio/aac",
    "audio/x-aiff": "audio/aiff",
    "audio/amr-wb": "audio/amr",
    "audio/3gp": "audio/3gpp",
    "video/3gp": "video/3gpp",
    "video/3gpp2": "video/3gpp",
    "audio/x-mp3": "audio/mpeg",
    "audio/x-flac": "audio/flac",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "video/x-m4v": "video/mp4",
    "audio/matroska": "audio/x-matroska",
    "video/matroska": "video/x-matroska",
    "audio/x-pcm": "audio/pcm",
    "audio/x-l16": "audio/l16",
    "audio/mulaw": "audio/pcmu",
    "audio/x-mulaw": "audio/pcmu",
    "audio/ulaw": "audio/pcmu",
    "audio/x-ulaw": "audio/pcmu",
    "audio/alaw": "audio/pcma",
    "audio/x-alaw": "audio/pcma",
    "application/ogg": "audio/ogg",
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
}

_CONTAINERS: Final[Mapping[str, media_pb2.Container]] = {
    "audio/webm": media_pb2.CONTAINER_WEBM,
    "audio/x-matroska": media_pb2.CONTAINER_WEBM,
    "audio/ogg": media_pb2.CONTAINER_OGG,
    "audio/opus": media_pb2.CONTAINER_SNIFF,
    "audio/mp4": media_pb2.CONTAINER_MP4,
    "audio/mpeg": media_pb2.CONTAINER_MP3,
    "audio/wav": media_pb2.CONTAINER_WAV,
    "audio/flac": media_pb2.CONTAINER_FLAC,
    "audio/aac": media_pb2.CONTAINER_ADTS,
    "audio/aiff": media_pb2.CONTAINER_AIFF,
    "audio/x-caf": media_pb2.CONTAINER_CAF,
    "audio/amr": media_pb2.CONTAINER_AMR,
    "audio/3gpp": media_pb2.CONTAINER_SNIFF,
    **dict.fromkeys(PCM_NAMES, media_pb2.CONTAINER_PCM),
    "video/webm": media_pb2.CONTAINER_WEBM,
    "video/x-matroska": media_pb2.CONTAINER_WEBM,
    "video/mp4": media_pb2.CONTAINER_MP4,
    "video/quicktime": media_pb2.CONTAINER_MP4,
    "video/3gpp": media_pb2.CONTAINER_MP4,
    "image/jpeg": media_pb2.CONTAINER_JPEG,
    "image/png": media_pb2.CONTAINER_PNG,
    "image/webp": media_pb2.CONTAINER_WEBP,
    "audio": media_pb2.CONTAINER_SNIFF,
    "video": media_pb2.CONTAINER_SNIFF,
    "image": media_pb2.CONTAINER_SNIFF,
}
SUPPORTED_FORMATS: Final = tuple(_CONTAINERS)

_IMAGES: Final = frozenset({media_pb2.CONTAINER_JPEG, media_pb2.CONTAINER_PNG, media_pb2.CONTAINER_WEBP})
_BARE: Final = frozenset(_KINDS)

_BARE_VIDEO: Final = "video without a container is not read: put it into fragmented MP4 or WebM"
_PICTURE: Final = "send image/jpeg, image/png or image/webp"
# What to send instead of a name that recorders give but the workers cannot read.
_INSTEAD: Final[Mapping[str, str]] = {
    "audio/mp4a-latm": "AAC in LATM packets is not read: send audio/aac (ADTS) or audio/mp4",
    "audio/l8": "only 16-bit samples are read: send audio/l16 or audio/pcm",
    "audio/l20": "only 16-bit samples are read: send audio/l16 or audio/pcm",
    "audio/l24": "only 16-bit samples are read: send audio/l16 or audio/pcm",
    "audio/speex": "Speex is not decoded: ask the recorder for audio/ogg;codecs=opus",
    "audio/x-ms-wma": "Windows Media is not read: convert the recording to WAV or M4A",
    "video/x-ms-wmv": "Windows Media is not read: convert the recording to MP4",
    "video/x-msvideo": "AVI is not read: convert the recording to MP4",
    "audio/x-raw": "name the samples as audio/pcm;rate=…;channels=…;encoding=s16le",
    "video/mp2t": "MPEG-TS is not read: send fragmented MP4 (video/mp4)",
    "video/h264": _BARE_VIDEO,
    "video/h265": _BARE_VIDEO,
    "video/vp8": _BARE_VIDEO,
    "video/vp9": _BARE_VIDEO,
    "video/av1": _BARE_VIDEO,
    **dict.fromkeys(("image/heic", "image/heif"), f"HEIC is not read: {_PICTURE}"),
    "image/avif": f"AVIF is not read: {_PICTURE}",
    "image/gif": f"GIF is not read: {_PICTURE}",
    **dict.fromkeys(("image/bmp", "image/x-ms-bmp"), f"BMP is not read: {_PICTURE}"),
    "image/tiff": f"TIFF is not read: {_PICTURE}",
}


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
    major = ALIASES.get(parsed.name, parsed.name).partition("/")[0]
    return _KINDS.get(major, media_pb2.MEDIA_KIND_UNSPECIFIED)


def parse_format(
    mime: str,
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    wanted: Collection[Medium] = tuple(Medium),
) -> media_pb2.MediaFormat | Problem:
    """Parse the format that a client declares.

    `sample_rate` (Hz) and `channels` describe PCM if the MIME type does not; for other formats the container's header
    says.
    `wanted`: what the stream's services use of the recording; the codec of anything else does not matter.
    Anything that cannot be served is an `unsupported_format` problem that names the field.
    """
    parsed = parse_mime(mime)
    if parsed is None:
        return _unsupported("the format is not a MIME type")
    name = ALIASES.get(parsed.name, parsed.name)
    container = _CONTAINERS.get(name)
    if container is None:
        return _unsupported(_INSTEAD.get(name) or f"the format must be one of {', '.join(SUPPORTED_FORMATS)}")
    if container == media_pb2.CONTAINER_PCM:
        return parse_pcm(name, parsed.parameters, sample_rate, channels)
    if container in _IMAGES:
        return media_pb2.MediaFormat(mime_type=name, container=container)
    codecs = [codec.strip().lower() for codec in parsed.parameters.get("codecs", "").split(",") if codec.strip()]
    # Bare packets are Opus; whatever else has this name is Ogg or WebM with Opus in it.
    refused = refusal_of(codecs, media_pb2.CONTAINER_OGG if name == "audio/opus" else container, wanted)
    if refused is not None:
        return _unsupported(refused)
    suffix = f";codecs={','.join(codecs)}" if codecs and name not in _BARE else ""
    return media_pb2.MediaFormat(mime_type=name + suffix, container=container)


def _unsupported(message: str) -> Problem:
    return Problem(Code.UNSUPPORTED_FORMAT, message, field="format")
