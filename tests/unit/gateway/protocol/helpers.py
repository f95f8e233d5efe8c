"""Helpers of the protocol tests: they send frames to a session and read its actions."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from talkup.v1 import error_pb2, task_pb2, transcript_pb2

from bench.harness.schema_check import checked
from gateway.protocol.actions import Action, ForwardTask, OpenTask, SendMessage, TaskKey
from gateway.protocol.codec import encode
from gateway.protocol.limits import Limits
from gateway.protocol.session import Session
from gateway.protocol.status import GatewaySnapshot

STT = task_pb2.SERVICE_TYPE_STT
VISION = task_pb2.SERVICE_TYPE_VISION
T0 = 1_739_592_334.0
EBML = b"\x1a\x45\xdf\xa3" + bytes(range(60))
BODY = bytes(range(100, 164))


def open_session(
    limits: Limits | None = None, gateway: Callable[[float], GatewaySnapshot] = lambda _now: GatewaySnapshot()
) -> Session:
    session = Session("s-1", limits=limits, gateway=gateway)
    session.connected(T0, resume_token="resume-me", expires_at=int(T0) + 600)
    return session


def text(session: Session, now: float = T0, /, **message: Any) -> list[Action]:
    return session.receive_text(json.dumps(message), now)


def b64(payload: bytes) -> str:
    return base64.b64encode(payload).decode()


def sent(actions: list[Action], type_: str | None = None, now: float = T0) -> list[dict[str, Any]]:
    """The messages to the client, as it reads them."""
    messages = [
        checked(json.loads(encode(action.message, now))) for action in actions if isinstance(action, SendMessage)
    ]
    return [message for message in messages if type_ is None or message["type"] == type_]


def errors(actions: list[Action]) -> list[str]:
    return [message["data"]["code"] for message in sent(actions, "error")]


def requests(actions: list[Action]) -> list[task_pb2.TaskRequest]:
    """The requests as workers get them: the call adds to each forwarded one what it shares with `start`."""
    return [
        action.request if isinstance(action, OpenTask) else _with_head(action)
        for action in actions
        if isinstance(action, OpenTask | ForwardTask)
    ]


def _with_head(forwarded: ForwardTask) -> task_pb2.TaskRequest:
    key = forwarded.key
    request = task_pb2.TaskRequest(
        session_id="s-1", stream_id=key.stream_id, service_type=key.service_type, protocol_version="1.0", attempt=1
    )
    request.MergeFrom(forwarded.request)
    return request


def chunks(actions: list[Action]) -> list[tuple[int, bytes, bool, int]]:
    """Sequence, payload, new_recording and missing_before of the chunks forwarded."""
    return [
        (r.chunk.sequence, r.chunk.payload, r.chunk.new_recording, r.chunk.missing_before)
        for r in requests(actions)
        if r.WhichOneof("payload") == "chunk"
    ]


def final(segment_id: int, words: str, *, replay_from: int | None = None) -> task_pb2.TaskResult:
    return transcript(segment_id, words, is_final=True, replay_from=replay_from)


def transcript(
    segment_id: int, words: str, *, is_final: bool = False, revision: int = 1, replay_from: int | None = None
) -> task_pb2.TaskResult:
    progress = None if replay_from is None else task_pb2.Progress(replay_from_sequence=replay_from)
    return task_pb2.TaskResult(
        transcript=transcript_pb2.Transcript(
            segment_id=segment_id, revision=revision, is_final=is_final, text=words, confidence=0.94, language="fr"
        ),
        progress=progress,
    )


def ended(media_ms: int = 0) -> task_pb2.TaskResult:
    return task_pb2.TaskResult(ended=task_pb2.Ended(media_ms=media_ms))


def failed(code: error_pb2.ErrorCode, *, fatal: bool = True) -> task_pb2.TaskResult:
    return task_pb2.TaskResult(error=error_pb2.Error(code=code, message="it failed", fatal=fatal, retryable=True))


def key(stream_id: str = "a", service: task_pb2.ServiceType = STT) -> TaskKey:
    return TaskKey(stream_id, service)
