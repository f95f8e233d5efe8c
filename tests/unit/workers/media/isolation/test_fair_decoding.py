"""Dear media cost the stream that sent them, and no other: slices, charges, and the end of a stream that takes more."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest
from talkup.v1 import media_pb2

from tests.unit.workers.media.isolation import delta_decoder
from tests.unit.workers.media.isolation.delta_decoder import DeltaDecoder
from tests.unit.workers.media.isolation.test_decoder_pool import FORMAT, new_pool
from tests.unit.workers.media.isolation.test_decoder_stream import STREAM, InProcessChild, InProcessSource, new_stream
from tests.unit.workers.media.storms import VP8, film, storms
from workers.chunk import Chunk
from workers.media.errors import MediaError
from workers.media.isolation import child, ipc
from workers.media.isolation.decoder_stream import DecoderStream, StreamLimits, StreamTerms
from workers.media.isolation.outputs import AUDIO, VIDEO
from workers.media.isolation.pool import DecoderPool, PoolLimits

PCM = media_pb2.MediaFormat(container=media_pb2.CONTAINER_PCM, pcm_encoding=media_pb2.PCM_ENCODING_S16LE)


def slow_service() -> child.DecoderService:
    """Its clock moves by 4 ms whenever it is read."""
    ticks = count()
    return child.DecoderService(DeltaDecoder, child.ServiceLimits(4, 9_000, 10, 9_000), lambda: 0.004 * next(ticks))


def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta_decoder, "burn", lambda seconds: None)


def test_a_chunk_is_done_slice_by_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    parts(monkeypatch)
    service = slow_service()
    service.answer(ipc.Open(1, b"", None))
    answer = service.answer(ipc.Decode(1, Chunk(0, b"!slow 9")))
    slices = 1
    while isinstance(answer, ipc.Working):
        assert answer.cpu_us >= 1e6 * ipc.SLICE_SECONDS
        answer = service.answer(ipc.Continue(1))
        slices += 1
    assert isinstance(answer, ipc.Samples)
    assert answer.cpu_us
    assert slices >= 5


@pytest.mark.parametrize("end", [ipc.Open(1, b"", None), ipc.Close(1)])
def test_a_chunk_in_work_ends_with_its_decoder(monkeypatch: pytest.MonkeyPatch, end: ipc.Request) -> None:
    parts(monkeypatch)
    service = slow_service()
    service.answer(ipc.Open(1, b"", None))
    assert isinstance(service.answer(ipc.Decode(1, Chunk(0, b"!slow 9"))), ipc.Working)
    service.answer(end)
    assert service.answer(ipc.Continue(1)) == ipc.Failed(1, "the stream has no chunk in progress")


class Metered(InProcessChild):
    """Answers a chunk with `slices` slices of 20 ms each."""

    def __init__(self, slices: int, cpu_us: int = 20_000) -> None:
        super().__init__()
        self._working = ipc.Working(STREAM, cpu_us)
        self._to_come = slices
        self._due: ipc.Request | None = None

    async def ask(self, request: ipc.Request) -> ipc.Answer:
        if isinstance(request, ipc.Decode):
            self._due = request
        if not isinstance(request, ipc.Decode | ipc.Continue) or self._due is None:
            return await super().ask(request)
        if self._to_come:
            self._to_come -= 1
            return self._working
        return await super().ask(self._due)


async def test_a_stream_pays_for_each_slice_before_the_next() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    stream = DecoderStream(
        STREAM,
        FORMAT,
        None,
        terms=StreamTerms(AUDIO, StreamLimits(cpu_rate=0.5, cpu_burst_seconds=0.03)),
        source=InProcessSource(last=Metered(4)),
        clock=lambda: 0.0,
        sleep=sleep,
    )
    assert (await stream.decode(Chunk(0, b"aa"))).size == 1
    assert slept[:3] == [pytest.approx(seconds) for seconds in (0.02, 0.06, 0.10)]


async def test_a_flood_of_empty_chunks_is_held_to_a_pace() -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    stream = DecoderStream(
        STREAM,
        FORMAT,
        None,
        terms=StreamTerms(AUDIO, StreamLimits(cpu_rate=0.25, cpu_burst_seconds=0.05, chunk_overhead_seconds=0.0005)),
        source=InProcessSource(),
        clock=lambda: now,
        sleep=sleep,
    )
    for sequence in range(1_100):
        await stream.decode(Chunk(sequence, b""))
    assert now >= 1.99  # a hundred chunks at once, then 500 for each second


async def test_a_chunk_over_its_allowance_ends_the_stream_but_not_its_past() -> None:
    source = InProcessSource(last=Metered(10_000))
    limits = StreamLimits(chunk_cpu_seconds=0.1, chunk_cpu_seconds_per_mib=0)
    stream = new_stream(source, limits)
    with pytest.raises(MediaError, match="more time to decode than is allowed"):
        await stream.decode(Chunk(0, b"aabb"))
    with pytest.raises(MediaError, match="more time to decode than is allowed"):
        await stream.decode(Chunk(1, b"aabb"))
    assert source.now.asked[-1] == ipc.Close(STREAM)
    assert (await stream.checkpoint(0)).replay_from_sequence == 0


async def test_a_child_that_works_without_end_at_no_cost_is_disowned() -> None:
    source = InProcessSource(last=Metered(10_000, cpu_us=0))
    with pytest.raises(MediaError, match="no usable answer"):
        await new_stream(source).decode(Chunk(0, b"aa"))
    assert source.now.disowned


async def test_a_neighbour_of_a_storm_is_served_between_its_slices() -> None:
    storm = storms()["mp3 headers"]
    pool = DecoderPool(children=1, watchdog_seconds=60)
    await pool.start()
    try:
        pids = pool.child_pids
        hostile, honest = [pool.open(storm.fmt), pool.open(storm.fmt)], pool.open(PCM)
        await honest.decode(Chunk(0, bytes(3200)))
        storming = [asyncio.create_task(each.decode(Chunk(0, storm.data(1 << 20)))) for each in hostile]
        await asyncio.sleep(0)
        for sequence in range(1, 6):
            assert (await honest.decode(Chunk(sequence, bytes(3200)))).size == 1600
        assert not any(task.done() for task in storming)
        for task in storming:
            task.cancel()
        assert pool.child_pids == pids
    finally:
        await pool.close()


async def test_a_stream_over_its_allowance_leaves_the_child_to_the_others() -> None:
    limits = PoolLimits(startup_seconds=60, stream=StreamLimits(chunk_cpu_seconds=0.05, chunk_cpu_seconds_per_mib=0))
    pool = new_pool(limits=limits)
    await pool.start()
    try:
        pids = pool.child_pids
        with pytest.raises(MediaError, match="more time to decode than is allowed"):
            await pool.open(FORMAT).decode(Chunk(0, b"!slow 100000"))
        assert (await pool.open(FORMAT).decode(Chunk(0, b"aa"))).size == 1
        assert pool.child_pids == pids
    finally:
        await pool.close()


@pytest.mark.parametrize(
    ("sizes", "fails"), [([(4096, 2304)] * 100, True), ([(16 + 120 * at, 1024) for at in range(30)], False)]
)
async def test_a_film_of_large_or_changing_pictures_ends_no_child(sizes: list[tuple[int, int]], fails: bool) -> None:
    stream = StreamLimits(chunk_cpu_seconds=0.3 if fails else 60, max_rate=1e6, burst_seconds=1e6)
    pool = DecoderPool(
        children=1,
        watchdog_seconds=0.1,
        limits=PoolLimits(startup_seconds=60, stream=stream),
        decoder="workers.media.video:VideoDecoder",
        warm_up="workers.media.isolation.warmup_video:video_clips",
        output=VIDEO,
    )
    await pool.start()
    try:
        pids = pool.child_pids
        decoding = pool.open(VP8).decode(Chunk(0, film(sizes)))
        if fails:
            with pytest.raises(MediaError, match="more time to decode than is allowed"):
                await decoding
        else:
            assert len(await decoding) == len(sizes)
        assert pool.child_pids == pids
    finally:
        await pool.close()
