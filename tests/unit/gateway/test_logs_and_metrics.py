"""What logs and metrics contain, and what they never contain."""

import json
import logging
import platform
from collections.abc import Iterator

import pytest
import structlog
from talkup.v1 import task_pb2

from gateway import logs
from gateway.metrics import Metrics
from settings.version import VERSION


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_json_lines_without_secrets_or_speech(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    log = structlog.get_logger()
    log.debug("unseen")
    log.info("stream opened", session_id="s1", token="hidden", text="hidden", note="x" * 2000)
    logging.getLogger("websockets.server").info("GET /ws?token=hidden")
    logging.getLogger("anything").warning("noted")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["stream opened", "noted"]
    assert lines[0]["session_id"] == "s1"
    assert set(lines[1]) == {"event", "level", "timestamp"}
    assert len(lines[0]["note"]) < 600
    assert "hidden" not in json.dumps(lines)


def test_an_error_is_logged_with_class_and_place_but_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    for log in (structlog.get_logger(), logging.getLogger("some.library")):
        try:
            raise ValueError("GET /x?token=hidden HTTP/9.9")
        except ValueError:
            log.exception("failed")
    logging.getLogger("aiohttp.server").error("Error handling request from 192.0.2.1")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line["error"]) for line in lines] == [("failed", "ValueError")] * 2
    assert all(__file__ in line["trace"][-1] for line in lines)
    assert "hidden" not in json.dumps(lines)


def test_console(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "console")
    structlog.get_logger().debug("seen", Authorization="hidden")
    shown = capsys.readouterr().err
    assert "seen" in shown
    assert "hidden" not in shown


def test_upstream_metrics_become_samples() -> None:
    metrics = Metrics()
    stt = task_pb2.SERVICE_TYPE_STT
    metrics.stream_opened(stt)
    metrics.stream_opened(stt)
    metrics.stream_finished(stt, "ended")
    metrics.attempt_failed(stt, "unavailable")
    metrics.retry(stt, "resource_exhausted")
    metrics.stream_admitted(stt, 0.02, is_failover=False)
    metrics.stream_admitted(stt, 1.2, is_failover=True)
    metrics.replayed(stt, 32_000)
    metrics.committed(stt, 1.1, is_file=False)
    metrics.committed(stt, 70.0, is_file=True)
    metrics.finalised(1.4)
    metrics.chunks_lost(stt, 3)
    metrics.watch_outboxes(lambda: 7)
    text = metrics.render().decode()
    assert "_created" not in text
    for sample in (
        'gateway_streams{service="stt"} 1.0',
        'gateway_tasks_total{outcome="ended",service="stt"} 1.0',
        'gateway_attempts_failed_total{reason="unavailable",service="stt"} 1.0',
        'gateway_retries_total{reason="resource_exhausted",service="stt"} 1.0',
        'gateway_admission_seconds_bucket{kind="new",le="0.025",service="stt"} 1.0',
        'gateway_admission_seconds_count{kind="failover",service="stt"} 1.0',
        'gateway_replayed_bytes_total{service="stt"} 32000.0',
        'gateway_commit_latency_seconds_bucket{le="1.5",mode="live",service="stt"} 1.0',
        'gateway_commit_latency_seconds_bucket{le="60.0",mode="file",service="stt"} 0.0',
        'gateway_final_latency_seconds_bucket{le="1.5"} 1.0',
        'gateway_chunks_dropped_total{reason="orphan"} 0.0',
        f'talkup_build_info{{component="gateway",python="{platform.python_version()}",version="{VERSION}"}} 1.0',
        'gateway_failovers_total{service="stt"} 1.0',
        'gateway_chunks_lost_total{service="stt"} 3.0',
        "gateway_outbox_depth 7.0",
    ):
        assert sample in text


def test_clients_cannot_make_series_by_their_close_codes() -> None:
    metrics = Metrics()
    for code in (1000, 4401, None, *range(3000, 3100)):
        metrics.closed(code)
    lines = [line for line in metrics.render().decode().splitlines() if line.startswith("gateway_closes_total{")]
    assert set(lines) == {
        'gateway_closes_total{code="1000"} 1.0',
        'gateway_closes_total{code="1006"} 1.0',
        'gateway_closes_total{code="4401"} 1.0',
        'gateway_closes_total{code="other"} 100.0',
    }
