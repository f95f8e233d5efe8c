"""A short load with a failover moves what dashboard and alerts use, at a live gateway and live workers."""

from __future__ import annotations

from pathlib import Path

from settings.version import VERSION
from tests.e2e.observed import Samples, failover, observed, pictures, refused_by_a_full_worker, strangers, total
from tests.promql import all_queries, metrics_used

# What needs an outage: tests/e2e/test_prometheus.py (make check-deploy) moves these, too.
NEEDS_AN_OUTAGE = {
    "gateway_chunks_lost_total",
    "gateway_store_failures_total",
    "gateway_streams_congested",
    "gateway_read_pauses_total",
    "gateway_stream_behind_seconds",
    "gateway_replay_buffer_bytes",
    "gateway_store_pending_writes",
    "talkup_worker_decoder_deaths_total",
    "talkup_worker_queue_jobs",
}
TARGET_LABELS = {"job", "instance", "le"}


def labels_of(samples: Samples, metric: str) -> set[str]:
    return {name for key in samples[metric] for name, _ in key} - {"url"}


async def test_a_load_with_a_failover_moves_what_operators_watch(tmp_path: Path) -> None:
    with observed(tmp_path) as stack:
        await refused_by_a_full_worker(stack)
        await failover(stack)
        await pictures(stack)
        await strangers(stack)
        samples = await stack.until(lambda found: total(found, "gateway_streams") == 0)
    moved = {name for name in metrics_used() if stack.peaks.get(name, 0) > 0}
    assert metrics_used() - moved - NEEDS_AN_OUTAGE == set()
    for query in all_queries():
        for selector in query.selectors:
            if selector.metric in moved:
                assert selector.labels <= labels_of(samples, selector.metric) | TARGET_LABELS, query.where
    assert {worker for key in samples["gateway_worker_serving"] for name, worker in key if name == "worker"} == {
        each.target for each in (stack.first, stack.second, stack.full, stack.vision)
    }
    assert total(samples, "gateway_failovers_total", service="stt") == 2
    assert total(samples, "gateway_admission_seconds_count", kind="failover") == 2
    assert total(samples, "gateway_retries_total", reason="resource_exhausted") > 0
    assert total(samples, "gateway_chunks_dropped_total", reason="missing") == 4
    assert total(samples, "gateway_chunks_dropped_total", reason="duplicate") == 4
    assert total(samples, "gateway_final_latency_seconds_count") > 0
    assert total(samples, "gateway_store_operation_seconds_count", operation="end_stream") >= 6
    assert total(samples, "talkup_build_info", component="gateway", version=VERSION) == 1
    assert total(samples, "talkup_worker_model_info", model="fake") == 2
