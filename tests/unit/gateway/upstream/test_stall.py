"""Who is silent: the worker or the client."""

from __future__ import annotations

from gateway.upstream.stall import StallClock


def write_at(clock: StallClock, *times: float) -> None:
    for now in times:
        clock.write_started(now)
        clock.write_finished(now, answer_owed=False)


def test_without_requests_nothing_is_owed() -> None:
    assert StallClock().stalled_for(100) == 0
    assert StallClock().unanswered_for(100) == 0


def test_writing_without_an_answer_counts() -> None:
    clock = StallClock()
    write_at(clock, 10, 11, 12, 13)
    assert clock.stalled_for(13) == 3
    assert clock.unanswered_for(13) == 3


def test_an_answer_restarts_the_count() -> None:
    clock = StallClock()
    write_at(clock, 10, 11)
    clock.result_received(11.5)
    assert clock.stalled_for(20) == 0
    write_at(clock, 21, 22)
    assert clock.stalled_for(22) == 1


def test_a_pause_of_the_client_does_not_count_against_the_worker() -> None:
    clock = StallClock()
    write_at(clock, 10, 11)
    assert clock.stalled_for(500) == 1
    write_at(clock, 500)
    assert clock.stalled_for(500) == 0


def test_a_write_held_up_by_flow_control_counts() -> None:
    clock = StallClock()
    clock.write_started(10)
    assert clock.stalled_for(25) == 15
    clock.result_received(25)
    assert clock.stalled_for(26) == 1


def test_a_flush_and_the_end_are_owed_an_answer_however_long_the_client_is_silent() -> None:
    clock = StallClock()
    clock.write_started(10)
    clock.write_finished(10, answer_owed=True)
    assert clock.stalled_for(40) == 30
    clock.result_received(40)
    assert clock.stalled_for(50) == 10
    clock.result_received(50, answered=True)
    assert clock.stalled_for(90) == 0
