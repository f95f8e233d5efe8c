"""What the benchmark of the gateway's own cost makes of its rows."""

from __future__ import annotations

import math

from bench.gateway.overhead.load import Load, Row
from bench.gateway.overhead.summary import bounds, ratios, summary

LIVE = Load("live", streams=100, rate=10, payload_bytes=3200)
CLOSED_LOOP = Load("saturated", streams=100, rate=0, payload_bytes=3200)


def row(us_per_chunk: float, delivered: float = 1.0, chunks_per_second: float = 1000.0) -> Row:
    return Row(
        us_per_chunk, chunks_per_second, delivered, p50_ms=1.0, p99_ms=9.0, busy=0.5, load_busy=0.1, load_average=1
    )


def test_rows_that_deliver_too_little_are_dropped_and_counted() -> None:
    found = summary(LIVE, [row(100), row(300), row(900, delivered=0.5)])
    assert (found["rows"], found["dropped_rows"]) == (2, 1)
    assert (found["us_per_chunk"], found["us_per_chunk_least"]) == (200, 100)


def test_a_closed_loop_drops_no_row() -> None:
    assert summary(CLOSED_LOOP, [row(100, delivered=0.5)])["rows"] == 1


def test_past_saturation_the_rate_is_kept_although_no_row_counts() -> None:
    found = summary(LIVE, [row(100, delivered=0.5, chunks_per_second=500)])
    assert (found["rows"], found["chunks_per_second"]) == (0, 500)
    assert ratios({"ours json": found, "node bridge": summary(LIVE, [row(50)])}) == {}


def test_the_gateway_is_compared_with_the_sum_of_both_echoes_and_with_each_bridge() -> None:
    costs = {"ws echo": 40.0, "grpc echo": 60.0, "node bridge": 80.0, "ours json": 200.0}
    found = ratios({name: summary(LIVE, [row(cost)]) for name, cost in costs.items()})
    assert found == {
        "ours json / echoes": 2.0,
        "ours json / node bridge": 2.5,
        "node bridge / echoes": 0.8,
    }


def test_what_was_not_measured_passes_no_bound() -> None:
    assert all(math.isnan(check.value) and check.verdict == "not measured" for check in bounds({}))
    measured = {"memory_kib": {"ours json": {"idle": 19.0, "with_stream": 61.0}}}
    verdicts = {check.name: check.verdict for check in bounds(measured)}
    assert (verdicts["KiB per idle connection"], verdicts["KiB per open stream"]) == ("pass", "FAIL")
