"""Every kind of file in a locked-down child: what the lock forbids must not be needed for any of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from tests.kinds.recordings import HEARD, REFUSED
from tests.kinds.sounds import short_tone
from tests.unit.workers.media.chunks import cut
from tests.unit.workers.media.test_kinds_of_files import AUDIO, decoded
from workers.chunk import Chunk
from workers.media.errors import MediaError
from workers.media.isolation.pool import DecoderPool, PoolLimits


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[DecoderPool]:
    pool = DecoderPool(children=1, watchdog_seconds=30.0, limits=PoolLimits(startup_seconds=60))
    await pool.start()
    yield pool
    await pool.close()


async def heard(pool: DecoderPool, data: bytes):
    stream = pool.open(AUDIO)
    try:
        parts = [await stream.decode(Chunk(number, part)) for number, part in enumerate(cut(data, [8000]))]
        return np.concatenate([*parts, await stream.finish()])
    finally:
        await stream.close()


@pytest.mark.timeout(600)
@pytest.mark.asyncio(loop_scope="module")
async def test_every_kind_is_heard_in_a_child_as_outside(pool: DecoderPool) -> None:
    for row in HEARD:
        outside, _ = decoded(row.data(short_tone), 8000)
        assert np.array_equal(await heard(pool, row.data(short_tone)), outside), row.name


@pytest.mark.asyncio(loop_scope="module")
async def test_every_error_leaves_the_child_in_words(pool: DecoderPool) -> None:
    for row in REFUSED:
        with pytest.raises(MediaError) as caught:
            await heard(pool, row.data(short_tone))
        assert str(caught.value).startswith(row.refused), row.name
