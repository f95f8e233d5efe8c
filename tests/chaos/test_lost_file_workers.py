"""A worker is killed in the middle of a recording that it transcribes; the other one continues, to the word."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from talkup_client import Client

from bench.harness.actions import loads
from bench.harness.material import pieces
from bench.harness.stack import Stack, running_stack
from tests.kinds.sounds import interview

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

RATE = 16_000
FORMAT = f"audio/pcm;rate={RATE};channels=1;encoding=s16le"
TIMES = 3
"""48 s: two windows."""

BEFORE = 2 * RATE * 40
"""Bytes that are sent before the worker is killed: the first window is text, the second one waits for its end."""


async def transcribed(stack: Stack, data: bytes, *, kill: bool) -> list[tuple[int, int, str]]:
    """The finals of a recording: times and text."""
    async with (
        asyncio.timeout(200),
        Client(stack.ws_url, key=stack.key) as client,
        client.stream(format=FORMAT, language="en", mode="file") as stream,
    ):
        for piece in pieces(data[:BEFORE], 32_000):
            await stream.send(piece)
        finals = stream.finals()
        found = [await anext(finals)]
        served = await loads(stack)
        assert sum(served) == 1
        if kill:
            await asyncio.to_thread(stack.workers[served.index(1)].kill)
        for piece in pieces(data[BEFORE:], 32_000):
            await stream.send(piece)
        await stream.end()
        found += [final async for final in finals]
        assert stream.ended is not None
        assert stream.ended.totals["failovers"] == kill
    return [(final.start_ms, final.end_ms, final.text) for final in found]


async def test_a_recording_continues_where_its_worker_was_killed(tmp_path: Path) -> None:
    data = (interview(RATE) * 32_767).astype("<i2").tobytes() * TIMES
    settings = {"WORKER_MODEL": "tiny.en", "WORKER_SLOTS": "8"}
    with running_stack(workers=2, worker_arguments=("stt",), worker_settings=settings, folder=tmp_path) as stack:
        undisturbed = await transcribed(stack, data, kill=False)
        assert sum("Alice" in text for _, _, text in undisturbed) == TIMES
        assert await transcribed(stack, data, kill=True) == undisturbed
