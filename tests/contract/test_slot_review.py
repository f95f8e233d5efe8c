"""The slots of a running worker follow its engine: reported, logged, counted, and never taken from a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import structlog
from prometheus_client import generate_latest
from talkup.v1 import error_pb2, task_pb2, worker_service_pb2

from tests.contract.worker_harness import Worker, running
from workers import slot_review
from workers.capacity import SlotsChange, Source
from workers.fake.engine import FakeEngine
from workers.fake.script import FakeScript
from workers.metrics import WorkerMetrics

LINE = "slots changed"


class MeasuringEngine(FakeEngine):
    """The fake engine with slots that a test sets, as a measurement would."""

    def __init__(self, slots: int) -> None:
        super().__init__(FakeScript(slots=slots))
        self.slots, self.found = slots, slots

    async def review(self) -> SlotsChange | None:  # type: ignore[override]
        before, self.slots = self.slots, self.found
        if self.slots == before:
            return None
        return SlotsChange(self.slots, before, Source.STEPS, 0.2, 0.1)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_review, "INTERVAL", 0.01)


async def slots_of(worker: Worker) -> task_pb2.Slots:
    described = await worker.stub.Describe(worker_service_pb2.DescribeRequest())
    return described.slots


async def until(worker: Worker, wanted: Callable[[task_pb2.Slots], bool]) -> task_pb2.Slots:
    async with asyncio.timeout(10):
        while not wanted(slots := await slots_of(worker)):
            await asyncio.sleep(0.01)
    return slots


async def test_streams_keep_their_slots_when_there_are_fewer() -> None:
    engine, counted = MeasuringEngine(3), WorkerMetrics()
    with structlog.testing.capture_logs() as lines:
        async with running(engine, metrics=counted) as worker:
            calls = [worker.call() for _ in range(3)]
            for number, call in enumerate(calls):
                await call.start(stream_id=f"s{number}")
                await call.read_until("started")
            engine.found = 1
            slots = await until(worker, lambda slots: slots.total == 1)
            assert slots.free == 0
            refused = worker.call()
            await refused.start(stream_id="late")
            assert (await refused.refusal())[1].code == error_pb2.ERROR_CODE_BUSY
            for call in calls:
                await call.chunk(b"x" * 3200)
                await call.end()
                assert (await call.rest())[-1].WhichOneof("result") == "ended"
            assert (await until(worker, lambda slots: slots.free == 1)).total == 1
            engine.found = 4
            assert (await until(worker, lambda slots: slots.total == 4)).free == 4
            metrics = generate_latest(counted.registry).decode()
    changes = [(line["before"], line["slots"], line["measured"]) for line in lines if line["event"] == LINE]
    assert changes == [(3, 1, "steps"), (1, 4, "steps")]
    assert 'talkup_worker_slot_changes_total{direction="down"} 1.0' in metrics
    assert 'talkup_worker_slot_changes_total{direction="up"} 1.0' in metrics
    assert "talkup_worker_slots 4.0" in metrics
    assert "talkup_worker_step_cost_seconds 0.2" in metrics


async def test_slots_that_were_set_are_not_reviewed() -> None:
    engine = MeasuringEngine(3)
    engine.found = 9
    async with running(engine, slots=2) as worker:
        await asyncio.sleep(0.1)
        assert (await slots_of(worker)).total == 2
        assert engine.slots == 3


async def test_a_failed_review_changes_nothing_and_is_logged() -> None:
    engine = MeasuringEngine(3)
    failed = asyncio.Event()

    async def broken() -> SlotsChange | None:
        failed.set()
        raise RuntimeError("secret")

    engine.review = broken  # type: ignore[method-assign]
    with structlog.testing.capture_logs() as lines:
        async with running(engine) as worker:
            await failed.wait()
            await until(worker, lambda slots: slots.total == 3)
    warnings = [line for line in lines if line["event"] == "slots not reviewed"]
    assert warnings[0]["error"] == "RuntimeError"
    assert "secret" not in str(warnings)
