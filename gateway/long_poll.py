"""Requests for a transcript that wait for it to grow: `If-None-Match` (RFC 9110) with `Prefer: wait` (RFC 7240 4.3).

A session that lives here is looked at in memory, every `LOOK_S`, and the store is read when something changed: once
more where it lags behind, and now and then for sessions that live at another gateway. A preference may be passed over:
beyond `MAX_WAITING` requests nobody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final

from gateway.sessions.directory import SessionDirectory
from gateway.transcript_formats import Rendered

LOOK_S: Final = 0.1
READ_S: Final = 2.0
MAX_WAIT_S: Final = 30
MAX_WAITING: Final = 256

_Standing = tuple[tuple[str, int, bool], ...]


def preferred_wait_s(headers: Iterable[str]) -> int:
    """Seconds of `Prefer: wait=N`, at most MAX_WAIT_S; 0 where there is none that can be read."""
    for header in headers:
        for preference in header.split(","):
            name, _, value = preference.partition(";")[0].partition("=")
            if name.strip().lower() == "wait" and value.strip().isdecimal() and value.strip().isascii():
                return min(MAX_WAIT_S, int(value.strip()[:9]))
    return 0


class LongPolls:
    """The requests that wait at this gateway."""

    def __init__(self, directory: SessionDirectory) -> None:
        self._directory = directory
        self._waiting = 0

    async def until_new(
        self, session_id: str, known_tags: Iterable[str], wait_s: float, read: Callable[[], Awaitable[Rendered]]
    ) -> Rendered:
        """What `read` gives, once it is none of the known or `wait_s` seconds are over. Raises what `read` raises."""
        known = frozenset(known_tags)
        standing = self._standing(session_id)
        rendered = await read()
        if rendered.tag not in known or not wait_s or self._waiting >= MAX_WAITING:
            return rendered
        self._waiting += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while rendered.tag in known and not self._directory.draining:
                        before, standing = standing, await self._until_moved(session_id, standing)
                        rendered = await read()
                        if standing != before and rendered.tag in known:
                            # The final that moved it may still be on its way to the store.
                            await asyncio.sleep(LOOK_S)
                            rendered = await read()
        finally:
            self._waiting -= 1
        return rendered

    async def _until_moved(self, session_id: str, before: _Standing) -> _Standing:
        """The standing of a session when it is another than before; the same after READ_S."""
        for _ in range(round(READ_S / LOOK_S)):
            await asyncio.sleep(LOOK_S)
            if (now := self._standing(session_id)) != before or self._directory.draining:
                return now
        return before

    def _standing(self, session_id: str) -> _Standing:
        """Of each stream, the number of finals and whether it has ended; empty for a session that lives elsewhere."""
        runner = self._directory.get(session_id)
        if runner is None:
            return ()
        return tuple(
            (stream.stream_id, stream.segments.count, stream.ended_message is not None)
            for stream in runner.session.streams.values()
        )
