"""What the gateway knows about one endpoint."""

from __future__ import annotations

from talkup.v1 import task_pb2, worker_service_pb2

from gateway.upstream.config import RetryPolicy
from gateway.upstream.health import EndpointState

POLICY = RetryPolicy(eject_first=1.0, eject_last=4.0)


def description(free: int, *, draining: bool = False) -> worker_service_pb2.DescribeResponse:
    return worker_service_pb2.DescribeResponse(slots=task_pb2.Slots(total=4, free=free), draining=draining)


def serving(free: int = 4) -> EndpointState:
    state = EndpointState("a", POLICY, fresh_for=3.0)
    state.health_changed(True)
    state.probe_sent()
    state.probe_answered(description(free), 0.0)
    return state


def test_an_endpoint_serves_only_if_healthy_and_recently_described() -> None:
    state = EndpointState("a", POLICY, fresh_for=3.0)
    assert not state.available(0.0)
    state.health_changed(True)
    assert not state.available(0.0)
    state.probe_answered(description(1), 0.0)
    assert state.available(3.0)
    assert not state.available(3.1)
    assert state.silent_for(3.1) == 3.1
    state.health_changed(False)
    assert not state.available(0.0)


def test_a_report_from_before_the_model_was_loaded_does_not_count() -> None:
    state = EndpointState("a", POLICY, fresh_for=3.0)
    state.probe_answered(worker_service_pb2.DescribeResponse(), 0.0)
    state.health_changed(True)
    assert not state.available(0.1)
    state.probe_answered(description(2), 0.2)
    assert state.available(0.2)
    assert state.view(0.2).room == 2


def test_opens_and_closes_since_the_probe_was_sent_count() -> None:
    state = serving(free=2)
    state.stream_opened()
    state.stream_opened()
    assert state.view(0.0).room == 0
    state.probe_sent()
    state.stream_closed()
    state.probe_answered(description(0), 1.0)
    assert state.view(1.0).room == 1


def test_a_refusal_is_believed_until_the_next_report() -> None:
    state = serving()
    state.refused()
    assert state.view(0.0).room == 0
    state.probe_answered(description(3), 1.0)
    assert state.view(1.0).room == 3


def test_a_released_slot_ends_a_refusal() -> None:
    state = serving(free=0)
    state.stream_opened()
    state.refused()
    state.stream_closed()
    state.stream_closed()
    assert state.view(0.0).room == 1


def test_ejection_doubles_up_to_its_limit_and_ends() -> None:
    state = serving()
    now, pauses = 0.0, []
    for _ in range(4):
        state.eject(now)
        pauses.append(state.ejected_for(now))
        assert state.view(now).ejected
        assert state.available(0.0)
        now += pauses[-1]
        assert state.ejected_for(now) == 0
    assert pauses == [1.0, 2.0, 4.0, 4.0]
    state.stream_progressed()
    state.eject(now)
    assert state.ejected_for(now) == 1.0


def test_failures_of_many_streams_at_once_are_one_ejection() -> None:
    state = serving()
    for _ in range(10):
        state.eject(0.0)
    assert state.ejected_for(0.0) == 1.0


def test_a_worker_that_comes_back_may_be_used_at_once() -> None:
    state = serving()
    state.drain_reported()
    state.eject(0.0)
    state.health_changed(False)
    state.health_changed(True)
    view = state.view(0.0)
    assert view.serving
    assert not view.ejected


def test_a_draining_or_retired_endpoint_gets_nothing_new() -> None:
    state = serving()
    state.drain_reported()
    assert not state.view(0.0).serving
    state.probe_answered(description(4, draining=True), 0.0)
    assert not state.view(0.0).serving
    state.probe_sent()
    state.probe_answered(description(4), 0.0)
    assert state.view(0.0).serving
    state.retired = True
    assert not state.view(0.0).serving
    assert state.silent_for(100.0) == 0.0


def test_a_report_requested_before_the_drain_does_not_cancel_it() -> None:
    state = serving()
    state.probe_sent()
    state.drain_reported()
    state.probe_answered(description(4), 0.0)
    assert not state.view(0.0).serving
    state.probe_sent()
    state.probe_answered(description(4), 0.0)
    assert state.view(0.0).serving


def test_a_name_that_grpc_balances_has_no_slot_count() -> None:
    state = EndpointState("xds:///a", POLICY, fresh_for=3.0, balanced_by_grpc=True)
    state.health_changed(True)
    state.probe_answered(description(0), 0.0)
    assert state.view(0.0).free is None
