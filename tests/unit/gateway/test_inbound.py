"""What clients have sent and nobody has read: bounded in total; above the bound, the largest holder is closed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.inbound import FRAME_OVERHEAD, Inbound, ReadAhead, Unread


class Socket:
    def __init__(self, inbound: Inbound, ahead: ReadAhead | None = None) -> None:
        self.is_closed = False
        self.unread = Unread(inbound, self.close, ahead)

    def close(self) -> None:
        self.is_closed = True
        self.unread.close()


def test_the_socket_that_holds_the_most_is_closed() -> None:
    inbound = Inbound(10_000, step=1)
    small, large, late = (Socket(inbound) for _ in range(3))
    small.unread.count(1000)
    large.unread.add_frame(6000, is_last=False)
    large.unread.count(500)
    assert inbound.total == 1000 + 6000 + 500 + FRAME_OVERHEAD
    late.unread.count(4000)
    assert [socket.is_closed for socket in (small, large, late)] == [False, True, False]
    large.unread.count(9000)
    assert inbound.total == 5000


def test_frames_without_content_count_too() -> None:
    inbound = Inbound(1_000_000)
    socket = Socket(inbound)
    for _ in range(4000):
        socket.unread.add_frame(0, is_last=False)
    socket.unread.count(0)
    assert socket.is_closed


def test_a_socket_is_paused_by_whole_messages_and_continues_when_few_are_left() -> None:
    unread = Socket(Inbound(10**9), ReadAhead(messages=(3, 1), bytes=(10_000, 2000))).unread
    for _ in range(10):
        unread.add_frame(10, is_last=False)
    assert not unread.is_full
    unread.add_frame(10, is_last=True)
    for _ in range(3):
        unread.add_frame(10, is_last=True)
    assert unread.is_full
    unread.take_message()
    unread.take_message()
    assert unread.is_full
    unread.take_message()
    assert not unread.is_full
    unread.add_frame(12_000, is_last=True)
    assert unread.is_full


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 4000)), max_size=80))
def test_the_total_is_the_sum_and_never_above_the_bound(steps: list[tuple[int, int, int]]) -> None:
    inbound = Inbound(20_000, step=1)
    sockets = [Socket(inbound) for _ in range(5)]
    buffered = [0] * 5
    for index, step, size in steps:
        unread = sockets[index].unread
        match step:
            case 0 | 1:
                unread.add_frame(size, is_last=step == 1)
            case 2:
                unread.take_message()
            case 3:
                buffered[index] = size
        unread.count(buffered[index])
        assert inbound.total <= 20_000
    for socket in sockets:
        socket.close()
    assert inbound.total == 0
