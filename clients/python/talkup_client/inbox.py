"""A bounded queue of one stream's events for the program. A newer interim replaces an unread older one."""

from __future__ import annotations

import asyncio
from collections import deque

from talkup_client.errors import SlowReaderError, TalkupError
from talkup_client.events import StreamEnded, StreamEvent, TranscriptUpdate


class Inbox:
    """One writer, one reader. `limit` is the number of unread events."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: deque[StreamEvent | TalkupError] = deque()
        self._changed = asyncio.Event()
        self._finished = False

    @property
    def finished(self) -> bool:
        """Whether the last entry has been added."""
        return self._finished

    def put(self, entry: StreamEvent | TalkupError) -> None:
        """Add an event, or an error to raise in its place; the last one is `StreamEnded`."""
        if self._finished:
            return
        if self._entries and _replaces(entry, self._entries[-1]):
            self._entries.pop()
        if len(self._entries) >= self._limit:
            self.finish(SlowReaderError(f"the program left {self._limit} events of this stream unread"))
            return
        self._entries.append(entry)
        self._finished = isinstance(entry, StreamEnded)
        self._changed.set()

    def finish(self, error: TalkupError | None) -> None:
        """Close the queue, with `error` as its last entry if there is one."""
        if not self._finished:
            if error is not None:
                self._entries.append(error)
            self._finished = True
            self._changed.set()

    async def get(self) -> StreamEvent | None:
        """The next event; None after the last. Raises errors in their place among the events."""
        while not self._entries:
            if self._finished:
                return None
            self._changed.clear()
            await self._changed.wait()
        entry = self._entries.popleft()
        if isinstance(entry, TalkupError):
            raise entry
        return entry


def _replaces(new: object, old: object) -> bool:
    match new, old:
        case TranscriptUpdate() as update, TranscriptUpdate(is_final=False) as unread:
            return update.segment_id == unread.segment_id
    return False
