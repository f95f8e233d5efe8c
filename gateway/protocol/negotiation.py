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
_DELIVERY: Final = task_pb2.SERVICE_TYPE_DELIVERY

_SERVICES: Final[Mapping[str, task_pb2.ServiceType]] = {
    "stt": _STT,
    "speech_to_text": _STT,
    "vision": _VISION,
    "behavior_analyzer": _VISION,
    "emotion_analyzer": _VISION,
    "delivery": _DELIVERY,
    "verbal_analyzer": _DELIVERY,
    "verbal-analyzer": _DELIVERY,
    "va": _DELIVERY,
}
# TalkUp's service names that also select signals.
_SIGNAL_ALIASES: Final = frozenset({"behavior_analyzer", "emotion_analyzer"})
# Where one stream has vision and delivery, `signals` names those of both: these go to delivery, all others to vision.
_DELIVERY_SIGNALS: Final = frozenset({"pace", "pauses", "repeats", "filled_pauses", "loudness", "pitch"})

_KIND_NAMES: Final[Mapping[int, Kind]] = {
    int(media_pb2.MEDIA_KIND_AUDIO): "audio",
    int(media_pb2.MEDIA_KIND_VIDEO): "video",
    int(media_pb2.MEDIA_KIND_IMAGE): "image",
}
_ALLOWED: Final[Mapping[Kind, tuple[task_pb2.ServiceType, ...]]] = {
    "audio": (_STT, _DELIVERY),
    "video": (_VISION, _STT, _DELIVERY),
    "image": (_VISION,),
}
# What a service uses of a recording.
_WANTED: Final[Mapping[task_pb2.ServiceType, Medium]] = {
    _STT: Medium.SOUND,
    _VISION: Medium.PICTURES,
    _DELIVERY: Medium.SOUND,
}
_NAMES: Final[Mapping[task_pb2.ServiceType, Service]] = {_STT: "stt", _VISION: "vision", _DELIVERY: "delivery"}
_KIND_VALUES: Final = {
    "audio": media_pb2.MEDIA_KIND_AUDIO,
    "video": media_pb2.MEDIA_KIND_VIDEO,
    "image": media_pb2.MEDIA_KIND_IMAGE,
}


_MODES: Final = {"live": None, "file": transcript_pb2.SPEECH_MODE_FILE}


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """The terms of a stream. `packets`: it was started implicitly by a TalkUp packet.

    Each of `services` is one call to a worker. `delivery`: how something is said is measured, too, with speech in the
    same call, or alone. `started_at_ms`: time 0 of the media clock as the client gives it, UNIX ms.
    """

    stream_id: str
    kind: Kind
    format: media_pb2.MediaFormat
    services: tuple[task_pb2.ServiceType, ...]
    speech: transcript_pb2.SpeechOptions
    vision: analysis_pb2.VisionOptions
    tagged: bool
    packets: bool
    delivery: analysis_pb2.DeliveryOptions | None = None
    started_at_ms: int | None = None

    @property
    def media_kind(self) -> media_pb2.MediaKind:
        return _KIND_VALUES[self.kind]

    @property
    def service_names(self) -> list[Service]:
        """What the client gets: the services of all calls, and delivery if the speech call measures it."""
        names = [service_name(service) for service in self.services]
        return names if self.delivery is None or "delivery" in names else [*names, "delivery"]

    def measures_delivery(self, service: task_pb2.ServiceType) -> bool:
        """Whether the call of this service measures delivery."""
        return self.delivery is not None and service in (_STT, _DELIVERY)


def service_name(service: task_pb2.ServiceType) -> Service:
    """A service's name on the WebSocket."""
    return _NAMES[service]


def slot_name(service: task_pb2.ServiceType) -> Service:
    """The service whose slot a call takes: speech workers serve delivery, too."""
    return "stt" if service == _DELIVERY else service_name(service)


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
    has_delivery = _DELIVERY in services
    return StreamSpec(
        stream_id=stream_id,
        kind=kind,
        format=fmt,
        # Speech and delivery hear the same samples, in one call.
        services=tuple(each for each in services if each != _DELIVERY) if _STT in services else services,
        speech=_speech(start),
        vision=_vision(start, has_delivery=has_delivery),
        tagged=start.framing == "tagged",
        packets=packets,
        delivery=_delivery(start, has_vision=_VISION in services) if has_delivery else None,
        started_at_ms=start.started_at,
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


def _vision(start: StreamStart, *, has_delivery: bool) -> analysis_pb2.VisionOptions:
    aliases = [name for name in start.services or [] if name in _SIGNAL_ALIASES]
    named = [name for name in start.signals if not (has_delivery and name in _DELIVERY_SIGNALS)]
    return analysis_pb2.VisionOptions(
        signals=[*named, *aliases],
        expression=start.expression,
        max_fps=start.max_fps,
        every_frame=start.every_frame,
    )


def _delivery(start: StreamStart, *, has_vision: bool) -> analysis_pb2.DeliveryOptions:
    named = [name for name in start.signals if not has_vision or name in _DELIVERY_SIGNALS]
    return analysis_pb2.DeliveryOptions(signals=named)
