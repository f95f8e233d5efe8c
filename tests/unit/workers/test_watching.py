"""Logs that hide secrets, and metrics that count."""

from __future__ import annotations

import json
import urllib.request

import pytest
import structlog
from talkup.v1 import task_pb2

from workers import logs
from workers.auth import TokenSet, bearer_token
from workers.metrics import MetricsPort, WorkerMetrics
from workers.stream import Outcome, StreamNumbers


def test_secret_fields_and_bytes_never_reach_a_log(capfd: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    try:
        logs.configure("info", "json")
        structlog.get_logger().info("an event", text="said in private", token="t0ken", data=b"media", chunks=3)
        structlog.get_logger().debug("not shown")
    finally:
        structlog.configure(**before)
    (line,) = capfd.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["text"], entry["token"], entry["data"], entry["chunks"]) == ("[hidden]",) * 3 + (3,)
    assert entry["event"] == "an event"


def test_metrics_are_read_over_http() -> None:
    metrics = WorkerMetrics()
    metrics.slots(task_pb2.Slots(total=4, free=3))
    metrics.refused("ERROR_CODE_BUSY")
    metrics.stream_ended(StreamNumbers(outcome=Outcome.ENDED, chunks=7, bytes=900, finals=2), 12.5)
    metrics.watch_engine(lambda: {"stream_steps": 9, "model_waited": 0.25})
    port = MetricsPort(metrics, "127.0.0.1", 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port.port}/metrics", timeout=5) as answer:
            page = answer.read().decode()
    finally:
        port.close()
    assert "talkup_worker_slots_free 3.0" in page
    assert 'talkup_worker_streams_total{outcome="ended"} 1.0' in page
    assert 'talkup_worker_refused_total{code="ERROR_CODE_BUSY"} 1.0' in page
    assert "talkup_worker_chunks_total 7.0" in page
    assert 'talkup_worker_engine_total{what="stream_steps"} 9.0' in page
    assert 'talkup_worker_engine_total{what="model_waited"} 0.25' in page


def test_tokens_are_compared_whole() -> None:
    tokens = TokenSet(["first-token", "second-token"])
    assert "second-token" in tokens
    assert "second-toke" not in tokens
    assert "" not in tokens
    assert None not in TokenSet([])


@pytest.mark.parametrize(
    ("metadata", "token"),
    [
        ((("authorization", "Bearer abc"),), "abc"),
        ((("x", "y"), ("authorization", "bearer abc")), "abc"),
        ((("authorization", "Basic abc"),), None),
        ((("authorization", "Bearer"),), None),
        ((("authorization", b"Bearer abc"),), None),
        ((), None),
    ],
)
def test_the_token_in_metadata(metadata: tuple, token: str | None) -> None:
    assert bearer_token(metadata) == token
