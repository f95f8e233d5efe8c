"""The pool with real child processes: killed, crashed, hung, starved, orphaned."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import structlog
from numpy.typing import NDArray
from talkup.v1 import media_pb2

from tests.unit.workers.media.isolation.delta_decoder import DeltaDecoder
from workers.chunk import Chunk
from workers.media.errors import MediaError
from workers.media.isolation.decoder_stream import DecoderStream, StreamLimits
from workers.media.isolation.pool import DecoderPool, PoolFullError, PoolLimits
from workers.media.isolation.process import ChildStartError, Ending
from workers.observer import ENDINGS

MODULE = "tests.unit.workers.media.isolation.delta_decoder"
FORMAT = media_pb2.MediaFormat(mime_type="test/delta")


def new_pool(
    children: int = 1,
    watchdog_seconds: float = 30.0,
    limits: PoolLimits | None = None,
    decoder: str = "DeltaDecoder",
    warm_up: str = "no_clips",
) -> DecoderPool:
    return DecoderPool(
        children=children,
        watchdog_seconds=watchdog_seconds,
        limits=limits or PoolLimits(startup_seconds=60),
        decoder=f"{MODULE}:{decoder}",
        warm_up=f"{MODULE}:{warm_up}",
    )


@pytest.fixture
async def pool() -> AsyncIterator[DecoderPool]:
    pool = new_pool()
    await pool.start()
    yield pool
    await pool.close()


def reference(chunks: list[bytes]) -> NDArray[np.float32]:
    decoder = DeltaDecoder(FORMAT)
    return np.concatenate([*(decoder.decode(Chunk(at, chunk)) for at, chunk in enumerate(chunks)), decoder.finish()])


def random_chunks(seed: int, count: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    return [rng.integers(48, 256, rng.integers(0, 400), dtype=np.uint8).tobytes() for _ in range(count)]


async def decode(stream: DecoderStream, chunks: list[bytes]) -> NDArray[np.float32]:
    parts = [await stream.decode(Chunk(at, chunk)) for at, chunk in enumerate(chunks)]
    return np.concatenate([*parts, await stream.finish()])


def ended(pid: int, seconds: float = 10.0) -> bool:
    """Whether the process ends within the time."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    finally:
        os.close(handle)


async def test_many_streams_share_the_children() -> None:
    pool = new_pool(children=2)
    await pool.start()
    try:
        assert len(set(pool.child_pids)) == 2
        work = {seed: random_chunks(seed, 20) for seed in range(8)}
        results = await asyncio.gather(*(decode(pool.open(FORMAT), chunks) for chunks in work.values()))
        for result, chunks in zip(results, work.values(), strict=True):
            assert np.array_equal(result, reference(chunks))
    finally:
        await pool.close()


@pytest.mark.parametrize("seed", [1, 2])
async def test_kills_at_any_moment_cost_no_sample(pool: DecoderPool, seed: int) -> None:
    chunks = random_chunks(seed, 40)
    stream = pool.open(FORMAT)
    parts, committed = [], 0
    for at, chunk in enumerate(chunks):
        feeding = asyncio.create_task(stream.decode(Chunk(at, chunk)))
        if at % 13 == 6:
            await asyncio.sleep(0)
            os.kill(pool.child_pids[0], signal.SIGKILL)
        parts.append(await feeding)
        if at % 5 == 4:
            committed += (stream.position - committed) // 2
            await stream.checkpoint(committed)
    parts.append(await stream.finish())
    assert np.array_equal(np.concatenate(parts), reference(chunks))


@pytest.mark.parametrize("order", [b"!crash", b"!abort", b"!exit", b"!lie"])
async def test_poison_is_quarantined_and_its_neighbours_go_on(pool: DecoderPool, order: bytes) -> None:
    healthy = {seed: random_chunks(seed, 15) for seed in range(3)}
    poison = pool.open(FORMAT)
    outcomes = await asyncio.gather(
        *(decode(pool.open(FORMAT), chunks) for chunks in healthy.values()),
        poison.decode(Chunk(0, order)),
        return_exceptions=True,
    )
    assert isinstance(outcomes.pop(), MediaError)
    for outcome, chunks in zip(outcomes, healthy.values(), strict=True):
        assert isinstance(outcome, np.ndarray)
        assert np.array_equal(outcome, reference(chunks))
    with pytest.raises(MediaError):
        await poison.decode(Chunk(1, b"aa"))


