"""What another gateway needs to take a stream up behind its last commit: terms, numbers and worker states, no media.

A snapshot describes the stream as it stood before the first chunk that a worker would need again: the client sends
from `next_number` on, workers count on from `next_inner`. The words of finals are kept beside it, not in it; only the
workers' own `resume_state` holds some, so it lives and is deleted with them.
"""

from __future__ import annotations

from typing import Final, cast

import msgspec
from google.protobuf.message import DecodeError
from talkup.v1 import analysis_pb2, media_pb2, task_pb2, transcript_pb2

from gateway.protocol.messages import Kind
from gateway.protocol.negotiation import StreamSpec

_VERSION: Final = 1


class SnapshotError(ValueError):
    """Bytes that are no snapshot of this version."""


class PartSnapshot(msgspec.Struct, frozen=True):
    """One service's share: the first chunk it needs (workers' count) and the state to read it with."""

    service: int
    live: bool
    replay_from: int
    media_ms: int
    resume_state: bytes


class TotalsSnapshot(msgspec.Struct, frozen=True):
    """Counts of `stream_ended`, up to the snapshot."""

    chunks: int = 0
    bytes: int = 0
    gaps: int = 0
    missing: int = 0
    duplicates: int = 0
    orphans: int = 0
    failovers: int = 0
    damaged: int = 0


class StreamSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A stream at a commit.

    `next_number` is the client's number of the first chunk needed, None before any; `received` the highest number
    taken then. `lives` counts the gateways that held the stream before. Messages of the worker contract stand encoded.
    """

    version: int = _VERSION
    stream_id: str
    handle: int
    kind: Kind
    format: bytes
    speech: bytes
    vision: bytes
    tagged: bool
    packets: bool
    implicit: bool
    ended: bool
    lives: int
    next_inner: int
    next_number: int | None
    received: int
    parts: tuple[PartSnapshot, ...]
    totals: TotalsSnapshot

    def encode(self) -> bytes:
        """As the store keeps it."""
        return msgspec.msgpack.encode(self)


def decode_snapshot(encoded: bytes) -> StreamSnapshot:
    """Raises SnapshotError."""
    try:
        snapshot = msgspec.msgpack.decode(encoded, type=StreamSnapshot)
    except msgspec.DecodeError:
        raise SnapshotError("not a snapshot of a stream") from None
    if snapshot.version != _VERSION:
        raise SnapshotError("a snapshot of another version")
    return snapshot


def service_of(part: PartSnapshot) -> task_pb2.ServiceType:
    """The service, by the number that stands for it in the contract."""
    return cast("task_pb2.ServiceType", part.service)


def spec_of(snapshot: StreamSnapshot) -> StreamSpec:
    """The terms of the stream. Raises SnapshotError."""
    try:
        return StreamSpec(
            stream_id=snapshot.stream_id,
            kind=snapshot.kind,
            format=media_pb2.MediaFormat.FromString(snapshot.format),
            services=tuple(service_of(part) for part in snapshot.parts),
            speech=transcript_pb2.SpeechOptions.FromString(snapshot.speech),
            vision=analysis_pb2.VisionOptions.FromString(snapshot.vision),
            tagged=snapshot.tagged,
            packets=snapshot.packets,
        )
    except DecodeError:
        raise SnapshotError("the terms of the stream cannot be read") from None
