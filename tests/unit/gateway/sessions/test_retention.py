"""Rounds of retention: live sessions are renewed, old ones deleted, and what is skipped or fails is counted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from gateway.sessions.directory import SessionDirectory
from gateway.sessions.retention import RetentionSweeper
from gateway.store.base import RENEWALS_STOP_AT, StoreError
from gateway.store.sqlite import SqliteStore
from tests.unit.gateway.sessions.rig import PATIENCE_S, Socket, running_directory

RETENTION_S = 400.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class FailingStore(SqliteStore):
    """A store whose renewals or sweeps fail on demand."""

    fails: frozenset[str] = frozenset()

    async def touch(self, session_ids: Sequence[str]) -> int:
        if "touch" in self.fails:
            raise StoreError("the transcript store failed (OperationalError)")
        return await super().touch(session_ids)

    async def sweep(self, retention_s: float) -> int:
        if "sweep" in self.fails:
            raise StoreError("the transcript store failed (OperationalError)")
        return await super().sweep(retention_s)


def counted(directory: SessionDirectory, name: str) -> float:
    value = directory._context.metrics.registry.get_sample_value(f"gateway_store_{name}_total")
    assert value is not None
    return value


async def begin_live_and_old(directory: SessionDirectory, store: SqliteStore) -> RetentionSweeper:
    """A live session `live` and one of an earlier process, `old`."""
    await asyncio.wrap_future(store.begin_session("old"))
    (await directory.open("live")).attach(Socket())
    await asyncio.wrap_future(store.begin_session("live"))
    sweeper = RetentionSweeper(directory._context, directory)
    assert sweeper.interval_s == RETENTION_S / 4
    return sweeper


async def test_live_sessions_are_spared_and_old_ones_deleted() -> None:
    clock = Clock()
    store = SqliteStore(None, clock)
    async with running_directory(store, retention_s=RETENTION_S) as directory:
        sweeper = await begin_live_and_old(directory, store)
        for _ in range(5):
            clock.now += sweeper.interval_s
            await sweeper.sweep()
        assert await store.claim("old") is None
        assert await store.claim("live") is not None
        assert counted(directory, "renewals_skipped") == 0


async def test_a_round_with_a_full_queue_sweeps_and_the_next_one_renews() -> None:
    clock = Clock()
    store = SqliteStore(None, clock)
    async with running_directory(store, retention_s=RETENTION_S) as directory:
        sweeper = await begin_live_and_old(directory, store)
        clock.now += sweeper.interval_s
        await sweeper.sweep()
        for rounds in (1, 2):
            clock.now += sweeper.interval_s
            gate = threading.Event()
            store._queue._thread.submit(gate.wait)
            writes = [store.begin_session("busy") for _ in range(RENEWALS_STOP_AT)]
            sweeping = asyncio.create_task(sweeper.sweep())
            await asyncio.sleep(0)
            gate.set()
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(sweeping, *map(asyncio.wrap_future, writes))
            assert counted(directory, "renewals_skipped") == rounds
        clock.now += sweeper.interval_s + 1.0
        await sweeper.sweep()
        assert await store.claim("old") is None
        assert await store.claim("live") is not None
        assert counted(directory, "renewals_skipped") == 2
        assert counted(directory, "sweeps_failed") == 0


@pytest.mark.parametrize(("failing", "skipped", "failed"), [("touch", 1, 0), ("sweep", 0, 1)])
async def test_a_failure_is_counted_and_does_not_stop_the_rest_of_the_round(
    failing: str, skipped: int, failed: int
) -> None:
    clock = Clock()
    store = FailingStore(None, clock)
    async with running_directory(store, retention_s=RETENTION_S) as directory:
        sweeper = await begin_live_and_old(directory, store)
        clock.now += 300.0
        await asyncio.wrap_future(store.begin_session("live"))
        clock.now += 101.0
        store.fails = frozenset({failing})
        await sweeper.sweep()
        assert (counted(directory, "renewals_skipped"), counted(directory, "sweeps_failed")) == (skipped, failed)
        assert (await store.claim("old") is None) is (failing == "touch")
        assert await store.claim("live") is not None


async def test_the_rounds_go_on_after_a_failure() -> None:
    store = FailingStore(None)
    async with running_directory(store, retention_s=1.0) as directory:
        store.fails = frozenset({"touch", "sweep"})
        task = asyncio.create_task(RetentionSweeper(directory._context, directory).run())
        async with asyncio.timeout(PATIENCE_S):
            while counted(directory, "sweeps_failed") < 2:
                await asyncio.sleep(0.01)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