async def test_who_was_answered_before_the_child_ended_is_no_suspect(pool: DecoderPool) -> None:
    """Even if a failed write is the first sign of the end, before the worker has read that answer."""
    healthy, other = pool.open(FORMAT), pool.open(FORMAT)
    chunks = random_chunks(1, 4)
    parts = [await healthy.decode(Chunk(0, chunks[0]))]
    for at in (1, 2, 3):
        poison = pool.open(FORMAT)
        await poison.decode(Chunk(0, b"aa"))
        await other.decode(Chunk(2 * at, b"aa"))
        asked = [
            asyncio.ensure_future(healthy.decode(Chunk(at, chunks[at]))),
            asyncio.ensure_future(poison.decode(Chunk(1, b"!exit"))),
        ]
        await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251 - the loop is held up while the child answers the one and dies of the other
        asked.append(asyncio.ensure_future(other.decode(Chunk(2 * at + 1, b"aa"))))
        answer, failure, _ = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(answer, np.ndarray)
        parts.append(answer)
        assert isinstance(failure, MediaError)
    parts.append(await healthy.finish())
    assert np.array_equal(np.concatenate(parts), reference(chunks))


async def test_a_hang_is_ended_by_the_watchdog_only_while_work_is_outstanding() -> None:
    pool = new_pool(watchdog_seconds=0.4)
    await pool.start()
    try:
        (first,) = pool.child_pids
        neighbour, poison = pool.open(FORMAT), pool.open(FORMAT)
        chunks = random_chunks(1, 4)
        parts = [await neighbour.decode(Chunk(at, chunk)) for at, chunk in enumerate(chunks)]
        with pytest.raises(MediaError, match="ended the decoder twice"):
            await poison.decode(Chunk(0, b"!hang"))
        assert ended(first)
        parts.append(await neighbour.finish())
        assert np.array_equal(np.concatenate(parts), reference(chunks))
        (second,) = pool.child_pids
        assert not ended(second, seconds=0.6)
    finally:
        await pool.close()


def test_an_observer_knows_every_way_to_end() -> None:
    assert set(ENDINGS) == {str(ending) for ending in Ending}


async def test_a_stopped_child_is_replaced() -> None:
    pool = new_pool(watchdog_seconds=0.4)
    endings: list[str] = []
    pool.watch_endings(endings.append)
    await pool.start()
    try:
        stream = pool.open(FORMAT)
        first = await stream.decode(Chunk(0, b"aa"))
        os.kill(pool.child_pids[0], signal.SIGSTOP)
        parts = [first, await stream.decode(Chunk(1, b"bb")), await stream.finish()]
        assert np.array_equal(np.concatenate(parts), reference([b"aa", b"bb"]))
    finally:
        await pool.close()
    assert endings == ["hung"]


async def test_a_worker_that_is_held_up_does_not_blame_its_child() -> None:
    pool = new_pool(watchdog_seconds=0.2)
    await pool.start()
    try:
        pids = pool.child_pids
        stream = pool.open(FORMAT)
        await stream.decode(Chunk(0, b"aa"))
        feeding = asyncio.create_task(stream.decode(Chunk(1, b"bb")))
        await asyncio.sleep(0)
        time.sleep(0.5)  # noqa: ASYNC251 - what is tested: a call that holds the event loop
        assert (await feeding).size == 1
        assert pool.child_pids == pids
    finally:
        await pool.close()


@pytest.mark.parametrize("order", [b"!open", b"!huge", b"!raise"])
async def test_a_locked_child_refuses_and_the_stream_fails_alone(pool: DecoderPool, order: bytes) -> None:
    pids = pool.child_pids
    with pytest.raises(MediaError, match="the media cannot be decoded"):
        await pool.open(FORMAT).decode(Chunk(0, order))
    assert np.array_equal(await decode(pool.open(FORMAT), [b"aabb"]), reference([b"aabb"]))
    assert pool.child_pids == pids


