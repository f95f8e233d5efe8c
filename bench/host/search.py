"""Which number of streams to try next, where each try takes a minute. Pure."""

from __future__ import annotations

from typing import Final

_WIDER: Final = 1.25
_NEAR: Final = 1.1


def next_trial(good: int, bad: int | None) -> int:
    """The next number: a quarter more while all keep up, a quarter less while none does, then between; 0: near enough.

    `good`: the largest number that kept up, 0: none did. `bad`: the smallest that did not, None: all did.
    """
    if bad is None:
        return max(good + 1, round(good * _WIDER))
    if not good:
        return int(bad / _WIDER) if bad > 1 else 0
    middle = (good + bad) // 2
    return 0 if bad <= max(good + 1, good * _NEAR) else middle
