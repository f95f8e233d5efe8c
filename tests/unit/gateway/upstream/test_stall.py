"""Whose silence it is."""

from __future__ import annotations

from gateway.upstream.stall import StallClock


def fed(clock: StallClock, *times: float) -> None:
    for now in times:
        clock.write_began(now)
        clock.write_done(now, answer_owed=False)


def test_nothing_asked_nothing_owed() -> None:
    assert StallClock().starved(100) == 0
    assert StallClock().waited(100) == 0


def test_feeding_without_an_answer_counts() -> None:
    clock = StallClock()
    fed(clock, 10, 11, 12, 13)
    assert clock.starved(13) == 3
    assert clock.waited(13) == 3


def test_an_answer_starts_anew() -> None:
    clock = StallClock()
    fed(clock, 10, 11)
    clock.heard(11.5)
    assert clock.starved(20) == 0
    fed(clock, 21, 22)
    assert clock.starved(22) == 1


def test_a_client_that_pauses_does_not_accuse_the_worker() -> None:
    clock = StallClock()
    fed(clock, 10, 11)
    assert clock.starved(500) == 1
    fed(clock, 500)
    assert clock.starved(500) == 0


def test_a_write_held_up_by_flow_control_counts() -> None:
    clock = StallClock()
    clock.write_began(10)
    assert clock.starved(25) == 15
    clock.heard(25)
    assert clock.starved(26) == 1


def test_a_flush_and_the_end_are_owed_an_answer_however_long_the_client_is_silent() -> None:
    clock = StallClock()
    clock.write_began(10)
    clock.write_done(10, answer_owed=True)
    assert clock.starved(40) == 30
    clock.heard(40)
    assert clock.starved(50) == 10
    clock.heard(50, answered=True)
    assert clock.starved(90) == 0
