"""Codec names: which values of `codecs` (RFC 6381) the workers decode, in which container, and what else to record."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from talkup.v1 import media_pb2

_WEBM: Final = media_pb2.CONTAINER_WEBM
_MP4: Final = media_pb2.CONTAINER_MP4
_SNIFF: Final = media_pb2.CONTAINER_SNIFF


class Medium(Enum):
    """What a track holds."""

    SOUND = "audio"
    PICTURES = "video"


@dataclass(frozen=True, slots=True)
class CodecName:
    """A codec under the name that people know, with the containers in which the workers decode it (none: nowhere)."""

    label: str
    medium: Medium
    containers: frozenset[media_pb2.Container]


def _sound(label: str, *containers: media_pb2.Container) -> CodecName:
    return CodecName(label, Medium.SOUND, frozenset(containers))


def _pictures(label: str, *containers: media_pb2.Container) -> CodecName:
    return CodecName(label, Medium.PICTURES, frozenset(containers))


_OPUS: Final = _sound("Opus", _WEBM, _MP4, media_pb2.CONTAINER_OGG, _SNIFF)
_AAC: Final = _sound("AAC", _WEBM, _MP4, media_pb2.CONTAINER_ADTS, _SNIFF)
_MP3: Final = _sound("MP3", _WEBM, _MP4, media_pb2.CONTAINER_MP3, _SNIFF)
_FLAC: Final = _sound("FLAC", _WEBM, _MP4, media_pb2.CONTAINER_OGG, media_pb2.CONTAINER_FLAC, _SNIFF)
_PCM: Final = _sound("PCM", _WEBM, _MP4, media_pb2.CONTAINER_WAV, _SNIFF)
_AMR: Final = _sound("AMR", _MP4, media_pb2.CONTAINER_AMR, _SNIFF)
_ALAC: Final = _sound("ALAC", _WEBM, _MP4, _SNIFF)
_VP8: Final = _pictures("VP8", _WEBM, _MP4, _SNIFF)
_VP9: Final = _pictures("VP9", _WEBM, _MP4, _SNIFF)
_H264: Final = _pictures("H.264", _WEBM, _MP4, _SNIFF)
_AC3: Final = _sound("AC-3")
_VORBIS: Final = _sound("Vorbis", _WEBM, media_pb2.CONTAINER_OGG, _SNIFF)
_AV1: Final = _pictures("AV1")
_HEVC: Final = _pictures("HEVC (H.265)")

# By the whole name, by its first two parts, or by its first part, in lower case. A WAV is named after its format tag.
_CODECS: Final[Mapping[str, CodecName]] = {
    "opus": _OPUS,
    "aac": _AAC,
    "mp4a": _AAC,
    "mp3": _MP3,
    "mp4a.69": _MP3,
    "mp4a.6b": _MP3,
    "flac": _FLAC,
    "pcm": _PCM,
    "1": _PCM,
    "3": _PCM,
    "6": _PCM,
    "7": _PCM,
    "fffe": _PCM,
    "vorbis": _VORBIS,
    "ac-3": _AC3,
    "mp4a.a5": _AC3,
    "ec-3": _AC3,
    "mp4a.a6": _AC3,
    "alac": _ALAC,
    "samr": _AMR,
    "sawb": _AMR,
    "vp8": _VP8,
    "vp08": _VP8,
    "vp9": _VP9,
    "vp09": _VP9,
    "h264": _H264,
    "h.264": _H264,
    "avc": _H264,
    "avc1": _H264,
    "avc3": _H264,
    "av1": _AV1,
    "av01": _AV1,
    "hevc": _HEVC,
    "h265": _HEVC,
    "h.265": _HEVC,
    "hvc1": _HEVC,
    "hev1": _HEVC,
    "dvh1": _HEVC,
    "dvhe": _HEVC,
    "vvc1": _pictures("VVC (H.266)"),
    "mp4v": _pictures("MPEG-4 Part 2"),
    "speex": _sound("Speex"),
    "theora": _pictures("Theora"),
}
_INSTEAD: Final[Mapping[Medium, str]] = {
    Medium.SOUND: "audio/webm;codecs=opus or audio/mp4;codecs=mp4a.40.2 (AAC)",
    Medium.PICTURES: "video/webm;codecs=vp8,opus or video/mp4;codecs=avc1 (H.264)",
}
_NOT_NEEDED: Final[Mapping[Medium, str]] = {
    Medium.SOUND: 'with services ["vision"] alone, its pictures are taken',
    Medium.PICTURES: 'with services ["stt"] alone, its sound is taken',
}


def codec_named(name: str) -> CodecName | None:
    """The codec of one element of `codecs`, in lower case; None if the name is not known."""
    parts = name.split(".")
    return _CODECS.get(name) or _CODECS.get(".".join(parts[:2])) or _CODECS.get(parts[0])


def refusal_of(codecs: Collection[str], container: media_pb2.Container, wanted: Collection[Medium]) -> str | None:
    """Why a recording with these codecs cannot be served, in words for the client; None if it can.

    A codec that is not decoded only matters if its medium is `wanted`: the sound of an AV1 recording can be heard.
    """
    for name in codecs:
        codec = codec_named(name)
        if codec is None:
            readable = dict.fromkeys(known.label for known in _CODECS.values() if container in known.containers)
            return f"a codec of this format is not known; decoded are {', '.join(readable)}"
        if container in codec.containers:
            continue
        if not _holds(container, codec.medium):
            return f"a recording of this format holds no {codec.medium.value}"
        if codec.medium in wanted:
            where = "in this format" if codec.containers else "here"
            advice = f"ask the recorder for {_INSTEAD[codec.medium]}"
            rest = f"; {_NOT_NEEDED[codec.medium]}" if _has_another(codecs, container, codec.medium) else ""
            return f"the {codec.medium.value} codec {codec.label} is not decoded {where}: {advice}{rest}"
    return None


def _has_another(codecs: Collection[str], container: media_pb2.Container, medium: Medium) -> bool:
    """Whether a codec of the other medium is named and decoded."""
    named = [codec_named(name) for name in codecs]
    return any(codec and codec.medium is not medium and container in codec.containers for codec in named)


def _holds(container: media_pb2.Container, medium: Medium) -> bool:
    """Whether recordings in this container have tracks of this kind that are decoded at all."""
    return any(codec.medium is medium and container in codec.containers for codec in _CODECS.values())
