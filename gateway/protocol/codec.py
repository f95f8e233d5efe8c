"""Decoding and encoding of WebSocket frames: frames become messages in normal form, and messages become text.

Every notation that clients use is normalised here and nowhere else: type-specific fields at the top level or inside
`data`, aliases, four places for a payload, timestamps in seconds, milliseconds or ISO 8601.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from gateway.protocol import messages, version
from gateway.protocol.base64_text import Base64Error, decode_base64
from gateway.protocol.errors import Code, Problem
from gateway.protocol.json_text import JsonBounds, is_deeper, read_object, type_of
from gateway.protocol.plain_chunk import PlainChunk, PlainPacket, decode_plain

# A number from here on is in milliseconds: as seconds it would be beyond the year 5000.
_MILLISECONDS_FROM: Final = 1e11
_MEDIA: Final = frozenset({"stream_chunk", "audio", "video", "image"})
_MAX_TIMESTAMP_MS: Final = 2**53
_MAX_ECHO_DEPTH: Final = 32
_BYTE_ORDER_MARK: Final = "\ufeff".encode()
_BOUNDS: Final = JsonBounds()
_TAG: Final = struct.Struct(">BBHI")
_TAG_MAGIC: Final = 0x54
_TAG_VERSION: Final = 0x01
_ERROR_PATH: Final = re.compile(r"`\$\.([A-Za-z_]+)")
_MISSING_FIELD: Final = re.compile(r"missing required field `([A-Za-z_]+)`")

_M = TypeVar("_M", bound=messages.ClientBase)


@dataclass(frozen=True, slots=True)
class TaggedFrame:
    """A binary frame that names its stream by handle."""

    handle: int
    sequence: int
    payload: bytes


class _RefusedError(Exception):
    """Carries a problem from deep inside a message to `decode_text`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class _Raw:
    """A decoded JSON object: its top level and, if `data` is an object, its contents."""

    top: Mapping[str, Any]
    inner: Mapping[str, Any]
    timestamp_ms: int | None
    max_chunk_bytes: int

    def find(self, *names: str) -> tuple[str, Any]:
        """Path and value of the first of these names that is present and not null, top level first."""
        for name in names:
            if self.top.get(name) is not None:
                return name, self.top[name]
            if self.inner.get(name) is not None:
                return f"data.{name}", self.inner[name]
        return names[0], None


def decode_text(text: str, *, max_chunk_bytes: int, bounds: JsonBounds = _BOUNDS) -> messages.ClientMessage | Problem:
    """Decode a text frame; whatever it contains, the result is a message or a Problem."""
    if (plain := decode_plain(text)) is not None and len(plain.payload) <= max_chunk_bytes:
        try:
            return _normal_form(plain)
        except _RefusedError:
            plain = None  # what follows says more about the error
    top = read_object(text, bounds, _MEDIA)
    if isinstance(top, Problem):
        return top
    try:
        return _decode_object(top, max_chunk_bytes)
    except _RefusedError as refusal:
        return replace(refusal.problem, stream_id=_named_stream(top))


def message_in_binary(frame: bytes) -> str | None:
    """The text of a message that was sent as a binary frame; None for anything else.

    Only a whole JSON object whose `type` is a client's message is one, so that no media is taken for a message.
    """
    frame = frame.removeprefix(_BYTE_ORDER_MARK)
    if not frame[:16].lstrip().startswith(b"{") or type_of(frame) not in _READERS:
        return None
    try:
        return frame.decode()
    except UnicodeError:
        return None


def decode_tagged(frame: bytes) -> TaggedFrame | None:
    """Decode a tagged binary frame with its 8-byte header; None if there is no such header."""
    if len(frame) < _TAG.size:
        return None
    magic, header_version, handle, sequence = _TAG.unpack_from(frame)
    if (magic, header_version) != (_TAG_MAGIC, _TAG_VERSION):
        return None
    return TaggedFrame(handle, sequence, frame[_TAG.size :])


def encode_tagged(handle: int, sequence: int, payload: bytes) -> bytes:
    """Encode a tagged binary frame; `handle` has 16 bits, `sequence` 32."""
    return _TAG.pack(_TAG_MAGIC, _TAG_VERSION, handle, sequence) + payload


def encode(message: messages.ServerMessage, now: float) -> bytes:
    """Encode a message, stamped with `now` (UNIX seconds)."""
    return msgspec.json.encode(msgspec.structs.replace(message, timestamp=int(now)))


def _normal_form(plain: PlainChunk | PlainPacket) -> messages.ClientMessage:
    timestamp_ms = None if plain.timestamp is None else _capture_ms("timestamp", plain.timestamp)
    match plain:
        case PlainChunk(payload=payload, stream_id=stream_id, sequence=sequence):
            return messages.StreamChunk(
                timestamp_ms=timestamp_ms, stream_id=stream_id, sequence=sequence, payload=payload
            )
        case PlainPacket(payload=payload, sequence=sequence, format=mime):
            return messages.MediaPacket(timestamp_ms=timestamp_ms, sequence=sequence, format=mime, payload=payload)


