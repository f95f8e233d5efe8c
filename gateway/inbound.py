"""What clients have sent and nobody has read yet: bounded for each socket, and in bytes for all sockets together.

A socket holds the bytes of an unfinished message and whole messages that wait for the session. While a socket's whole
messages exceed its bounds, it is not read. If all sockets together hold more than `max_bytes`, the one that holds the
most is closed; a live stream, with its small chunks, never holds the most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

# A socket's figure is corrected only when it is off by this much, so that small chunks cost nothing to count.
STEP_BYTES: Final = 16 * 1024
# What a frame costs in addition to its payload, so that a flood of empty frames counts too.
FRAME_OVERHEAD: Final = 256


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """Whole messages that a socket may hold: above the first of a pair it is paused, until it is down to the second."""

    messages: tuple[int, int] = (16, 4)
    bytes: tuple[int, int] = (512 * 1024, 128 * 1024)


class Inbound:
    """The bytes of all sockets, to within `step` for each of them."""

    def __init__(self, max_bytes: int, step: int = STEP_BYTES) -> None:
        self.step = step
        self._max_bytes = max_bytes
        self._held: dict[Unread, int] = {}
        self.total = 0

    def update(self, unread: Unread, held: int) -> None:
        """A socket now holds `held` bytes."""
        self.total += held - self._held.get(unread, 0)
        if held:
            self._held[unread] = held
        else:
            self._held.pop(unread, None)
        while self.total > self._max_bytes:
            largest = max(self._held, key=self._held.__getitem__)
            self.total -= self._held.pop(largest)
            largest.overflow()  # frees what the socket holds


class Unread:
    """What one socket holds. `overflow` closes it."""

    def __init__(self, inbound: Inbound, overflow: Callable[[], None], ahead: ReadAhead | None = None) -> None:
        self._inbound = inbound
        self._ahead = ahead or ReadAhead()
        self._whole: list[int] = []
        self._whole_bytes = 0
        self._unfinished = 0
        self._reported = 0
        self._is_full = False
        self._is_closed = False
        self.overflow = overflow

    @property
    def has_message(self) -> bool:
        """Whether the socket holds a whole message."""
        return bool(self._whole)

    @property
    def is_empty(self) -> bool:
        """Whether the socket holds no message, nor a part of one that came in frames."""
        return not self._whole and not self._unfinished

    @property
    def is_full(self) -> bool:
        """Whether the socket must not be read for now."""
        if not self._whole:
            self._is_full = False
            return False
        bound = 1 if self._is_full else 0
        ahead = self._ahead
        self._is_full = len(self._whole) > ahead.messages[bound] or self._whole_bytes > ahead.bytes[bound]
        return self._is_full

    def add_frame(self, size: int, *, is_last: bool) -> None:
        """A data frame has arrived; the last one of a message makes it whole."""
        self._unfinished += size + FRAME_OVERHEAD
        if is_last:
            self._whole.append(self._unfinished)
            self._whole_bytes += self._unfinished
            self._unfinished = 0

    def count(self, buffered: int) -> None:
        """Report what the socket holds, with `buffered` bytes of a frame that has not arrived completely."""
        held = self._whole_bytes + self._unfinished + buffered
        if abs(held - self._reported) >= self._inbound.step and not self._is_closed:
            self._reported = held
            self._inbound.update(self, held)

    def take_message(self) -> None:
        """The session has read the oldest whole message."""
        if self._whole:
            self._whole_bytes -= self._whole.pop(0)

    def close(self) -> None:
        """The socket has closed, or is about to: what it holds counts no more. Whole messages may still be read."""
        self._is_closed = True
        self._inbound.update(self, 0)
