"""Pictures in real child processes: one that ends its child is lost alone, and no other stream loses anything."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
from talkup.v1 import media_pb2

from workers.media.errors import MediaError
from workers.media.frames import FrameFlag, FrameRecord
from workers.media.isolation.outputs import VIDEO, Frames
from workers.media.isolation.pool import DecoderPool, PoolFullError, PoolLimits
from workers.media.isolation.still_stream import StillStream

MODULE = "tests.unit.workers.media.isolation.moody_stills"
FORMAT = media_pb2.MediaFormat(mime_type="image")


def new_pool(watchdog_seconds: float = 30.0) -> DecoderPool[Frames]:
    return DecoderPool(
        children=1,
        watchdog_seconds=watchdog_seconds,
        limits=PoolLimits(startup_seconds=60, max_streams=2),
        decoder=f"{MODULE}:MoodyStills",
        warm_up=f"{MODULE}:no_clips",
        output=VIDEO,
    )


@pytest.fixture
async def pool() -> AsyncIterator[DecoderPool[Frames]]:
    pool = new_pool()
    await pool.start()
    yield pool
    await pool.close()


def good(record: FrameRecord, payload: bytes) -> bool:
    return record.picture == payload[:1] * 6


async def decoded(stream: StillStream, payload: bytes) -> bool:
    return good(await stream.decode(payload), payload)


@pytest.mark.parametrize("order", [b"!crash", b"!exit", b"!lie"])
async def test_a_picture_that_ends_its_child_is_lost_alone_and_the_second_ends_its_stream(
    pool: DecoderPool[Frames], order: bytes
) -> None:
    poison, beside = pool.open_stills(FORMAT), pool.open_stills(FORMAT)
    assert await decoded(poison, b"a")
    lost, *others = await asyncio.gather(poison.decode(order), *(decoded(beside, b"b") for _ in range(5)))
    assert lost.flags == FrameFlag.CORRUPT
    assert others == [True] * 5
    assert await decoded(poison, b"c")
    assert (await poison.decode(order)).flags == FrameFlag.CORRUPT
    with pytest.raises(MediaError, match="ended the decoder twice"):
        await poison.decode(b"d")
    assert await decoded(beside, b"e")


@pytest.mark.parametrize("order", [b"!bad", b"!raise", b"!huge", b"!open"])
async def test_a_picture_that_fails_is_lost_and_its_child_lives(pool: DecoderPool[Frames], order: bytes) -> None:
    stream, before = pool.open_stills(FORMAT), pool.child_pids
    assert [(await stream.decode(order)).flags for _ in range(3)] == [FrameFlag.CORRUPT] * 3
    assert await decoded(stream, b"a")
    assert pool.child_pids == before


async def test_a_picture_that_hangs_is_ended_by_the_watchdog() -> None:
    pool = new_pool(watchdog_seconds=0.5)
    await pool.start()
    stream = pool.open_stills(FORMAT)
    assert (await stream.decode(b"!hang")).flags == FrameFlag.CORRUPT
    assert await decoded(stream, b"a")
    await pool.close()


async def test_a_child_that_is_killed_from_outside_costs_no_picture(pool: DecoderPool[Frames]) -> None:
    stream = pool.open_stills(FORMAT)
    for _ in range(3):
        os.kill(pool.child_pids[0], signal.SIGKILL)
        assert await decoded(stream, b"a")


async def test_a_place_in_the_pool_is_taken_and_given_back(pool: DecoderPool[Frames]) -> None:
    first, _ = pool.open_stills(FORMAT), pool.open_stills(FORMAT)
    with pytest.raises(PoolFullError):
        pool.open_stills(FORMAT)
    await first.close()
    await first.close()
    assert await decoded(pool.open_stills(FORMAT), b"a")
    with pytest.raises(MediaError, match="closed"):
        await first.decode(b"a")
