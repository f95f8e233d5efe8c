"""The choice of a worker."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.balancer import EndpointView, Refusal, choose

Rng = Callable[[], float]
LARGEST = 1 - 2**-53


@pytest.fixture(params=[0.0, 0.5, LARGEST], ids=["low", "middle", "high"])
def rng(request: pytest.FixtureRequest) -> Rng:
    """Chance at its limits. Where up to three endpoints are left, it decides nothing."""
    return lambda: request.param


def test_of_up_to_three_the_one_with_the_most_room_wins(rng: Rng) -> None:
    assert choose([EndpointView("a", True, 1), EndpointView("b", True, 3), EndpointView("c", True, 2)], rng) == "b"


def test_every_pair_is_compared_equally_often() -> None:
    """Of five with different room, the best is in two of five pairs, the next in three of ten, … the last in none."""
    views = [EndpointView(key, True, free) for key, free in zip("abcde", (5, 1, 3, 2, 4), strict=True)]
    seeded = random.Random(1)
    chosen = Counter(choose(views, seeded.random) for _ in range(10_000))
    assert "b" not in chosen
    for key, share in {"a": 0.4, "e": 0.3, "c": 0.2, "d": 0.1}.items():
        assert chosen[key] / 10_000 == pytest.approx(share, abs=0.02)


def test_gateways_with_the_same_old_report_do_not_all_choose_the_same_worker() -> None:
    """20 gateways place 20 streams each from one report, in which one of 20 workers has a little more room."""
    loads: Counter[str] = Counter()
    for gateway in range(20):
        seeded, opened = random.Random(gateway), Counter[str]()
        for _ in range(20):
            views = [EndpointView(f"w{n:02}", True, 40 + (n == 0), pending=opened[f"w{n:02}"]) for n in range(20)]
            choice = choose(views, seeded.random)
            assert isinstance(choice, str)
            opened[choice] += 1
        loads += opened
    assert loads.total() == 400
    assert len(loads) == 20
    assert max(loads.values()) <= 40  # 20 on average; all at the first worker would be 400, most of them refused


def test_a_storm_of_first_streams_spreads() -> None:
    """400 gateways place one stream each: without chance, all would go to the worker with the most room."""
    seeded = random.Random(1)
    views = [EndpointView(f"w{n:02}", True, 40 + (n == 0)) for n in range(20)]
    loads = Counter(choose(views, seeded.random) for _ in range(400))
    assert max(loads.values()) <= 60


def test_streams_opened_since_the_report_count(rng: Rng) -> None:
    assert choose([EndpointView("a", True, 3, pending=3), EndpointView("b", True, 1)], rng) == "b"


def test_streams_closed_since_the_report_count(rng: Rng) -> None:
    assert choose([EndpointView("a", True, 0, pending=-1)], rng) == "a"


def test_endpoints_that_are_not_serving_are_left_out(rng: Rng) -> None:
    assert choose([EndpointView("a", False, 9), EndpointView("b", True, 1)], rng) == "b"
    assert choose([EndpointView("a", False, 9)], rng) is Refusal.NONE_SERVING
    assert choose([], rng) is Refusal.NONE_SERVING


def test_a_recently_failed_endpoint_is_chosen_if_no_other_is_serving(rng: Rng) -> None:
    failed = EndpointView("a", True, 9, ejected=True)
    assert choose([failed, EndpointView("b", True, 1)], rng) == "b"
    assert choose([failed, EndpointView("b", True, 0)], rng) is Refusal.ALL_FULL
    assert choose([failed, EndpointView("b", False, 1)], rng) == "a"
    assert choose([EndpointView("a", False, 9, ejected=True)], rng) is Refusal.NONE_SERVING


def test_all_full(rng: Rng) -> None:
    assert choose([EndpointView("a", True, 0), EndpointView("b", True, 0, pending=1)], rng) is Refusal.ALL_FULL


def test_an_endpoint_full_only_by_our_own_count_is_the_last_choice(rng: Rng) -> None:
    counted_twice = EndpointView("b", True, 1, pending=1)
    assert choose([EndpointView("a", True, 0), counted_twice], rng) == "b"
    assert choose([EndpointView("a", True, 2, pending=1), counted_twice], rng) == "a"


def test_a_tried_endpoint_comes_last_but_is_not_excluded(rng: Rng) -> None:
    views = [EndpointView("a", True, 9), EndpointView("b", True, 1)]
    assert choose(views, rng, {"a"}) == "b"
    assert choose(views[:1], rng, {"a"}) == "a"


def test_a_name_that_grpc_balances_always_has_room(rng: Rng) -> None:
    assert choose([EndpointView("xds:///stt", True, None, pending=1000)], rng) == "xds:///stt"


VIEWS = st.builds(
    EndpointView,
    key=st.sampled_from("abcdef"),
    serving=st.booleans(),
    free=st.none() | st.integers(0, 8),
    pending=st.integers(-4, 8),
    ejected=st.booleans(),
)


@given(
    st.lists(VIEWS, unique_by=lambda view: view.key),
    st.sets(st.sampled_from("abcdef")),
    st.integers(0, 2**32),
)
def test_the_chosen_endpoint_is_serving_and_never_the_worst_of_its_class(
    views: list[EndpointView], tried: set[str], seed: int
) -> None:
    choice = choose(views, random.Random(seed).random, tried)
    serving = [view for view in views if view.serving]
    serving = [view for view in serving if not view.ejected] or serving
    possible = [view for view in serving if view.room > 0] or [view for view in serving if view.free]
    if isinstance(choice, Refusal):
        assert not possible
        return
    chosen = next(view for view in possible if view.key == choice)
    assert choice not in tried or all(view.key in tried for view in possible)
    rivals = [view for view in possible if (view.key in tried) == (choice in tried) and view is not chosen]
    assert not rivals or chosen.room >= min(view.room for view in rivals)
