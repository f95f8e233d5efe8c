"""Entries that wait for the next batch of a link, in order."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

Entry = TypeVar("Entry")

ENTRY_OVERHEAD = 64
"""Bytes counted for each entry beside its message: at least what its fields take in a batch."""


class Outbox(Generic[Entry]):
    """The entries of all calls. Messages stop at a bound; what calls need beside them is small and always has room."""

    def __init__(self, max_batch_bytes: int, max_waiting_bytes: int) -> None:
        """A batch has at most `max_batch_bytes`, or a single entry."""
        self._max_batch = max_batch_bytes
        self._max_waiting = max_waiting_bytes
        self._entries: deque[tuple[Entry, int]] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def full(self) -> bool:
        """Whether no further message should be put in now."""
        return self._bytes >= self._max_waiting

    def put(self, entry: Entry, size: int = 0) -> None:
        """Append an entry whose message has `size` bytes."""
        size += ENTRY_OVERHEAD
        self._entries.append((entry, size))
        self._bytes += size

    def take(self) -> list[Entry]:
        """The entries of the next batch; none if nothing waits."""
        taken: list[Entry] = []
        size = 0
        entries = self._entries
        while entries and (not taken or size + entries[0][1] <= self._max_batch):
            entry, bytes_of_entry = entries.popleft()
            taken.append(entry)
            size += bytes_of_entry
        self._bytes -= size
        return taken
