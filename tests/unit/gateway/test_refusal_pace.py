"""Sockets whose messages are refused are read at a bounded pace, each by itself and those of an owner together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.refusal_pace import LONGEST_WAIT_S, MISTAKES, REFUSED_BURST, REFUSED_PER_S, OwnerPaces, Pace, SocketPace

REST_S = (REFUSED_BURST + 1) / REFUSED_PER_S
"""After so many seconds without refusals, a pace in debt by one message is full again."""


def nonsense(socket: SocketPace, count: int, now: float = 0.0, owner: str = "office") -> list[float]:
    """The pauses of a socket that has sent nothing before, and now sends as many messages as are refused."""
    return [socket.pause_s(owner, received, now) for received in range(1, count + 1)]


def test_a_burst_of_refused_messages_is_free() -> None:
    pace = Pace()
    assert [pace.pause_s(0.0) for _ in range(REFUSED_BURST)] == [0.0] * REFUSED_BURST


def test_then_each_waits_its_share_of_a_second() -> None:
    pace, now, paused = Pace(), 0.0, 0.0
    for _ in range(200):
        pause = pace.pause_s(now)
        paused += pause
        now += pause
    assert paused == pytest.approx((200 - REFUSED_BURST) / REFUSED_PER_S)


def test_after_a_rest_a_burst_is_free_again() -> None:
    pace = Pace()
    while not pace.pause_s(0.0):
        assert not pace.is_full(0.0)
    assert pace.is_full(REST_S)
    assert [pace.pause_s(REST_S) for _ in range(REFUSED_BURST)] == [0.0] * REFUSED_BURST


def test_a_new_socket_of_an_owner_is_no_new_burst() -> None:
    owners = OwnerPaces()
    assert nonsense(SocketPace(owners), REFUSED_BURST) == [0.0] * REFUSED_BURST
    pauses = [pause for _ in range(10) for pause in nonsense(SocketPace(owners), REFUSED_BURST)]
    charged = (REFUSED_BURST - MISTAKES) * 11 - REFUSED_BURST
    assert sum(pause > 0 for pause in pauses) == charged
    assert max(pauses) == pytest.approx(min(LONGEST_WAIT_S, charged / REFUSED_PER_S))


def test_another_owners_socket_has_its_own_burst() -> None:
    owners = OwnerPaces()
    nonsense(SocketPace(owners), 200, owner="flood")
    assert nonsense(SocketPace(owners), REFUSED_BURST) == [0.0] * REFUSED_BURST


def test_an_office_of_clients_with_a_mistake_each_does_not_wait_while_one_floods() -> None:
    owners = OwnerPaces()
    flood = SocketPace(owners)
    assert nonsense(flood, 200)[-1] > 1.0
    office = [SocketPace(owners) for _ in range(500)]
    assert {pause for client in office for pause in nonsense(client, MISTAKES)} == {0.0}
    assert nonsense(SocketPace(owners), MISTAKES + 1)[-1] > 1.0


def test_a_client_whose_other_messages_are_accepted_does_not_wait_for_others() -> None:
    owners = OwnerPaces()
    nonsense(SocketPace(owners), 200)
    client, received = SocketPace(owners), 0
    for second in range(100):
        received += 2  # one accepted message before each refused one
        assert client.pause_s("office", received, second / 100) <= LONGEST_WAIT_S / 2
        assert owners.pause_s("office", second / 100) > LONGEST_WAIT_S / 2


def test_accepted_messages_make_up_for_a_burst_and_no_more() -> None:
    owners = OwnerPaces()
    nonsense(SocketPace(owners), 200)
    client = SocketPace(owners)
    pauses = [client.pause_s("office", 10_000 + number, 0.0) for number in range(REFUSED_BURST + 1)]
    assert pauses[:REFUSED_BURST] == [0.0] * REFUSED_BURST
    assert pauses[REFUSED_BURST] > 1.0


def test_the_wait_for_other_sockets_is_bounded_and_so_is_what_they_leave_behind() -> None:
    owners = OwnerPaces()
    for _ in range(1000):
        nonsense(SocketPace(owners), REFUSED_BURST)
    assert nonsense(SocketPace(owners), REFUSED_BURST)[-1] == LONGEST_WAIT_S
    assert owners.pause_s("office", LONGEST_WAIT_S + REST_S) == 0.0


def test_an_owner_is_forgotten_once_its_burst_is_whole() -> None:
    owners = OwnerPaces()
    for number in range(1000):
        owners.pause_s(f"address {number}", 0.0)
    assert len(owners) == 1000
    owners.pause_s("address new", REST_S)
    assert len(owners) == 1


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0.0, 0.5)), max_size=60))
def test_however_owners_alternate_forgetting_one_makes_no_difference(refusals: list[tuple[int, float]]) -> None:
    owners, kept, now = OwnerPaces(), {number: Pace() for number in range(5)}, 1e9
    for owner, passed in refusals:
        now += passed
        assert owners.pause_s(str(owner), now) == pytest.approx(kept[owner].pause_s(now))
