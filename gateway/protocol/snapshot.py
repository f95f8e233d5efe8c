"""What another gateway needs to continue a stream after its last commit: terms, numbers and worker states, no media.

A snapshot describes the stream as it was before the first chunk that a worker would need again: the client resends from
`next_sequence` on, and the workers' numbers continue from `next_worker_sequence`. The text of finals is stored next to
the snapshot. Only the workers' own `resume_state` contains some text, so it is kept and deleted together with the
finals.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, cast

import msgspec
from google.protobuf.message import DecodeError
from talkup.v1 import analysis_pb2, media_pb2, task_pb2, transcript_pb2

from gateway.analyses import StoredAnalysis
from gateway.protocol.messages import Kind
from gateway.protocol.negotiation import StreamSpec
from gateway.protocol.totals import Totals

_VERSION: Final = 1
_SERVICES: Final = frozenset(task_pb2.ServiceType.values()) - {task_pb2.SERVICE_TYPE_UNSPECIFIED}


class SnapshotError(ValueError):
    """Bytes that are not a snapshot of this version."""


class PartSnapshot(msgspec.Struct, frozen=True):
    """One service's part: the worker sequence of the first chunk it needs, and the state to continue from there."""

    service: int
    live: bool
    replay_from: int
    media_ms: int
    resume_state: bytes


class DeliverySnapshot(msgspec.Struct, frozen=True):
    """The part of delivery: what the client asked for, time 0 of the media (UNIX ms), and how many results it got.

    `started_at_ms` is what the client gave, `origin_ms` what counts; None: not known. `speech`: the stretches of speech
    since the last window, which holds the earlier ones; later ones begin at `settled_ms`, infinity: no sound is known.
    """

    options: bytes
    started_at_ms: int | None
    origin_ms: int | None
    results: int
    speech: tuple[tuple[int, int], ...] = ()
    settled_ms: float = math.inf


class StreamSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A stream at a commit.

    `next_sequence` is the first chunk that a worker needs again, in the client's numbers; None: any may come first.
    `received` is the highest sequence received by then. `generation` counts the gateways that held the stream before.
    Messages of the worker contract are stored encoded.
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
    generation: int = msgspec.field(name="lives")
    next_worker_sequence: int = msgspec.field(name="next_inner")
    next_sequence: int | None = msgspec.field(name="next_number")
    received: int
    parts: tuple[PartSnapshot, ...]
    totals: Totals
    delivery: DeliverySnapshot | None = None

    def encode(self) -> bytes:
        """Encode the snapshot for the store."""
        return msgspec.msgpack.encode(self)


class RestoredStream(NamedTuple):
    """A stream as another process left it, with its finals and what it stored of analyses."""

    snapshot: StreamSnapshot
    finals: Iterable[transcript_pb2.Transcript]
    analyses: Sequence[StoredAnalysis] = ()


def decode_snapshot(encoded: bytes) -> StreamSnapshot:
    """Decode a snapshot. Raises SnapshotError."""
    try:
        snapshot = msgspec.msgpack.decode(encoded, type=StreamSnapshot)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SnapshotError("not a snapshot of a stream") from None
    if snapshot.version != _VERSION:
        raise SnapshotError("a snapshot of an unsupported version")
    return snapshot


def service_of(part: PartSnapshot) -> task_pb2.ServiceType:
    """The service that a part belongs to. Raises SnapshotError."""
    if part.service not in _SERVICES:
        raise SnapshotError("a snapshot with an unknown service")
    return cast("task_pb2.ServiceType", part.service)


def spec_of(snapshot: StreamSnapshot) -> StreamSpec:
    """Read the terms of the stream. Raises SnapshotError."""
    delivery = snapshot.delivery
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
            delivery=None if delivery is None else analysis_pb2.DeliveryOptions.FromString(delivery.options),
            started_at_ms=None if delivery is None else delivery.started_at_ms,
        )
    except DecodeError:
        raise SnapshotError("the terms of the stream cannot be read") from None
