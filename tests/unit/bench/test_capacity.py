"""The simulation of sessions that lose a zone, and the calculation of what speakers need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.capacity.__main__ import simulate
from bench.capacity.figures import summary, times
from bench.capacity.plan import Plan
from bench.capacity.sizing import Assumptions, HostFigures, autoscaling, needs, sized
from bench.host.__main__ import host_figures, largest
from bench.host.search import next_trial
from tests.unit.architecture.source import ROOT

SMALL = sized(1_000, seed=7, workers=9, gateways=6, slots=200)


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return summary(SMALL, simulate(SMALL))


def test_every_stream_is_placed_and_survives_the_loss_of_a_zone(figures: dict[str, Any]) -> None:
    assert figures["sessions"] == figures["from arrival to a worker"]["count"] == 1_000
    assert figures["streams that ended with an error"] == figures["streams without a worker at the end"] == 0
    moved = figures["sessions that lost their gateway"] + figures["streams that lost only their worker"]
    assert figures["after the failure: streams at another worker"]["count"] >= moved > 300
    assert (
        figures["after the failure: clients back at a gateway"]["count"] == figures["sessions that lost their gateway"]
    )


def test_after_the_storm_every_client_is_back_and_every_stream_at_a_worker(figures: dict[str, Any]) -> None:
    assert (
        figures["sockets lost in the storm"] == figures["after the storm: clients back at a gateway"]["count"] == 1_000
    )
    moved = figures["after the storm: streams that moved, at a worker"]
    assert 600 < moved["count"] < 900  # the others came back to their own gateway, one of four
    assert moved["max"] < 5


def test_the_balancer_spreads_streams_evenly(figures: dict[str, Any]) -> None:
    least, most = figures["streams a worker, least and most"]
    assert most - least <= 0.15 * 1_000 / 9


def test_a_seed_gives_the_same_figures_on_any_number_of_processes() -> None:
    tiny = replace(SMALL, sessions=200, cells=2)
    assert simulate(tiny) == simulate(tiny, jobs=2)
    assert simulate(tiny) != simulate(replace(tiny, seed=8))


def test_a_plan_without_room_for_the_loss_of_a_zone_fails_streams_and_says_so() -> None:
    tight = replace(SMALL, sessions=300, workers=3, slots=110, storm_at=160.0, ends_at=170.0)
    found = summary(tight, simulate(tight))
    assert found["streams that ended with an error"] == 300 - 220
    assert found["streams a worker at the end, least and most"] == [110, 110]


def test_the_defaults_are_what_the_calculation_gives() -> None:
    assert sized(100_000) == Plan()


def test_needs_grow_with_speakers_and_shrink_with_faster_hosts() -> None:
    one, hundred = needs(1_000), needs(100_000)
    assert hundred["cells"] == 50
    assert one["speech workers"] * one["slots of a worker"] * 2 / 3 >= 1_000
    assert hundred["speech workers"] * hundred["slots of a worker"] * 2 / 3 >= 100_000
    fast = needs(1_000, HostFigures(streams_per_core=40.0, gateway_us_per_chunk=200.0))
    assert fast["speech workers"] < one["speech workers"]
    assert fast["gateway processes"] < one["gateway processes"]
    assert needs(1_000, assumed=Assumptions(zones=1))["speech workers"] < one["speech workers"]


def test_an_autoscaler_keeps_room_for_a_zone() -> None:
    numbers = autoscaling(HostFigures())
    assert numbers["workers: talkup_worker_slots_used_ratio, target"] == 0.67


def test_figures_of_a_host_that_were_not_measured_keep_their_defaults() -> None:
    speech = {"largest": 24, "cores": 2, "slots_by_worker": 20, "worker_mb": 400, "stream_mb": 3.5}
    host = HostFigures.of(host_figures(speech, "not measured: no Node.js", has_gpu=False))
    assert host == replace(HostFigures(), streams_per_core=12.0, worker_mb=400.0, stream_mb=3.5)


def test_percentiles_are_observed_values() -> None:
    assert times(range(1, 101)) == {"count": 100, "p50": 50, "p95": 95, "p99": 99, "max": 100}
    assert times([]) == {"count": 0}


@pytest.mark.parametrize("capacity", [0, 1, 7, 20, 33, 200])
def test_the_search_finds_what_a_host_carries(capacity: int) -> None:
    tried: list[int] = []

    def keeps_up(streams: int) -> bool:
        tried.append(streams)
        return streams <= capacity

    found = largest(keeps_up, 20, lambda: 1000.0)
    assert found <= capacity <= max(found + 1, 1.25 * found)
    assert len(tried) == len(set(tried)) <= 20


def test_the_search_stops_when_the_time_is_used_up() -> None:
    left = iter([300.0, 200.0, 100.0, 40.0])
    assert largest(lambda _: True, 20, lambda: next(left)) == 31


def test_the_next_number_lies_between() -> None:
    assert next_trial(20, 30) == 25
    assert next_trial(20, 22) == 0


def test_the_page_on_deployment_shows_what_the_calculation_gives() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    one, hundred = needs(1_000), needs(100_000)
    missing = [name for name in one if f"| {name} | {one[name]:,} | {hundred[name]:,} |" not in page]
    assert missing == ["speakers"]  # the head of the table
