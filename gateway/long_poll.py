"""Requests that wait for a transcript to grow: `If-None-Match` (RFC 9110) with `Prefer: wait` (RFC 7240 4.3).

A session at this gateway is checked in memory every `CHECK_S`; after a change the store is read, and read again if it
lags behind. For sessions at another gateway the store is read every `READ_S`. A preference may be ignored: while
`MAX_WAITING` requests are waiting, or `MAX_PER_SESSION` for the same session, further ones are answered at once. Where
several owners of API keys share a gateway, each of them has a quarter of these places.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final

from gateway.metrics import Metrics
from gateway.sessions.directory import SessionDirectory
from gateway.transcript_formats import Rendered

CHECK_S: Final = 0.1
READ_S: Final = 2.0
MAX_WAIT_S: Final = 30
MAX_WAITING: Final = 256
MAX_PER_SESSION: Final = 16
_OWNERS_AT_ONCE: Final = 4

_Progress = tuple[tuple[str, int, bool], ...]


def preferred_wait_s(headers: Iterable[str]) -> int:
    """Seconds of `Prefer: wait=N`, at most MAX_WAIT_S; 0 without a valid one."""
    for header in headers:
        for preference in header.split(","):
            name, _, value = preference.partition(";")[0].partition("=")
            if name.strip().lower() == "wait" and value.strip().isdecimal() and value.strip().isascii():
                return min(MAX_WAIT_S, int(value.strip()[:9]))
    return 0


class LongPolls:
    """The waiting requests of this gateway."""

    def __init__(self, directory: SessionDirectory, metrics: Metrics, owners: Callable[[], int] = lambda: 1) -> None:
        """`owners`: how many owners of API keys share the gateway."""
        self._directory = directory
        self._metrics = metrics
        self._owners = owners
        self._waiting: Counter[tuple[str, str]] = Counter()

    def _is_full(self, owner: str, session_id: str) -> bool:
        bound = MAX_WAITING if self._owners() <= 1 else MAX_WAITING // _OWNERS_AT_ONCE
        of_owner = sum(count for (other, _), count in self._waiting.items() if other == owner)
        of_session = self._waiting[owner, session_id]
        return of_owner >= bound or of_session >= MAX_PER_SESSION or self._waiting.total() >= MAX_WAITING

    async def wait_until_new(
        self,
        session_id: str,
        known_tags: Iterable[str],
        wait_s: float,
        read: Callable[[], Awaitable[Rendered]],
        *,
        owner: str = "",
    ) -> Rendered:
        """The result of `read` once its tag is new, or after `wait_s` seconds. Raises what `read` raises."""
        known = frozenset(known_tags)
        progress = self._progress(session_id)
        rendered = await read()
        if rendered.tag not in known or not wait_s:
            return rendered
        if self._is_full(owner, session_id):
            self._metrics.long_polls_refused.inc()
            return rendered
        self._waiting[owner, session_id] += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while rendered.tag in known and not self._directory.draining:
                        before, progress = progress, await self._until_progress(session_id, progress)
                        rendered = await read()
                        if progress != before and rendered.tag in known:
                            # The final that caused the progress may not be in the store yet.
                            await asyncio.sleep(CHECK_S)
                            rendered = await read()
        finally:
            self._waiting[owner, session_id] -= 1
            self._waiting += Counter()  # forget the sessions that nobody waits for
        return rendered

    async def _until_progress(self, session_id: str, before: _Progress) -> _Progress:
        """The progress of a session once it differs from `before`, or after READ_S."""
        for _ in range(round(READ_S / CHECK_S)):
            await asyncio.sleep(CHECK_S)
            if (now := self._progress(session_id)) != before or self._directory.draining:
                return now
        return before

    def _progress(self, session_id: str) -> _Progress:
        """Per stream, the number of finals and whether it has ended; empty for a session at another gateway."""
        runner = self._directory.get(session_id)
        if runner is None:
            return ()
        return tuple(
            (stream.stream_id, stream.segments.count, stream.ended_message is not None)
            for stream in runner.session.streams.values()
        )
