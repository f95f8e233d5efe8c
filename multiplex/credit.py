"""Credit: how many bytes one call of a link may send in one direction before its receiver has taken some out.

A sender may send while its credit is above 0, and then takes off the whole message: one message may overdraw it. That
way a message of any size can be sent, and a receiver holds at most INITIAL_CREDIT bytes and one message more.
"""

from __future__ import annotations

from typing import Final

INITIAL_CREDIT: Final = 65_536
"""Bytes with which every call begins, in each direction (link.proto)."""

_GIVEN_BACK_FROM: Final = INITIAL_CREDIT // 2


class CreditBreachError(Exception):
    """The other end breaks the rules of credit."""


class SendCredit:
    """What may still be sent."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = INITIAL_CREDIT

    @property
    def open(self) -> bool:
        """Whether a message may be sent now."""
        return self._left > 0

    def spend(self, size: int) -> None:
        """Take off a message of `size` bytes. Raises ValueError without credit."""
        if self._left <= 0:
            raise ValueError("no credit")
        self._left -= size

    def granted(self, amount: int) -> None:
        """The receiver gives `amount` bytes back. Raises CreditBreachError if that is more than was spent."""
        self._left += amount
        if self._left > INITIAL_CREDIT:
            raise CreditBreachError


class ReceiveCredit:
    """What the other end may still send, and what it gets back."""

    __slots__ = ("_consumed", "_left")

    def __init__(self) -> None:
        self._left = INITIAL_CREDIT
        self._consumed = 0

    def received(self, size: int) -> None:
        """A message came. Raises CreditBreachError if the sender had no credit."""
        if self._left <= 0:
            raise CreditBreachError
        self._left -= size

    def consumed(self, size: int) -> int:
        """A message was taken out; returns the credit to give back now: 0 until half of the initial credit is due."""
        self._consumed += size
        if self._consumed < _GIVEN_BACK_FROM:
            return 0
        given, self._consumed = self._consumed, 0
        self._left += given
        return given
