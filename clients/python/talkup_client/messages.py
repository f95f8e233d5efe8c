"""Messages to the gateway: JSON text, and tagged binary frames for media."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

PROTOCOL_VERSION = "1.0"
_TAG = struct.Struct(">BBHI")  # magic 0x54, version, handle, sequence: docs/protocol.md, tagged frames
_MAGIC = 0x54
_VERSION = 0x01

Mode = Literal["live", "file"]


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Options of `stream_start`. `language` is a BCP-47 tag or `auto`; None means the gateway's default."""

    format: str
    kind: str | None = None
    services: tuple[str, ...] | None = None
    language: str = "auto"
    languages: tuple[str, ...] = ()
    mode: Mode = "live"
    interim_results: bool = True
    word_timestamps: bool = True
    hotwords: tuple[str, ...] = ()
    initial_prompt: str = ""
    sample_rate: int | None = None
    channels: int | None = None
    signals: tuple[str, ...] = ()
    max_fps: int | None = None
    every_frame: bool = False
    started_at: int | None = None


def text(type_: str, data: Mapping[str, Any]) -> str:
    """A JSON message in the protocol's envelope."""
    envelope = {"type": type_, "timestamp": int(time.time()), "protocol_version": PROTOCOL_VERSION, "data": data}
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))


def auth(token: str) -> str:
    """Renew the credential of an open session."""
    return text("auth", {"token": token})


def stream_start(stream_id: str, options: StreamOptions) -> str:
    """Start a stream whose chunks are sent as tagged frames."""
    data: dict[str, Any] = {
        "stream_id": stream_id,
        "format": options.format,
        "language": options.language,
        "interim_results": options.interim_results,
        "word_timestamps": options.word_timestamps,
        "framing": "tagged",
    }
    if options.mode != "live":
        data["mode"] = options.mode
    kept = (
        "kind",
        "services",
        "languages",
        "hotwords",
        "initial_prompt",
        "sample_rate",
        "channels",
        "signals",
        "max_fps",
        "every_frame",
        "started_at",
    )
    for name in kept:
        value = getattr(options, name)
        if value not in (None, "", (), False):
            data[name] = value
    return text("stream_start", data)


def stream_flush(stream_id: str, flush_id: int) -> str:
    """Request final text for everything sent so far."""
    return text("stream_flush", {"stream_id": stream_id, "flush_id": flush_id})


def stream_end(stream_id: str, *, discard: bool = False) -> str:
    """End a stream: no more chunks follow. `discard`: drop what is not text yet."""
    return text("stream_end", {"stream_id": stream_id} | ({"discard": True} if discard else {}))


def session_resume(session_id: str, token: str, points: Iterable[tuple[str, int, int]]) -> str:
    """Resume a session; `points` holds the last final (0: none) and delivery result (-1: none) of each stream."""
    streams = [
        {"stream_id": stream_id, "last_segment_id": segment_id, "last_delivery": number}
        for stream_id, segment_id, number in points
    ]
    return text("session_resume", {"session_id": session_id, "token": token, "streams": streams})


def tagged_frame(handle: int, sequence: int, payload: bytes) -> bytes:
    """A chunk of the stream that `handle` names."""
    return _TAG.pack(_MAGIC, _VERSION, handle, sequence) + payload
