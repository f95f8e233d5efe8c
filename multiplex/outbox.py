"""Entries that wait for the next batch of a link, in order."""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, TypeVar

Entry = TypeVar("Entry")

MAX_ENTRIES: Final = 4_096
"""Entries of a batch at most (link.proto)."""
ENTRY_OVERHEAD: Final = 128
"""Bytes counted for each entry beside its message: more than its fields take in a batch."""

_MAX_WAITING_BYTES: Final = 256 * 1024


class Outbox(Generic[Entry]):
    """The entries of all calls of a link.

    Messages stop at a bound (`full`). What calls need beside them, such as credit, is small and always has room: its
    number is bounded by the messages that it answers.
    """

    def __init__(self, max_batch_bytes: int) -> None:
        """A batch has at most `max_batch_bytes`, or a single entry."""
        self._max_batch = max_batch_bytes
        self._entries: deque[tuple[Entry, int]] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def full(self) -> bool:
        """Whether no further message should be put in now."""
        return self._bytes >= _MAX_WAITING_BYTES

    def put(self, entry: Entry, size: int = 0) -> None:
        """Append an entry whose message has `size` bytes."""
        size += ENTRY_OVERHEAD
        self._entries.append((entry, size))
        self._bytes += size

    def take(self) -> list[Entry]:
        """The entries of the next batch; none if nothing waits."""
        taken: list[Entry] = []
        batch_size = 0
        while self._entries and len(taken) < MAX_ENTRIES:
            entry, size = self._entries[0]
            if taken and batch_size + size > self._max_batch:
                break
            self._entries.popleft()
            taken.append(entry)
            batch_size += size
        self._bytes -= batch_size
        return taken
