"""What a client learns of its session: its state, that of the gateway, and the terms of its streams."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import structs

from gateway.protocol import messages as m
from gateway.protocol.limits import Limits
from gateway.protocol.negotiation import StreamSpec
from gateway.protocol.version import SUPPORTED_VERSIONS


@dataclass(frozen=True, slots=True)
class GatewaySnapshot:
    """The gateway at one moment. `version` is that of the software; `started_at` is UNIX seconds."""

    version: str = ""
    started_at: float | None = None
    draining: bool = False
    services: tuple[m.ServiceStatus, ...] = ()


def limits_data(limits: Limits) -> m.LimitsData:
    """The limits that matter to a client."""
    return m.LimitsData(
        max_message_bytes=limits.max_message_bytes,
        max_chunk_bytes=limits.max_chunk_bytes,
        max_open_streams=limits.max_open_streams,
        max_stream_media_ms=limits.max_stream_media_ms,
        window_chunks=limits.window_chunks,
        gap_ms=round(limits.gap_seconds * 1000),
    )


def session_message(
    session_id: str,
    streams: list[m.StreamState],
    limits: Limits,
    resume_token: str,
    expires_at: int,
    *,
    is_resumed: bool,
) -> m.SessionMessage:
    """The first message on a socket whose session is open; `expires_at` is UNIX seconds."""
    data = m.SessionData(
        session_id=session_id,
        resume_token=resume_token,
        expires_at=expires_at,
        resumed=is_resumed,
        streams=streams,
        limits=limits_data(limits),
    )
    return m.SessionMessage(data=data)


def with_terms(data: m.AcknowledgeData, spec: StreamSpec, handle: int, limits: Limits) -> m.AcknowledgeData:
    """The answer to `stream_start`: the acknowledgement with the terms of the stream."""
    return structs.replace(
        data,
        accepted=True,
        handle=handle,
        kind=spec.kind,
        format=spec.format.mime_type,
        services=spec.service_names,
        framing="tagged" if spec.tagged else "raw",
        limits=limits_data(limits),
    )


def status_message(
    snapshot: GatewaySnapshot, session_id: str, streams: list[m.StreamState], limits: Limits, *, now: float
) -> m.StatusMessage:
    """Build the answer to `status`."""
    started_at = now if snapshot.started_at is None else snapshot.started_at
    data = m.StatusData(
        state="draining" if snapshot.draining else "serving",
        version=snapshot.version,
        protocol_versions=list(SUPPORTED_VERSIONS),
        uptime_seconds=max(0, int(now - started_at)),
        session=m.SessionStatus(session_id=session_id, streams=streams),
        services=list(snapshot.services),
        limits=limits_data(limits),
    )
    return m.StatusMessage(data=data)
