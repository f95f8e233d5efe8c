"""Puts numbered messages in order: one that overtook others waits for them, but not for long. Pure."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

T = TypeVar("T")

WAIT_S: Final = 1.0
"""How long messages wait for an earlier one."""

MOST_HELD: Final = 500
"""How many messages wait at most: five seconds of a call with two tracks."""

MOST_BYTES: Final = 256 * 1024
"""How large they are at most, all together: twice as much as such seconds have."""


class Ordering(Generic[T]):
    """Messages with numbers that rise by one. Every `now` is in seconds."""

    def __init__(self, following: int) -> None:
        """`following`: the number that comes next."""
        self._next = following
        self._held: dict[int, tuple[T, int]] = {}  # messages with their sizes
        self._bytes = 0
        self._since = 0.0
        self.missing = 0
        self.repeated = 0

    def offer(self, number: int, message: T, now: float, *, size: int = 0) -> list[T]:
        """Add a message of `size` bytes; returns those that are now in order."""
        if number < self._next or number in self._held:
            self.repeated += 1
            return []
        if not self._held:
            self._since = now
        self._held[number] = message, size
        self._bytes += size
        found = self._release(now)
        while len(self._held) > MOST_HELD or self._bytes > MOST_BYTES:
            found += self._give_up(now)
        return found

    def deadline(self) -> float | None:
        """When `poll` is due; None: nothing waits."""
        return self._since + WAIT_S if self._held else None

    def poll(self, now: float) -> list[T]:
        """Continue without the messages that did not come in time."""
        deadline = self.deadline()
        return self._give_up(now) if deadline is not None and now >= deadline else []

    def drain(self) -> list[T]:
        """Everything that waits, in order: no more messages come."""
        found: list[T] = []
        while self._held:
            found += self._give_up(0.0)
        return found

    def _give_up(self, now: float) -> list[T]:
        lowest = min(self._held)
        self.missing += lowest - self._next
        self._next = lowest
        return self._release(now)

    def _release(self, now: float) -> list[T]:
        found: list[T] = []
        while self._next in self._held:
            message, size = self._held.pop(self._next)
            self._bytes -= size
            found.append(message)
            self._next += 1
        if found:
            self._since = now
        return found
