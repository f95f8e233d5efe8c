"""Fair shares: rates, quotas, the slots of a service among owners, and idle streams that lose theirs first."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.shares import Room, Shares, Slot
from gateway.access.terms import Terms

A, B = Terms(owner="a"), Terms(owner="b")
IDLE_S = 30.0


class Desk:
    """Shares on clocks of its own, for a service whose slots it counts."""

    def __init__(self, total: int = 10, owners: int = 2) -> None:
        self.now = 1_000_000.0
        self.unix = 1_700_000_000.0
        self.total = total
        self.shares = Shares(lambda: owners, lambda: self.now, IDLE_S, lambda: self.unix)
        self.slots: list[Slot] = []
        self.asked: list[tuple[str, bool]] = []

    def room(self) -> Room:
        return Room(self.total, self.total - len(self.slots))

    def begins(self, terms: Terms, agrees: Callable[[bool], bool] = lambda _: True) -> bool:
        """Try to begin a stream; a full service refuses it, as its workers would."""
        refused = self.shares.check_stream(terms, ["stt"]) or self.shares.check_slots(terms, {"stt": self.room()})
        if refused is not None or self.room().free <= 0:
            return False

        def give_back(has_excess: bool) -> bool:
            self.asked.append((terms.owner, has_excess))
            return agrees(has_excess)

        self.slots.append(self.shares.take(terms, "stt", give_back))
        return True

    def ends(self, slot: Slot) -> None:
        self.slots.remove(slot)
        self.shares.free(slot)
        self.shares.free(slot)

    def held(self, terms: Terms) -> int:
        return sum(slot.owner == terms.owner for slot in self.slots)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_flood_is_refused_above_its_rate_and_touches_no_other_owner(desk: Desk) -> None:
    limited = Terms(owner="a", rate=5.0)
    admitted = 0
    for _ in range(2500):  # 50 times the rate, for 10 s
        admitted += desk.shares.charge(limited) is None
        desk.now += 0.004
    assert 50 <= admitted <= 61  # the rate, and a burst of 2 s
    refused = desk.shares.charge(limited)
    assert refused is None or 0 < (refused.wait_s or 0) <= 0.2
    assert all(desk.shares.charge(B) is None for _ in range(1000))
    desk.now += 100.0
    assert sum(desk.shares.charge(limited) is None for _ in range(100)) == 10


def test_to_ask_whether_an_owner_is_above_its_rate_costs_it_nothing(desk: Desk) -> None:
    limited = Terms(owner="a", rate=0.5)
    assert desk.shares.over_rate(limited) is None
    assert not desk.shares.is_flooded
    assert desk.shares.charge(limited) is None
    refused = desk.shares.over_rate(limited)
    assert refused is not None
    assert refused.reason == "rate"
    assert desk.shares.is_flooded
    desk.now += 2.0  # the time for one more
    assert desk.shares.is_flooded
    assert desk.shares.over_rate(limited) is None
    assert desk.shares.charge(limited) is None
    assert desk.shares.charge(limited) is not None
    desk.now += 60.0
    assert not desk.shares.is_flooded


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
def test_a_jump_of_the_system_clock_frees_no_flood_and_ends_no_stream(desk: Desk, jump_s: float) -> None:
    limited = Terms(owner="a", rate=5.0)
    while desk.shares.charge(limited) is None:
        pass
    while desk.begins(A):
        pass
    while desk.begins(B):
        pass
    desk.unix += jump_s
    refused = desk.shares.charge(limited)
    assert refused is not None
    assert 0 < (refused.wait_s or 0) <= 0.2
    assert desk.shares.is_flooded
    assert not desk.begins(B)
    assert desk.asked == []
    desk.now += IDLE_S
    assert not desk.shares.is_flooded
    assert sum(desk.shares.charge(limited) is None for _ in range(100)) == 10
    assert not desk.begins(B)
    assert len(desk.asked) == 1


def test_ever_new_owners_are_forgotten_once_they_use_nothing(desk: Desk) -> None:
    for number in range(10_000):
        assert desk.shares.charge(Terms(owner=f"user {number}", rate=1.0)) is None
        desk.now += 0.1  # ten new owners in the second that a bucket takes to be full
    assert len(desk.shares) <= 30


def test_an_owner_with_slots_media_or_an_empty_bucket_is_remembered(desk: Desk) -> None:
    rated, heard = Terms(owner="rated", rate=0.001), Terms(owner="heard", media_minutes=1.0)
    assert desk.begins(A)
    assert desk.shares.charge(rated) is None
    desk.shares.add_media(heard, 60_000)

    def new_owners() -> None:
        for number in range(1000):
            desk.shares.check_media(Terms(owner=f"user {number}", media_minutes=1.0))

    new_owners()
    assert desk.shares.charge(rated) is not None
    assert desk.shares.check_media(heard) is not None
    assert desk.shares.check_stream(Terms(owner="a", streams=1), ["stt"]) is not None
    assert 3 <= len(desk.shares) <= 6
    desk.ends(desk.slots[0])
    desk.now += 1000.0
    desk.unix += 86_400.0
    new_owners()
    assert len(desk.shares) <= 3


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 12)), max_size=80))
def test_that_others_are_forgotten_changes_no_owners_rate(begun: list[tuple[int, int]]) -> None:
    desk = Desk()
    alone = {number: Shares(lambda: 1, lambda: desk.now, IDLE_S) for number in range(7)}
    for number, quarters in begun:
        desk.now += quarters / 4
        terms = Terms(owner=f"owner {number}", rate=2.0 ** (number - 3))
        assert (desk.shares.charge(terms) is None) == (alone[number].charge(terms) is None)


def test_one_owner_alone_leaves_a_reserve_and_the_other_gets_it(desk: Desk) -> None:
    assert sum(desk.begins(A) for _ in range(50)) == 8
    assert desk.begins(B)
    assert desk.begins(B)
    assert not desk.begins(B)


def test_slots_that_come_free_go_to_the_owner_with_less_than_its_share(desk: Desk) -> None:
    while desk.begins(A):
        pass
    assert desk.begins(B)
    for _ in range(7):
        desk.ends(next(slot for slot in desk.slots if slot.owner == "a"))
        assert not desk.begins(A) or desk.held(A) <= 5
        desk.begins(B)
    assert desk.held(B) >= 5


def test_a_single_owner_may_have_every_slot() -> None:
    desk = Desk(owners=1)
    assert sum(desk.begins(A) for _ in range(50)) == 10


def test_few_slots_have_no_reserve() -> None:
    desk = Desk(total=2)
    assert sum(desk.begins(A) for _ in range(5)) == 2


def test_weights_divide_the_slots() -> None:
    desk = Desk(total=12)
    heavy = Terms(owner="a", weight=3.0)
    while desk.begins(heavy):
        pass
    assert desk.begins(B)
    for _ in range(6):
        desk.ends(next(slot for slot in desk.slots if slot.owner == "a"))
        desk.begins(B)
        desk.begins(heavy)
    assert desk.held(heavy) >= desk.held(B) * 2


def test_hoarded_slots_come_back_one_for_each_owner_that_waits(desk: Desk) -> None:
    """The streams of one owner send nothing, and others wait: the one that is idle for longest gives its slot back."""
    while desk.begins(A):
        desk.now += 1.0
    assert desk.begins(B)
    assert desk.begins(B)
    for speaking in desk.slots[-2:]:
        speaking.active_at = desk.now + 1000.0
    assert not desk.begins(B)
    assert desk.asked == []  # nobody is idle for long enough
    desk.now += IDLE_S
    desk.slots[0].active_at = desk.now  # the oldest one has just spoken
    assert not desk.begins(B)
    assert not desk.begins(B)
    assert desk.asked == [("a", True)]
    leaving = next(slot for slot in desk.slots if slot.is_leaving)
    assert leaving is desk.slots[1]
    desk.ends(leaving)
    assert not desk.begins(A)
    assert desk.begins(B)


def test_an_owner_with_its_share_takes_no_slot_from_others(desk: Desk) -> None:
    for _ in range(5):
        assert desk.begins(B)
    for _ in range(5):
        desk.begins(A)
    while desk.begins(A):
        pass
    desk.now += 10 * IDLE_S
    for slot in desk.slots:
        if slot.owner == "a":
            slot.active_at = desk.now
    assert not desk.begins(A)
    assert desk.asked == []


def test_a_stream_that_does_not_agree_is_skipped() -> None:
    desk = Desk(owners=1, total=2)
    assert desk.begins(A, agrees=lambda _: False)
    assert desk.begins(A)
    desk.now += IDLE_S
    assert not desk.begins(A)
    assert desk.asked == [("a", False), ("a", False)]
    assert [slot.is_leaving for slot in desk.slots] == [False, True]


def test_quotas_of_an_owner(desk: Desk) -> None:
    terms = Terms(owner="a", services={"stt"}, streams=2, media_minutes=1.0)
    refused = desk.shares.check_stream(terms, ["stt", "vision"])
    assert refused is not None
    assert (refused.reason, refused.wait_s) == ("service", None)
    assert desk.begins(terms)
    assert desk.begins(terms)
    refused = desk.shares.check_stream(terms, ["stt"])
    assert refused is not None
    assert refused.reason == "streams"
    desk.ends(desk.slots[0])
    desk.shares.add_media(terms, 59_999)
    assert desk.shares.check_stream(terms, ["stt"]) is None
    desk.shares.add_media(terms, 1)
    refused = desk.shares.check_stream(terms, ["stt"])
    assert refused is not None
    assert refused.reason == "media"
    desk.unix += refused.wait_s or 0.0
    assert desk.shares.check_stream(terms, ["stt"]) is None
