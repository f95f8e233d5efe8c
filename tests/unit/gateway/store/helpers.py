"""Helpers of the store tests: sessions with something to say, and writes that are waited for."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import redis.asyncio

from gateway.store.base import Store, StreamStart
from gateway.transcript import Segment, Word

LEASE_S = 1.0
PATIENCE_S = 20.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def done(write: Future[None]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wrap_future(write)


async def flush(url: str) -> None:
    client = redis.asyncio.Redis.from_url(url)
    await client.flushall()
    await client.aclose()


def segment(number: int, text: str = "said") -> Segment:
    return Segment(number, text, "en", 0.5, 10 * number, 10 * number + 5, (Word(text, 1, 2, 0.25),))


def fill(store: Store, session_id: str, stream_key: str, *segments: Segment) -> Future[None]:
    store.begin_session(session_id)
    last = store.begin_stream(StreamStart(session_id, stream_key, "abc", started_at=5.0))
    for one in segments:
        last = store.add_segment(session_id, stream_key, one, None)
    return last
