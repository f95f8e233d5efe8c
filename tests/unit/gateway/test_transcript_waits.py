"""Waiting for a transcript to grow, where the session's memory is ahead of the store."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import long_poll
from gateway.long_poll import MAX_WAIT_S, LongPolls
from gateway.transcript_formats import Rendered


async def test_a_final_that_is_still_on_its_way_to_the_store_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is not looked at without a reason here: one further look is all that finds it."""
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
        found = await LongPolls(directory).until_new("s", known, MAX_WAIT_S, read)
    assert found.body == "after"