def _named_stream(top: Mapping[str, Any]) -> str | None:
    """The stream that a refused message concerns, if it names one correctly."""
    data = top.get("data")
    named = top.get("stream_id") or (data.get("stream_id") if isinstance(data, dict) else None)
    try:
        return msgspec.convert(named, messages.StreamId)
    except msgspec.ValidationError:
        return None


def _decode_object(top: Mapping[str, Any], max_chunk_bytes: int) -> messages.ClientMessage:
    data = top.get("data")
    inner = data if isinstance(data, dict) else {}
    declared = top.get("protocol_version", inner.get("protocol_version"))
    if declared is not None:
        _check_version(declared)
    type_name = top.get("type")
    if not isinstance(type_name, str):
        raise _refused(Code.BAD_MESSAGE, "type: a string is required", "type")
    reader = _READERS.get(type_name)
    if reader is None:
        raise _refused(Code.UNKNOWN_TYPE, f"type: must be one of {', '.join(_READERS)}", "type")
    path, value = "timestamp", top.get("timestamp")
    if value is None and inner.get("timestamp") is not None:
        path, value = "data.timestamp", inner["timestamp"]
    timestamp_ms = _capture_ms(path, value) if type_name in _MEDIA else _timestamp_ms(path, value)
    return reader(_Raw(top, inner, timestamp_ms, max_chunk_bytes))


def _check_version(declared: object) -> None:
    if isinstance(declared, bool) or not isinstance(declared, str | int | float):
        raise _refused(Code.BAD_MESSAGE, "protocol_version: a string such as 1.0 is required", "protocol_version")
    try:
        supported = version.is_supported(str(declared))
    except version.MalformedVersionError:
        message = "protocol_version: is not a version number such as 1.0"
        raise _refused(Code.BAD_MESSAGE, message, "protocol_version") from None
    if not supported:
        names = ", ".join(version.SUPPORTED_VERSIONS)
        raise _refused(Code.UNSUPPORTED_VERSION, f"protocol_version: is not supported; use {names}", "protocol_version")


def _timestamp_ms(path: str, value: object) -> int | None:
    """Convert a timestamp in any of its three forms to UNIX milliseconds."""
    match value:
        case None:
            return None
        case bool():
            milliseconds = None
        case int() | float():
            milliseconds = int(value if abs(value) >= _MILLISECONDS_FROM else value * 1000)
        case str():
            milliseconds = _iso_ms(value)
        case _:
            milliseconds = None
    if milliseconds is None or abs(milliseconds) > _MAX_TIMESTAMP_MS:
        raise _refused(Code.BAD_MESSAGE, f"{path}: must be UNIX seconds, UNIX milliseconds or ISO 8601", path)
    return milliseconds


def _capture_ms(path: str, value: object) -> int | None:
    """UNIX milliseconds of a chunk's timestamp; None for whole seconds, which are too coarse for a picture."""
    timestamp_ms = _timestamp_ms(path, value)
    return None if timestamp_ms is None or _is_whole_seconds(value, timestamp_ms) else timestamp_ms


def _is_whole_seconds(value: object, timestamp_ms: int) -> bool:
    """Whether a timestamp is precise to the second only."""
    in_milliseconds = isinstance(value, int | float) and abs(value) >= _MILLISECONDS_FROM
    return not in_milliseconds and timestamp_ms % 1000 == 0


