"""A socket whose messages are refused is read at a bounded pace."""

from __future__ import annotations

import pytest

from gateway.refusal_pace import REFUSED_BURST, REFUSED_PER_S, RefusalPace


def test_a_burst_of_refused_messages_is_free() -> None:
    pace = RefusalPace()
    assert [pace.pause_s(0.0) for _ in range(REFUSED_BURST)] == [0.0] * REFUSED_BURST


def test_then_each_waits_its_share_of_a_second() -> None:
    pace, now, paused = RefusalPace(), 0.0, 0.0
    for _ in range(200):
        pause = pace.pause_s(now)
        paused += pause
        now += pause
    assert paused == pytest.approx((200 - REFUSED_BURST) / REFUSED_PER_S)


def test_after_a_rest_a_burst_is_free_again() -> None:
    pace = RefusalPace()
    while not pace.pause_s(0.0):
        pass
    rested = 1 / REFUSED_PER_S + REFUSED_BURST / REFUSED_PER_S
    assert [pace.pause_s(rested) for _ in range(REFUSED_BURST)] == [0.0] * REFUSED_BURST
