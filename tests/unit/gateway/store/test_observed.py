"""Every operation of a store is timed, and nothing else changes."""

from __future__ import annotations

import inspect
from collections import Counter

import pytest

from gateway.analyses import StoredAnalysis
from gateway.metrics import Metrics
from gateway.store.base import Store, StoreError, StreamStart
from gateway.store.observed import ObservedStore
from gateway.store.sqlite import SqliteStore
from gateway.transcript import Segment

ANALYSIS = StoredAnalysis("delivery/summary", b"{}")
SEGMENT = Segment(1, "hello", "en", 0.9, 0, 500, (), 1)
UNTIMED = {"durable", "pending_writes", "watch", "start", "close"}


class Operations:
    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def answered(self, operation: str, seconds: float) -> None:
        assert seconds >= 0
        self.seen[operation] += 1


async def use(store: Store) -> None:
    """Every operation once."""
    await store.claim("s")
    store.begin_session("s", "acme").result(5)
    store.begin_stream(StreamStart("s", "key", "a", 1.0)).result(5)
    store.add_segment("s", "key", SEGMENT, b"state").result(5)
    store.save_state("s", "key", b"later").result(5)
    store.add_analyses("s", "key", [ANALYSIS]).result(5)
    assert await store.holds("s")
    assert await store.owner("s") == "acme"
    assert await store.touch(["s"]) == 0
    store.end_stream("s", "key", b"last").result(5)
    store.release("s", closed=True).result(5)
    found = await store.transcript("s")
    assert found is not None
    assert [segment.text for stream in found.streams for segment in stream.segments] == ["hello"]
    record = await store.record("s")
    assert record is not None
    assert [stream.analyses for stream in record.streams] == [(ANALYSIS,)]
    assert await store.delete("s")
    await store.sweep(3600)


async def test_every_operation_is_timed_once() -> None:
    operations = Operations()
    store = ObservedStore(SqliteStore(None), operations)
    await store.start()
    await use(store)
    assert store.pending_writes == 0
    await store.close()
    methods = {name for name, _ in inspect.getmembers(Store) if not name.startswith("_")}
    assert operations.seen == dict.fromkeys(methods - UNTIMED, 1)


async def test_failures_are_timed_and_raised() -> None:
    operations = Operations()
    store = ObservedStore(SqliteStore(None), operations)
    await store.start()
    with pytest.raises(StoreError):
        store.save_state("unknown", "unknown", b"").result(5)
    await store.close()
    assert operations.seen == {"save_state": 1}


async def test_the_metrics_show_time_and_backlog() -> None:
    metrics = Metrics()
    store = ObservedStore(SqliteStore(None), metrics.store)
    metrics.store.watch_backlog(lambda: 7)
    await store.start()
    store.begin_session("s").result(5)
    await store.close()
    text = metrics.render().decode()
    assert 'gateway_store_operation_seconds_count{operation="begin_session"} 1.0' in text
    assert "gateway_store_pending_writes 7.0" in text
