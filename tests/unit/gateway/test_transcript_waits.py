"""Waiting for a transcript to grow while the session's memory is ahead of the store."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import long_poll
from gateway.long_poll import MAX_WAIT_S, LongPolls
from gateway.transcript_formats import Rendered


async def test_the_store_is_read_again_if_it_lags_behind_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the store is read only for a reason: one more read is all that finds the final."""
    monkeypatch.setattr(long_poll, "READ_S", 10 * MAX_WAIT_S)
    stream = SimpleNamespace(stream_id="a", segments=SimpleNamespace(count=0), ended_message=None)
    runner = SimpleNamespace(session=SimpleNamespace(streams={"a": stream}))
    directory: Any = SimpleNamespace(draining=False, get=lambda _: runner)
    bodies = iter(["before", "before", "after"])

    async def read() -> Rendered:
        stream.segments.count = 1
        return Rendered("text/plain", next(bodies))

    async with asyncio.timeout(MAX_WAIT_S / 2):
        known = [Rendered("text/plain", "before").tag]
        found = await LongPolls(directory).wait_until_new("s", known, MAX_WAIT_S, read)
    assert found.body == "after"
