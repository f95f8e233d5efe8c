"""Configuration of the upstream side: endpoints, transport security, deadlines, bounds."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from talkup.v1 import task_pb2

_MIB = 1024 * 1024


class Links(enum.StrEnum):
    """When the streams of a worker share one RPC, a link. Workers offer it; gRPC's own balancing excludes it."""

    AUTO = "auto"
    """Where the address leads to one worker, as several answers show."""
    ALWAYS = "always"
    """From a worker's first offer on: the operator says that each address leads to one worker."""
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How channels to workers are protected.

    With `root_ca` set every channel is TLS, mutual when `client_cert` and `client_key` are set too (PEM files).
    Without it channels are plaintext, and only to loopback unless `insecure` is set.
    """

    root_ca: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("client_cert and client_key go together")
        if self.client_cert is not None and self.root_ca is None:
            raise ValueError("client_cert needs root_ca")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Time limits, in seconds.

    `connect`: for an endpoint's first response. `admit`: for all attempts to place a new stream. `recover`: for all
    attempts to place a stream that lost its worker; after `report_waiting` the client of such a stream is notified.
    `stall`: chunks sent without a result. `hung`: the same, if the worker does not answer probes either. `finish`: from
    `end` sent, or the last progress after it, to `ended`, per worker. `stream`: for the entire stream.
    """

    connect: float = 3.0
    admit: float = 8.0
    recover: float = 60.0
    report_waiting: float = 1.0
    stall: float = 20.0
    hung: float = 3.5
    finish: float = 120.0
    stream: float = 4 * 3600.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often to retry, and how long a failed endpoint stays out of use (seconds, doubling from first to last).

    `attempts` limits a new stream. `recover_attempts` limits a running stream, which usually reaches its deadline
    first, and the workers that a stream may lose before it sent them anything. A stream fails after losing `strikes`
    workers without progress; text that advances by `advance_ms` of media counts as progress.
    """

    attempts: int = 8
    recover_attempts: int = 64
    wait_first: float = 0.05
    wait_last: float = 2.0
    strikes: int = 2
    advance_ms: int = 3000
    eject_first: float = 1.0
    eject_last: float = 30.0
    busy_retry_after_ms: int = 2000


@dataclass(frozen=True, slots=True)
class BufferBounds:
    """Limits of one stream's buffers.

    `replay_*` bound the media kept for replay. `high_*` and `low_*` are watermarks for media not yet written to a
    worker: a stream becomes congested above the high mark and stays congested until it falls below the low mark.
    """

    replay_bytes: int = 16 * _MIB
    replay_seconds: float = 120.0
    high_bytes: int = _MIB
    low_bytes: int = _MIB // 4
    high_ms: int = 4000
    low_ms: int = 1000


@dataclass(frozen=True, slots=True)
class Probing:
    """How often to ask workers for free slots (`Describe`) and to resolve names again, in seconds."""

    interval: float = 1.0
    timeout: float = 2.0
    resolve: float = 10.0


@dataclass(frozen=True, slots=True)
class UpstreamConfig:
    """Configuration of the upstream side.

    `endpoints` names each service's workers: `host:port`, `dns:///name:port` (every address is an endpoint, resolved
    again periodically) or `xds:///name` (balanced by gRPC itself). `names`: for which name the certificates of a
    service's workers must be issued, instead of the host in the endpoint. `worker_token` is sent as a bearer token.
    `use_proxy`: reach workers beyond loopback through the proxy that the environment names. `links`: when streams share
    one RPC.
    """

    endpoints: Mapping[task_pb2.ServiceType, tuple[str, ...]]
    names: Mapping[task_pb2.ServiceType, str] = field(default_factory=dict)
    tls: TlsSettings = field(default_factory=TlsSettings)
    worker_token: str | None = field(default=None, repr=False)
    use_proxy: bool = False
    links: Links = Links.AUTO
    deadlines: Deadlines = field(default_factory=Deadlines)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    buffer: BufferBounds = field(default_factory=BufferBounds)
    probing: Probing = field(default_factory=Probing)
