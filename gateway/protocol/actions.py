"""What the protocol core wants done: values that `connection` performs in order. The core itself never waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from talkup.v1 import task_pb2

from gateway.protocol.messages import ServerMessage, StreamEnded
from gateway.protocol.snapshot import StreamSnapshot


class TaskKey(NamedTuple):
    """One StreamTask call: a media stream and the service that works on it."""

    stream_id: str
    service_type: task_pb2.ServiceType


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Put a message into the outbox."""

    message: ServerMessage


@dataclass(frozen=True, slots=True)
class OpenTask:
    """Begin a StreamTask call; `request` carries `start`. `resumed`: the stream ran before, at another gateway."""

    key: TaskKey
    request: task_pb2.TaskRequest
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class ForwardTask:
    """Offer a chunk, flush or end to a call begun before."""

    key: TaskKey
    request: task_pb2.TaskRequest


@dataclass(frozen=True, slots=True)
class CancelTask:
    """Drop a call: nobody waits for its results any more."""

    key: TaskKey


@dataclass(frozen=True, slots=True)
class StoreSegment:
    """Keep a final segment: readable over HTTP after socket and gateway are gone.

    `snapshot`: where the stream stands with it, to be kept in the same write; None: no further than before.
    """

    stream_id: str
    transcript: task_pb2.TaskResult
    snapshot: StreamSnapshot | None = None


@dataclass(frozen=True, slots=True)
class StoreSnapshot:
    """Keep where a stream stands, for another gateway."""

    snapshot: StreamSnapshot


@dataclass(frozen=True, slots=True)
class StoreStreamEnd:
    """A stream is complete: its totals can be kept beside its segments."""

    stream_id: str
    ended: StreamEnded
    snapshot: StreamSnapshot


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Verify a token given in an `auth` message; answer with `session.connected` or `session.refused`."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ResumeSession:
    """Verify a resume token and hand this socket to that session.

    Answer with `connected(..., resumed=True, last_segment_ids=...)` on the session named, or with `refused` on the
    one that asked. `last_segment_ids` maps a stream to the highest final that its client holds.
    """

    session_id: str
    token: str = field(repr=False)
    last_segment_ids: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class CloseSocket:
    """Close the WebSocket after what was sent before; `code` as in the close table of errors.py."""

    code: int
    reason: str


Action = (
    SendMessage
    | OpenTask
    | ForwardTask
    | CancelTask
    | StoreSegment
    | StoreSnapshot
    | StoreStreamEnd
    | Authenticate
    | ResumeSession
    | CloseSocket
)
