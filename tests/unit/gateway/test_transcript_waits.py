"""Waiting for a transcript to grow while the session's memory is ahead of the store."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import long_poll
from gateway.long_poll import MAX_PER_SESSION, MAX_WAIT_S, LongPolls
from gateway.metrics import Metrics
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
        found = await LongPolls(directory, Metrics()).wait_until_new("s", known, MAX_WAIT_S, read)
    assert found.body == "after"


async def test_long_polls_of_a_session_are_bounded_and_others_have_theirs() -> None:
    directory: Any = SimpleNamespace(draining=False, get=lambda _: None)
    metrics = Metrics()
    polls = LongPolls(directory, metrics)

    async def read() -> Rendered:
        return Rendered("text/plain", "same")

    known = [Rendered("text/plain", "same").tag]
    waiting = [asyncio.create_task(polls.wait_until_new("s", known, MAX_WAIT_S, read)) for _ in range(MAX_PER_SESSION)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (await polls.wait_until_new("s", known, MAX_WAIT_S, read)).body == "same"
    other = asyncio.create_task(polls.wait_until_new("other", known, MAX_WAIT_S, read))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not other.done()
    assert b"gateway_long_polls_refused_total 1.0" in metrics.render()
    for task in (*waiting, other):
        task.cancel()
    await asyncio.gather(*waiting, other, return_exceptions=True)
