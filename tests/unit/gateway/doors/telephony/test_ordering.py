"""Messages come out in order, each once, whatever order they came in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.doors.telephony.ordering import MOST_BYTES, MOST_HELD, WAIT_S, Ordering


def test_a_message_that_overtook_another_waits_for_it() -> None:
    ordering: Ordering[str] = Ordering(2)
    assert ordering.offer(3, "c", 0.0) == []
    assert ordering.deadline() == WAIT_S
    assert ordering.offer(2, "b", 0.5) == ["b", "c"]
    assert ordering.deadline() is None


def test_a_message_that_does_not_come_is_given_up_and_counted() -> None:
    ordering: Ordering[str] = Ordering(2)
    ordering.offer(4, "d", 0.0)
    assert ordering.poll(WAIT_S - 0.1) == []
    assert ordering.poll(WAIT_S) == ["d"]
    assert ordering.missing == 2
    assert ordering.offer(3, "c", 2.0) == []
    assert ordering.repeated == 1


def test_no_more_wait_than_may() -> None:
    ordering: Ordering[int] = Ordering(0)
    released = [each for number in range(1, MOST_HELD + 2) for each in ordering.offer(number, number, 0.0)]
    assert released == list(range(1, MOST_HELD + 2))
    assert ordering.missing == 1


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(0, MOST_BYTES + 1)), max_size=60))
def test_no_more_bytes_wait_than_may(messages: list[tuple[int, int]]) -> None:
    ordering: Ordering[int] = Ordering(0)
    sizes: dict[int, int] = {}
    out: list[int] = []
    for number, size in messages:
        if number not in sizes and number > max(out, default=0):
            sizes[number] = size
        out += ordering.offer(number, number, 0.0, size=size)
        assert sum(sizes[each] for each in sizes.keys() - set(out)) <= MOST_BYTES
    assert out == sorted(set(out))


@given(st.permutations(range(1, 20)), st.lists(st.integers(1, 19)))
def test_every_message_comes_out_once_and_in_order(numbers: list[int], again: list[int]) -> None:
    ordering: Ordering[int] = Ordering(1)
    out = [each for number in [*numbers[:10], *again, *numbers[10:]] for each in ordering.offer(number, number, 0.0)]
    assert out + ordering.drain() == list(range(1, 20))
    assert ordering.missing == 0
    assert ordering.repeated == len(again)
