"""Syllables of numbers as English and French read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_MOST_DIGITS: Final = 12
"""Longer numbers are read digit by digit."""


@dataclass(frozen=True, slots=True)
class Numerals:
    """Syllables of 0 to 19, of the tens from 20, of a hundred, and of thousand, million and milliard.

    `by_twenties`: 70 is sixty-ten and 90 four-twenties-ten. `years`: 1984 is nineteen eighty-four. `silent_one`: a
    hundred and a thousand go without "one".
    """

    small: tuple[int, ...]
    tens: tuple[int, ...]
    hundred: int
    thousands: tuple[int, int, int]
    by_twenties: bool
    years: bool
    silent_one: bool

    def count(self, digits: str) -> int:
        """Syllables of a number written in digits."""
        if len(digits) > _MOST_DIGITS or (len(digits) > 1 and digits.startswith("0")):
            return sum(self.small[int(digit)] for digit in digits)
        number = int(digits)
        if self.years and len(digits) == 4 and (1100 <= number < 2000 or 2010 <= number < 2100):
            return self._year(number)
        if number == 0:
            return self.small[0]
        total = self._below_thousand(number % 1000)
        for name in self.thousands:
            number //= 1000
            group = number % 1000
            if group:
                total += name if group == 1 and self.silent_one and name == 1 else self._below_thousand(group) + name
        return total

    def _year(self, number: int) -> int:
        century, rest = divmod(number, 100)
        if rest == 0:
            return self._below_hundred(century) + self.hundred
        oh = 1 if rest < 10 else 0
        return self._below_hundred(century) + oh + self._below_hundred(rest)

    def _below_thousand(self, number: int) -> int:
        hundreds, rest = divmod(number, 100)
        counted = hundreds if hundreds > 1 or not self.silent_one else 0
        return self._below_hundred(rest) + (self.hundred if hundreds else 0) + (self.small[counted] if counted else 0)

    def _below_hundred(self, number: int) -> int:
        if number < 20:
            return self.small[number] if number else 0
        ten, unit = divmod(number, 10)
        if not self.by_twenties:
            return self.tens[ten - 2] + (self.small[unit] if unit else 0)
        and_one = int(unit == 1 and ten < 8)
        if ten in {7, 9}:
            ten, unit = ten - 1, unit + 10
        return self.tens[ten - 2] + and_one + (self.small[unit] if unit else 0)


ENGLISH: Final = Numerals(
    (2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 3, 1, 2, 2, 2, 2, 3, 2, 2),
    (2, 2, 2, 2, 2, 3, 2, 2),
    hundred=2,
    thousands=(2, 2, 2),
    by_twenties=False,
    years=True,
    silent_one=False,
)

FRENCH: Final = Numerals(
    (2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 2, 2, 2),
    (1, 1, 2, 2, 2, 2, 3, 3),
    hundred=1,
    thousands=(1, 2, 2),
    by_twenties=True,
    years=False,
    silent_one=True,
)
