"""Run as a process: start a pool, make one child spin, print the children's process ids, and wait to be killed."""

from __future__ import annotations

import asyncio
import sys

from talkup.v1 import media_pb2

from workers.chunk import Chunk
from workers.media.isolation.pool import DecoderPool

MODULE = "tests.unit.workers.media.isolation.delta_decoder"


async def main() -> None:
    pool = DecoderPool(children=2, watchdog_seconds=100, decoder=f"{MODULE}:DeltaDecoder", warm_up=f"{MODULE}:no_clips")
    await pool.start()
    stream = pool.open(media_pb2.MediaFormat())
    await stream.decode(Chunk(0, b"aa"))
    spinning = asyncio.create_task(stream.decode(Chunk(1, b"!hang")))
    await asyncio.sleep(0)
    sys.stdout.write(" ".join(map(str, pool.child_pids)) + "\n")
    sys.stdout.flush()
    await spinning


asyncio.run(main())
