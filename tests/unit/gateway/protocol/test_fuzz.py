"""The invariant of the core: any text or bytes result in actions, never in an exception; the session stays usable."""

from __future__ import annotations

import json
import random
from functools import partial
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from talkup.v1 import analysis_pb2, task_pb2

from bench.harness.schema_check import checked
from gateway.protocol.actions import Action, ForwardTask, OpenTask, SendMessage, TaskKey
from gateway.protocol.codec import encode, encode_tagged
from gateway.protocol.limits import Limits
from gateway.protocol.session import Session
from tests.unit.gateway.protocol.helpers import (
    BODY,
    EBML,
    STT,
    T0,
    VISION,
    b64,
    ended,
    final,
    open_session,
    sent,
    text,
    transcript,
)

fuzz = partial(settings, deadline=None, suppress_health_check=list(HealthCheck))

TYPES = (
    *("auth", "ping", "status", "stream_start", "stream_chunk", "stream_flush", "stream_end", "session_resume"),
    *("audio", "video", "image", "error", "", None, 3, {}),
)
FIELDS = (
    *("stream_id", "sequence", "sequenceNumber", "format", "mimeType", "kind", "type", "services", "language"),
    *("framing", "sample_rate", "channels", "hotwords", "data", "payload", "chunk", "timestamp", "protocol_version"),
    *("token", "session_id", "streams", "last_segment_ids", "key", "flush_id", "interim_results", "signals"),
    "started_at",
)
VALUES: tuple[Any, ...] = (
    *("a", "b", "", "\x00", "é", "x" * 100, "audio", "video", "image", "raw", "tagged", "auto", "fr-FR", "stt"),
    *("audio/webm;codecs=opus", "audio/pcm", "video/webm", "image/jpeg", "audio/opus", "1.0", "2.0", "AAAA", "A"),
    *(b64(EBML), b64(BODY), b64(b"\x1a"), "2025-10-15T04:05:34Z", "9999-12-31T23:59:59.999999+00:00"),
    *(0, 1, 2, 3, 12, -1, 2**31, 2**32 - 1, 2**32, 2**53, 2**64, 10**400, 0.5, -0.0, 1e308, 1e11),
    *(
        None,
        True,
        False,
        [],
        {},
        ["stt", "vision"],
        ["stt", "va"],
        ["delivery"],
        [None],
        [{"stream_id": "a"}],
        {"a": 1},
        {"data": b64(BODY)},
    ),
)


def check(actions: list[Action]) -> None:
    """Check that actions are well formed: messages can be encoded, requests fit the contract."""
    for action in actions:
        if isinstance(action, SendMessage):
            checked(json.loads(encode(action.message, T0)))
        elif isinstance(action, OpenTask | ForwardTask):
            assert action.request.WhichOneof("payload")
            action.request.SerializeToString()


def check_usable(session: Session) -> None:
    """Check that the session still works: a ping gets its pong."""
    assert sent(text(session, T0 + 1e6, type="ping"), "pong")


def frame(rng: random.Random) -> str | bytes:
    """An almost valid frame."""
    if rng.random() < 0.2:
        payload = rng.choice((EBML, BODY, b"", b"\x1a", b"OggS", rng.randbytes(rng.randrange(20))))
        tagged = encode_tagged(rng.randrange(4), rng.choice((0, 1, 2, 2**32 - 1)), payload)
        return rng.choice((payload, tagged, tagged[: rng.randrange(len(tagged) + 1)]))
    message: dict[str, Any] = {"type": rng.choice(TYPES)}
    inner = {name: rng.choice(VALUES) for name in rng.sample(FIELDS, rng.randrange(5))}
    message |= {name: rng.choice(VALUES) for name in rng.sample(FIELDS[:15], rng.randrange(6)) if name != "type"}
    if rng.random() < 0.5:
        message["data"] = inner
    written = json.dumps(message)
    return written if rng.random() < 0.9 else written[: rng.randrange(len(written))]