def _iso_ms(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _convert(raw: _Raw, type_: type[_M], values: Mapping[str, tuple[str, Any]]) -> _M:
    """Validate values, each with the path it came from, against the message class."""
    given = {name: value for name, (_, value) in values.items() if value is not None}
    try:
        return msgspec.convert({**given, "timestamp": raw.timestamp_ms}, type_)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _ERROR_PATH.search(text) or _MISSING_FIELD.search(text)
        name = found.group(1) if found else ""
        path = values[name][0] if name in values else name
        raise _refused(Code.BAD_MESSAGE, f"{path}: {_reason(text)}", path) from None


def start_problem(start: messages.StreamStart) -> Problem | None:
    """Why a message that was built, not decoded, breaks the rules of its fields; None: it does not."""
    try:
        msgspec.convert(msgspec.to_builtins(start), messages.StreamStart)
    except msgspec.ValidationError as error:
        found = _ERROR_PATH.search(str(error))
        name = found.group(1) if found else ""
        return Problem(Code.BAD_MESSAGE, f"{name}: {_reason(str(error))}", field=name)
    return None


def _reason(text: str) -> str:
    """The text of a validation error without the value, and with words for a regular expression."""
    reason = text.partition(" - at ")[0]
    if "missing required field" in reason:
        return "is required"
    if reason.startswith("Invalid enum value"):
        return "is not one of the allowed values"
    pattern = reason.partition(" matching regex ")[2]
    forms = (form for regex, form in messages.TEXT_FORMS.items() if repr(regex) == pattern)
    return next(forms, reason.replace("Expected", "expected").replace("`", ""))


def _refused(code: Code, message: str, field: str) -> _RefusedError:
    return _RefusedError(Problem(code, message, field=field))


def _read_auth(raw: _Raw) -> messages.Auth:
    return _convert(raw, messages.Auth, {"token": raw.find("token")})


def _read_ping(raw: _Raw) -> messages.Ping:
    data = raw.top.get("data", msgspec.UNSET)
    payload = raw.top.get("payload", msgspec.UNSET)
    for name, value in (("data", data), ("payload", payload)):
        if is_deeper(value, _MAX_ECHO_DEPTH):
            raise _refused(Code.BAD_MESSAGE, f"{name}: is nested too deeply to be echoed", name)
    return messages.Ping(timestamp_ms=raw.timestamp_ms, data=data, payload=payload)


def _read_status(raw: _Raw) -> messages.Status:
    return messages.Status(timestamp_ms=raw.timestamp_ms)


def _read_stream_start(raw: _Raw) -> messages.StreamStart:
    kind = raw.find("kind")
    if kind[1] is None and "type" in raw.inner:
        kind = ("data.type", raw.inner["type"])
    services = raw.find("services", "service_type")
    if isinstance(services[1], str):
        services = (services[0], [services[1]])
    plain = (
        *(
            "stream_id",
            "language",
            "languages",
            "mode",
            "interim_results",
            "word_timestamps",
            "hotwords",
            "initial_prompt",
            "framing",
        ),
        *("sample_rate", "channels", "endpointing_ms", "signals", "expression", "max_fps", "every_frame", "started_at"),
    )
    values = {name: raw.find(name) for name in plain}
    mime = raw.find("format", "mimeType", "mime_type")
    return _convert(raw, messages.StreamStart, {**values, "kind": kind, "services": services, "format": mime})


def _read_stream_chunk(raw: _Raw) -> messages.StreamChunk:
    values = {
        "stream_id": raw.find("stream_id"),
        "sequence": raw.find("sequence", "sequenceNumber"),
        "format": raw.find("format", "mimeType", "mime_type"),
        "data": _payload(raw),
    }
    return _convert(raw, messages.StreamChunk, values)


def _read_packet(raw: _Raw) -> messages.MediaPacket:
    values = {
        "kind": ("type", raw.top["type"]),
        "stream_id": raw.find("stream_id"),
        "sequenceNumber": raw.find("sequenceNumber", "sequence"),
        "mimeType": raw.find("mimeType", "format", "mime_type"),
        "data": _payload(raw),
    }
    return _convert(raw, messages.MediaPacket, values)


def _read_stream_flush(raw: _Raw) -> messages.StreamFlush:
    values = {"stream_id": raw.find("stream_id"), "flush_id": raw.find("flush_id")}
    return _convert(raw, messages.StreamFlush, values)


def _read_stream_end(raw: _Raw) -> messages.StreamEnd:
    values = {"stream_id": raw.find("stream_id"), "discard": raw.find("discard")}
    return _convert(raw, messages.StreamEnd, values)


def _read_session_resume(raw: _Raw) -> messages.SessionResume:
    path, streams = raw.find("streams", "last_segment_ids")
    if isinstance(streams, dict):
        streams = [
            {**value, "stream_id": name} if isinstance(value, dict) else {"stream_id": name, "last_segment_id": value}
            for name, value in streams.items()
        ]
    values = {"session_id": raw.find("session_id"), "token": raw.find("token", "resume_token")}
    return _convert(raw, messages.SessionResume, {**values, "streams": (path, streams)})


def _payload(raw: _Raw) -> tuple[str, bytes]:
    """Path and bytes of a chunk's Base64, from the first of its possible places that is not empty."""
    if isinstance(raw.top.get("data"), str):
        path, value = "data", raw.top["data"]
    else:
        path, value = raw.find("chunk", "payload", *(["data"] if raw.inner else []))
        if isinstance(value, dict):
            path, value = "data.data", raw.inner.get("data")
    if value is None:
        raise _refused(Code.BAD_MESSAGE, "data: the Base64 of the chunk is required", "data")
    if not isinstance(value, str):
        raise _refused(Code.BAD_MESSAGE, f"{path}: a string of Base64 is required", path)
    try:
        payload = decode_base64(value)
    except Base64Error as error:
        raise _refused(Code.BAD_PAYLOAD, f"{path}: {error}", path) from None
    if len(payload) > raw.max_chunk_bytes:
        raise _refused(Code.PAYLOAD_TOO_LARGE, f"{path}: at most {raw.max_chunk_bytes} bytes per chunk", path)
    return path, payload


_READERS: Final[Mapping[str, Callable[[_Raw], messages.ClientMessage]]] = {
    "auth": _read_auth,
    "ping": _read_ping,
    "status": _read_status,
    "stream_start": _read_stream_start,
    "stream_chunk": _read_stream_chunk,
    "stream_flush": _read_stream_flush,
    "stream_end": _read_stream_end,
    "session_resume": _read_session_resume,
    "audio": _read_packet,
    "video": _read_packet,
    "image": _read_packet,
}
