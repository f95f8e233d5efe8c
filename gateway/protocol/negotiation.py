"""Negotiates a `stream_start`: kind, format, services and options, with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from talkup.v1 import analysis_pb2, media_pb2, task_pb2, transcript_pb2

from gateway.protocol.codecs import Medium
from gateway.protocol.errors import Code, Problem
from gateway.protocol.formats import kind_of, parse_format
from gateway.protocol.messages import Kind, Service, StreamStart

_STT: Final = task_pb2.SERVICE_TYPE_STT
_VISION: Final = task_pb2.SERVICE_TYPE_VISION

_SERVICES: Final[Mapping[str, task_pb2.ServiceType]] = {
    "stt": _STT,
    "speech_to_text": _STT,
    "vision": _VISION,
    "behavior_analyzer": _VISION,
    "emotion_analyzer": _VISION,
}
# TalkUp's service names that also select signals.
_SIGNAL_ALIASES: Final = frozenset({"behavior_analyzer", "emotion_analyzer"})

_KIND_NAMES: Final[Mapping[int, Kind]] = {
    int(media_pb2.MEDIA_KIND_AUDIO): "audio",
    int(media_pb2.MEDIA_KIND_VIDEO): "video",
    int(media_pb2.MEDIA_KIND_IMAGE): "image",
}
_ALLOWED: Final[Mapping[Kind, tuple[task_pb2.ServiceType, ...]]] = {
    "audio": (_STT,),
    "video": (_VISION, _STT),
    "image": (_VISION,),
}
# What a service uses of a recording.
_WANTED: Final[Mapping[task_pb2.ServiceType, Medium]] = {_STT: Medium.SOUND, _VISION: Medium.PICTURES}
_KIND_VALUES: Final = {
    "audio": media_pb2.MEDIA_KIND_AUDIO,
    "video": media_pb2.MEDIA_KIND_VIDEO,
    "image": media_pb2.MEDIA_KIND_IMAGE,
}


_MODES: Final = {"live": None, "file": transcript_pb2.SPEECH_MODE_FILE}


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """The terms of a stream. `packets`: it was started implicitly by a TalkUp packet."""

    stream_id: str
    kind: Kind
    format: media_pb2.MediaFormat
    services: tuple[task_pb2.ServiceType, ...]
    speech: transcript_pb2.SpeechOptions
    vision: analysis_pb2.VisionOptions
    tagged: bool
    packets: bool

    @property
    def media_kind(self) -> media_pb2.MediaKind:
        return _KIND_VALUES[self.kind]


def service_name(service: task_pb2.ServiceType) -> Service:
    """A service's name on the WebSocket."""
    return "vision" if service == _VISION else "stt"


def negotiate(start: StreamStart, stream_id: str, *, packets: bool = False) -> StreamSpec | Problem:
    """Determine a stream's terms, or the field that prevents it."""
    mime = start.format or start.kind
    if mime is None:
        return Problem(Code.BAD_MESSAGE, "format: a MIME type is required", field="format")
    named = _KIND_NAMES.get(int(kind_of(mime)))
    kind = start.kind or named
    services = () if kind is None else _services(start, kind)
    wanted = () if isinstance(services, Problem) else [_WANTED[service] for service in services]
    fmt = parse_format(mime, sample_rate=start.sample_rate, channels=start.channels, wanted=wanted)
    if isinstance(fmt, Problem):
        return fmt
    # The sound of a video recording may be sent as audio; no other change of kind is allowed.
    if kind is None or (kind != named and not (kind == "audio" and named == "video")):
        return Problem(Code.BAD_MESSAGE, f"kind: {kind} contradicts the format", field="kind")
    if isinstance(services, Problem):
        return services
    return StreamSpec(
        stream_id=stream_id,
        kind=kind,
        format=fmt,
        services=services,
        speech=_speech(start),
        vision=_vision(start),
        tagged=start.framing == "tagged",
        packets=packets,
    )


def _services(start: StreamStart, kind: Kind) -> tuple[task_pb2.ServiceType, ...] | Problem:
    allowed = _ALLOWED[kind]
    if start.services is None:
        return allowed[:1]
    chosen: list[task_pb2.ServiceType] = []
    for name in start.services:
        service = _SERVICES.get(name)
        if service is None:
            return Problem(Code.BAD_MESSAGE, f"services: each must be one of {', '.join(_SERVICES)}", field="services")
        if service not in allowed:
            message = f"services: {service_name(service)} cannot process {kind}"
            return Problem(Code.BAD_MESSAGE, message, field="services")
        if service not in chosen:
            chosen.append(service)
    return tuple(chosen)


def _speech(start: StreamStart) -> transcript_pb2.SpeechOptions:
    return transcript_pb2.SpeechOptions(
        language=start.language,
        languages=start.languages,
        mode=_MODES[start.mode],
        interim_results=start.interim_results,
        word_timestamps=start.word_timestamps,
        hotwords=start.hotwords,
        initial_prompt=start.initial_prompt,
        endpointing_ms=start.endpointing_ms,
    )


def _vision(start: StreamStart) -> analysis_pb2.VisionOptions:
    aliases = [name for name in start.services or [] if name in _SIGNAL_ALIASES]
    return analysis_pb2.VisionOptions(
        signals=[*start.signals, *aliases],
        expression=start.expression,
        max_fps=start.max_fps,
        every_frame=start.every_frame,
    )