def receive(session: Session, received: str | bytes, now: float) -> list[Action]:
    return session.receive_text(received, now) if isinstance(received, str) else session.receive_binary(received, now)


@fuzz(max_examples=7000)
@given(st.text(max_size=60) | st.text(alphabet='{}[]":,0123456789abdeftypnul\\\ud800', max_size=40))
def test_any_text(received: str) -> None:
    session = open_session()
    check(session.receive_text(received, T0))
    check_usable(session)


@fuzz(max_examples=7000)
@given(st.binary(max_size=40), st.sampled_from(["audio/pcm", "audio/opus", "audio/webm", "audio", "image/jpeg"]))
def test_any_bytes(received: bytes, fmt: str) -> None:
    session = open_session()
    text(session, T0, type="stream_start", stream_id="a", format=fmt)
    check(session.receive_binary(received, T0))
    check(session.receive_binary(b"\x54\x01" + received, T0))
    check_usable(session)


@fuzz(max_examples=6000)
@given(st.integers(0, 2**64))
def test_any_almost_valid_message(seed: int) -> None:
    rng = random.Random(seed)
    session = open_session()
    for received in (frame(rng) for _ in range(3)):
        check(receive(session, received, T0))
    check_usable(session)


DELIVERY = analysis_pb2.Analysis(
    events=[analysis_pb2.VisionEvent(type="long_pause")],
    delivery=analysis_pb2.Delivery(origin_unix_ms=-(2**63), window=analysis_pb2.DeliveryWindow()),
)
RESULTS = (
    task_pb2.TaskResult(),
    task_pb2.TaskResult(started=task_pb2.Started()),
    task_pb2.TaskResult(flushed=task_pb2.Flushed(flush_id=1)),
    task_pb2.TaskResult(drain=task_pb2.Drain()),
    task_pb2.TaskResult(progress=task_pb2.Progress(replay_from_sequence=2**63)),
    task_pb2.TaskResult(progress=task_pb2.Progress(committed_media_ms=9000), delivery=[DELIVERY, DELIVERY]),
    task_pb2.TaskResult(ended=task_pb2.Ended(), progress=task_pb2.Progress(), delivery=[DELIVERY]),
    task_pb2.TaskResult(analysis=analysis_pb2.Analysis(window=analysis_pb2.WindowSignals())),
    *(transcript(1, "x"), final(1, "y", replay_from=1), final(2**63, "z"), ended(5)),
)


@fuzz(max_examples=400)
@given(st.integers(0, 2**64))
def test_any_life_of_a_session(seed: int) -> None:
    rng = random.Random(seed)
    session = Session("s", limits=Limits(window_chunks=4, max_open_streams=3, max_streams=10, kept_streams=2))
    now = T0
    for _ in range(60):
        now += rng.choice((0.0, 0.01, 1.0, 5.0))
        key = TaskKey(rng.choice(("a", "b", "audio-1")), rng.choice((STT, VISION, task_pb2.SERVICE_TYPE_DELIVERY)))
        match rng.randrange(22):
            case 20:
                check(session.grace_over(now) + session.last_stream_over())
            case 21:
                check(session.superseded(now, unsent=[]))
            case 0:
                check(session.disconnected(now, is_clean=rng.random() < 0.3))
            case 1 | 2 | 3:
                held = {"last_segment_ids": {"a": 0}, "last_deliveries": {"a": rng.choice((-1, 0, 3))}}
                check(session.connected(now, resume_token="t", expires_at=1, **held))
            case 4:
                check(session.await_auth(now) + session.refused())
            case 5 | 6:
                check(session.tick(now))
                due = session.next_deadline()
                assert due is None or due > now
            case 7 | 8 | 9:
                before = session.next_deadline()
                check(session.receive_result(key, rng.choice(RESULTS), now))
                due = session.next_deadline()
                assert due is None or (before is not None and due >= before), "a result makes nothing due earlier"
            case 10:
                check(session.task_failover(key, rng.choice((0, 5, 2**63))))
            case _:
                check(receive(session, frame(rng), now))
    check(session.grace_over(now) + session.last_stream_over())
