"""Signs of life: while work is owed, every 3 s, and not for a model that hangs."""

from __future__ import annotations

from workers.stt.heartbeat import Heartbeat


def test_nothing_is_owed_before_the_first_chunk_and_after_an_answer() -> None:
    heart = Heartbeat(100.0)
    assert heart.next_beat(500.0, working=False) is None
    heart.asked(500.0)
    assert heart.next_beat(501.0, working=False) == 2.0
    heart.answered(502.0)
    assert heart.next_beat(900.0, working=False) is None
    assert not heart.beat(900.0, working=False)


def test_a_pause_of_the_client_is_followed_by_a_full_interval() -> None:
    heart = Heartbeat(0.0)
    heart.answered(10.0)
    heart.asked(100.0)
    assert not heart.beat(102.0, working=False)
    assert heart.beat(103.0, working=False)
    assert heart.next_beat(104.0, working=False) is None  # that was the answer to what was asked


def test_work_beats_every_three_seconds_while_the_model_begins_batches() -> None:
    heart = Heartbeat(0.0)
    beats = 0
    for second in range(1, 301):
        heart.worked(second // 60, float(second))
        beats += heart.beat(float(second), working=True)
    assert beats == 100


def test_a_model_that_begins_nothing_for_two_minutes_is_not_vouched_for() -> None:
    heart = Heartbeat(0.0)
    heart.worked(7, 0.0)
    beats = []
    for second in range(1, 301):
        heart.worked(7, float(second))
        if heart.beat(float(second), working=True):
            beats.append(second)
    assert beats[-1] == 117
    heart.worked(8, 301.0)
    assert heart.beat(304.0, working=True)
