"""What the protocol core decides: values that a session's runner performs in order. The core itself never waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgspec
from talkup.v1 import task_pb2

from gateway.analyses import StoredAnalysis
from gateway.protocol.messages import ServerMessage, StreamEnded
from gateway.protocol.snapshot import StreamSnapshot
from gateway.protocol.states import StoreRelease


class TaskKey(NamedTuple):
    """One StreamTask call: a media stream and the service that works on it."""

    stream_id: str
    service_type: task_pb2.ServiceType


class SendMessage(msgspec.Struct, frozen=True):
    """Put a message into the outbox."""

    message: ServerMessage


@dataclass(frozen=True, slots=True)
class OpenTask:
    """Open a StreamTask call; `request` carries `start`. `resumed`: the stream ran at another gateway before."""

    key: TaskKey
    request: task_pb2.TaskRequest
    resumed: bool = False


class ForwardTask(msgspec.Struct, frozen=True):
    """Forward a chunk, flush or end to an open call."""

    key: TaskKey
    request: task_pb2.TaskRequest


@dataclass(frozen=True, slots=True)
class CancelTask:
    """Cancel an open call: nobody wants its results any more."""

    key: TaskKey


@dataclass(frozen=True, slots=True)
class StoreSession:
    """Record in the store that the session is live at this gateway."""


@dataclass(frozen=True, slots=True)
class StoreSegment:
    """Store a final segment, so that it stays readable over HTTP without the socket and the gateway.

    `snapshot`: the stream's state after this final, and `analyses` that came with it, for the same write; None: the
    stored state stays.
    """

    stream_id: str
    transcript: task_pb2.TaskResult
    snapshot: StreamSnapshot | None = None
    analyses: tuple[StoredAnalysis, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreSnapshot:
    """Store a stream's state, for another gateway, and in the same write `analyses`."""

    snapshot: StreamSnapshot
    analyses: tuple[StoredAnalysis, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreAnalyses:
    """Store what lasts of a stream's analysis; its stored state stays."""

    stream_id: str
    analyses: tuple[StoredAnalysis, ...]


@dataclass(frozen=True, slots=True)
class StoreStreamEnd:
    """Record in the store that a stream is complete, with its totals."""

    stream_id: str
    ended: StreamEnded
    snapshot: StreamSnapshot


@dataclass(frozen=True, slots=True)
class CountForgotten:
    """Count speech that waited too long for another stream's, or for its clock, and is forgotten."""

    kind: Literal["words", "stretches"]
    count: int


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Verify a token given in an `auth` message; answer with `session.connected` or `session.refused`.

    On an open session it renews the credential of the socket; the answer is then `authenticated`.
    """

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ResumeSession:
    """Verify a resume token and hand this socket over to that session.

    Answer with `connected(..., last_segment_ids=...)` on the named session, or with `refused` on the session that sent
    this action. `last_segment_ids` maps a stream to the highest final that its client holds, `last_deliveries` to the
    highest result about delivery.
    """

    session_id: str
    token: str = field(repr=False)
    last_segment_ids: Mapping[str, int]
    last_deliveries: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CloseSocket:
    """Close the WebSocket after the preceding messages; `code` is one of errors.CloseCode."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class FinishSession:
    """The session is over at this gateway: drop what is left of it, and write `release` to the store."""

    release: StoreRelease


Action = (
    SendMessage
    | OpenTask
    | ForwardTask
    | CancelTask
    | StoreSession
    | StoreSegment
    | StoreSnapshot
    | StoreAnalyses
    | StoreStreamEnd
    | CountForgotten
    | Authenticate
    | ResumeSession
    | CloseSocket
    | FinishSession
)