async def test_nothing_that_a_codec_prints_leaves_the_child(
    pool: DecoderPool, capfd: pytest.CaptureFixture[str]
) -> None:
    await pool.open(FORMAT).decode(Chunk(0, b"!print"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_child_is_confined(pool: DecoderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pool.unconfined == ()
    monkeypatch.setenv("WORKER_TOKEN", "secret")
    os.kill(pool.child_pids[0], signal.SIGKILL)
    await pool.open(FORMAT).decode(Chunk(0, b"aa"))
    proc = Path(f"/proc/{pool.child_pids[0]}")
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
    assert (status["Seccomp"], status["NoNewPrivs"], status["Threads"]) == ("2", "1", "1")
    assert (proc / "fd" / "2").readlink() == Path(os.devnull)
    assert len(list((proc / "fd").iterdir())) == 3
    assert b"WORKER_TOKEN" not in (proc / "environ").read_bytes()


async def test_a_backlog_does_not_starve_the_neighbour(pool: DecoderPool) -> None:
    busy, other = pool.open(FORMAT), pool.open(FORMAT)
    await busy.decode(Chunk(0, b"aa"))
    await other.decode(Chunk(0, b"aa"))
    backlog = [asyncio.create_task(busy.decode(Chunk(at, b"!busy"))) for at in range(1, 12)]
    await asyncio.sleep(0)
    await other.decode(Chunk(1, b"bb"))
    assert sum(task.done() for task in backlog) <= 2
    await asyncio.gather(*backlog)


async def test_a_full_pool_says_so() -> None:
    pool = new_pool(limits=PoolLimits(max_streams=2))
    await pool.start()
    try:
        first, _ = pool.open(FORMAT), pool.open(FORMAT)
        with pytest.raises(PoolFullError):
            pool.open(FORMAT)
        await first.close()
        pool.open(FORMAT)
    finally:
        await pool.close()


async def test_a_chunk_larger_than_the_socket_buffer() -> None:
    pool = new_pool(limits=PoolLimits(stream=StreamLimits(max_payload_bytes=1 << 20)))
    await pool.start()
    try:
        chunks = [np.random.default_rng(1).bytes(1 << 20).replace(b"!", b"?")]
        assert np.array_equal(await decode(pool.open(FORMAT), chunks), reference(chunks))
    finally:
        await pool.close()


async def test_closing_the_pool_ends_calls_and_children(pool: DecoderPool) -> None:
    (pid,) = pool.child_pids
    feeding = asyncio.create_task(pool.open(FORMAT).decode(Chunk(0, b"!hang")))
    await asyncio.sleep(0)
    await pool.close()
    with pytest.raises(MediaError, match="shutting down"):
        await feeding
    assert ended(pid, 0)


async def test_what_is_not_in_force_or_cold_is_said_once() -> None:
    pool = new_pool(children=2, warm_up="one_clip")
    with structlog.testing.capture_logs() as lines:
        await pool.start()
    await pool.close()
    assert [line["event"] for line in lines] == ["decoder children lack codecs"]
    assert lines[0]["codecs"] == ("broken", "empty")


async def test_a_child_that_cannot_start_is_an_error_with_its_reason(capfd: pytest.CaptureFixture[str]) -> None:
    pool = new_pool(children=2, decoder="NoSuchDecoder")
    with pytest.raises(ChildStartError, match="ended with code 3"):
        await pool.start()
    assert '"error": "AttributeError"' in capfd.readouterr().err
    assert pool.child_pids == []


async def test_a_child_that_is_not_ready_in_time_is_an_error() -> None:
    pool = new_pool(limits=PoolLimits(startup_seconds=0.0))
    with pytest.raises(ChildStartError, match="in time"):
        await pool.start()


async def test_the_decoder_of_the_worker_is_warm_in_every_codec_and_survives_a_kill() -> None:
    pytest.importorskip("workers.media.decoder")
    pool = DecoderPool(children=1, watchdog_seconds=30)
    await pool.start()
    try:
        assert (pool.cold, pool.unconfined) == ((), ())
        fmt = media_pb2.MediaFormat(
            container=media_pb2.CONTAINER_PCM,
            pcm_encoding=media_pb2.PCM_ENCODING_S16LE,
            sample_rate=16_000,
            channels=1,
        )
        values = np.random.default_rng(1).integers(-(1 << 15), 1 << 15, 16_000).astype("<i2")
        stream, parts = pool.open(fmt), []
        for at, piece in enumerate(np.array_split(values, 10)):
            parts.append(await stream.decode(Chunk(at, piece.tobytes())))
            if at == 5:
                await stream.checkpoint(stream.position // 2)
                os.kill(pool.child_pids[0], signal.SIGKILL)
        parts.append(await stream.finish())
        assert np.array_equal(np.concatenate(parts), values.astype(np.float32) / (1 << 15))
    finally:
        await pool.close()


def test_no_orphan_is_left_when_the_worker_is_killed() -> None:
    probe = Path(__file__).with_name("orphan_probe.py")
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}
    with subprocess.Popen([sys.executable, probe], env=environment, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pids = [int(word) for word in worker.stdout.readline().split()]
        worker.kill()
    assert len(pids) == 2
    assert all(ended(pid) for pid in pids)
