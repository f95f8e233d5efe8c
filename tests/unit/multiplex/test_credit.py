"""Credit: a sender never sends without it, and never waits for credit that nobody will give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiplex.credit import INITIAL_CREDIT, CreditBreachError, ReceiveCredit, SendCredit


def test_one_message_may_overdraw_the_credit_and_the_next_one_waits() -> None:
    sender = SendCredit()
    sender.spend(10 * INITIAL_CREDIT)
    assert not sender.open
    with pytest.raises(ValueError, match="no credit"):
        sender.spend(1)
    sender.granted(9 * INITIAL_CREDIT)
    assert not sender.open
    sender.granted(1)
    assert sender.open


def test_more_credit_than_was_spent_is_a_breach() -> None:
    sender = SendCredit()
    sender.spend(100)
    sender.granted(100)
    with pytest.raises(CreditBreachError):
        sender.granted(1)


def test_a_message_without_credit_is_a_breach() -> None:
    receiver = ReceiveCredit()
    receiver.received(INITIAL_CREDIT)
    with pytest.raises(CreditBreachError):
        receiver.received(1)


def test_credit_comes_back_in_large_pieces() -> None:
    receiver = ReceiveCredit()
    grants = []
    for _ in range(64):
        receiver.received(1024)
        grants.append(receiver.consumed(1024))
    assert [grant for grant in grants if grant] == [INITIAL_CREDIT // 2] * 2


@given(st.lists(st.integers(0, 3 * INITIAL_CREDIT), max_size=60), st.randoms(use_true_random=False))
def test_whatever_the_sizes_the_receiver_holds_little_and_the_sender_goes_on(sizes: list[int], random: object) -> None:
    sender, receiver = SendCredit(), ReceiveCredit()
    held: list[int] = []
    unsent = list(sizes)
    while unsent or held:
        if unsent and sender.open and (not held or random.random() < 0.5):  # type: ignore[attr-defined]
            size = unsent.pop(0)
            assert sum(held) < INITIAL_CREDIT
            sender.spend(size)
            receiver.received(size)
            held.append(size)
        else:
            assert held, "the sender waits, and nothing is left to take out"
            sender.granted(receiver.consumed(held.pop(0)))
    assert sender.open
