"""The choice of a worker."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.balancer import EndpointView, Refusal, choose


def test_the_most_room_wins() -> None:
    assert choose([EndpointView("a", True, 1), EndpointView("b", True, 3), EndpointView("c", True, 2)]) == "b"


def test_streams_opened_since_the_report_count() -> None:
    assert choose([EndpointView("a", True, 3, pending=3), EndpointView("b", True, 1)]) == "b"


def test_streams_closed_since_the_report_count() -> None:
    assert choose([EndpointView("a", True, 0, pending=-1)]) == "a"


def test_endpoints_that_are_not_serving_are_left_out() -> None:
    assert choose([EndpointView("a", False, 9), EndpointView("b", True, 1)]) == "b"
    assert choose([EndpointView("a", False, 9)]) is Refusal.NONE_SERVING
    assert choose([]) is Refusal.NONE_SERVING


def test_a_recently_failed_endpoint_is_chosen_if_no_other_is_serving() -> None:
    failed = EndpointView("a", True, 9, ejected=True)
    assert choose([failed, EndpointView("b", True, 1)]) == "b"
    assert choose([failed, EndpointView("b", True, 0)]) is Refusal.ALL_FULL
    assert choose([failed, EndpointView("b", False, 1)]) == "a"
    assert choose([EndpointView("a", False, 9, ejected=True)]) is Refusal.NONE_SERVING


def test_all_full() -> None:
    assert choose([EndpointView("a", True, 0), EndpointView("b", True, 0, pending=1)]) is Refusal.ALL_FULL


def test_an_endpoint_full_only_by_our_own_count_is_the_last_choice() -> None:
    counted_twice = EndpointView("b", True, 1, pending=1)
    assert choose([EndpointView("a", True, 0), counted_twice]) == "b"
    assert choose([EndpointView("a", True, 2, pending=1), counted_twice]) == "a"


def test_a_tried_endpoint_comes_last_but_is_not_excluded() -> None:
    views = [EndpointView("a", True, 9), EndpointView("b", True, 1)]
    assert choose(views, {"a"}) == "b"
    assert choose(views[:1], {"a"}) == "a"


def test_a_name_that_grpc_balances_always_has_room() -> None:
    assert choose([EndpointView("xds:///stt", True, None, pending=1000)]) == "xds:///stt"


VIEWS = st.builds(
    EndpointView,
    key=st.sampled_from("abcdef"),
    serving=st.booleans(),
    free=st.none() | st.integers(0, 8),
    pending=st.integers(-4, 8),
    ejected=st.booleans(),
)


@given(st.lists(VIEWS, unique_by=lambda view: view.key), st.sets(st.sampled_from("abcdef")))
def test_the_chosen_endpoint_is_serving_and_the_best_of_its_class(views: list[EndpointView], tried: set[str]) -> None:
    choice = choose(views, tried)
    serving = [view for view in views if view.serving]
    serving = [view for view in serving if not view.ejected] or serving
    possible = [view for view in serving if view.room > 0] or [view for view in serving if view.free]
    if isinstance(choice, Refusal):
        assert not possible
        return
    chosen = next(view for view in possible if view.key == choice)
    rivals = [view for view in possible if (view.key in tried) <= (choice in tried)]
    assert chosen.room == max(view.room for view in rivals if (view.key in tried) == (choice in tried))
    assert choice not in tried or all(view.key in tried for view in possible)
