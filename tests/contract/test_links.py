"""StreamTasks over real sockets: streams that do not hold up each other, and what ends a call, a link, or neither."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from talkup.v1 import error_pb2, link_pb2, task_pb2, transcript_pb2, worker_service_pb2

from tests.contract.worker_harness import AUDIO, Worker, final_words, running, transcribe
from workers.errors import ERROR_METADATA_KEY
from workers.fake.engine import FakeEngine, FakeScript, expected_words
from workers.guard import SERVICE_NAME
from workers.metrics import WorkerMetrics

MEDIA = [bytes([65 + n]) * 700 for n in range(20)]
# A valid request of 100,001 fields, nearly all of them empty hotwords.
HOTWORDS = task_pb2.TaskRequest(
    start=task_pb2.StreamStart(speech=transcript_pb2.SpeechOptions(hotwords=[""] * 100_000))
).SerializeToString()


class StuckEngine(FakeEngine):
    """Takes no chunk of the stream `stuck`."""

    def open(self, start, context):
        session = super().open(start, context)
        if context.stream_id == "stuck":

            async def never(_chunk: object) -> None:
                await asyncio.Event().wait()

            session.accept = never
        return session


class SlowlyClosingEngine(FakeEngine):
    """Its first session waits for `may_close` while it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closing, self.may_close, self.closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def open(self, start, context):
        session = super().open(start, context)
        if not self.closing.is_set():
            close = session.close

            async def close_slowly() -> None:
                self.closing.set()
                await self.may_close.wait()
                await close()
                self.closed.set()

            session.close = close_slowly
        return session


def refusals(metrics: WorkerMetrics, code: str) -> float | None:
    return metrics.registry.get_sample_value("talkup_worker_refused_total", {"code": f"ERROR_CODE_{code}"})


def start_request(stream_id: str) -> bytes:
    return task_pb2.TaskRequest(
        session_id="s", stream_id=stream_id, service_type=task_pb2.SERVICE_TYPE_STT, attempt=1, start=AUDIO
    ).SerializeToString()


def opening(number: int, stream_id: str = "a") -> link_pb2.TaskEntry:
    return link_pb2.TaskEntry(call=number, open=link_pb2.CallOpen(request=start_request(stream_id)))


async def describe(worker: Worker, **options: object) -> worker_service_pb2.DescribeResponse:
    return await worker.stub.Describe(worker_service_pb2.DescribeRequest(), **options)


async def test_a_stream_whose_media_nobody_takes_holds_up_no_other_one() -> None:
    async with running(StuckEngine(), linked=True) as worker:
        stuck = worker.call()
        await stuck.start(stream_id="stuck")
        sent = 0

        async def fill() -> None:
            nonlocal sent
            while True:
                await stuck.chunk(bytes(20_000))
                sent += 1

        filling = asyncio.ensure_future(fill())
        for turn in range(5):
            results = await transcribe(worker.call(), MEDIA, stream_id=f"free-{turn}")
            assert final_words(results) == expected_words(b"".join(MEDIA))
        assert sent <= 4  # 65,536 bytes of credit, and one message more
        filling.cancel()


async def test_a_stream_whose_results_nobody_reads_holds_up_no_other_one() -> None:
    async with running(FakeEngine(FakeScript(words_per_final=1, word_bytes=10)), linked=True) as worker:
        unread = worker.call()
        await unread.start(stream_id="unread")
        sending = asyncio.ensure_future(asyncio.wait([asyncio.ensure_future(unread.chunk(bytes(60_000)))]))
        await sending
        for turn in range(3):
            results = await transcribe(worker.call(), MEDIA, stream_id=f"read-{turn}")
            assert results[-1].ended.chunks == len(MEDIA)


async def test_a_caller_that_leaves_results_unread_too_long_is_ended_alone() -> None:
    engine = FakeEngine(FakeScript(words_per_final=1, word_bytes=10))
    async with running(engine, linked=True, write_seconds=0.2) as worker:
        unread = worker.call()
        await unread.start(stream_id="unread")
        await unread.chunk(bytes(60_000))
        async with asyncio.timeout(20):
            assert await unread.rpc.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert final_words(await transcribe(worker.call(), MEDIA[:1])) != []


async def test_the_end_of_a_link_ends_its_calls() -> None:
    async with running(slots=2, linked=True) as worker:
        calls = [worker.call() for _ in range(2)]
        for number, call in enumerate(calls):
            await call.start(stream_id=str(number))
            await call.read_until("started")
        assert (await describe(worker)).slots.free == 0
        assert worker.link is not None
        worker.link.rpc.cancel()
        async with asyncio.timeout(10):
            while (await describe(worker)).slots.free != 2:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("link_ends", [False, True])
async def test_a_session_that_is_being_closed_is_cancelled_no_second_time(link_ends: bool) -> None:
    engine = SlowlyClosingEngine()
    cancel = link_pb2.TaskEntry(call=1, cancel=link_pb2.CallCancel())
    async with running(engine, slots=4) as worker, asyncio.timeout(20):
        link = worker.stub.StreamTasks()
        await link.write(link_pb2.TaskBatch(entries=[opening(1)]))
        assert (await link.read()).entries[0].call == 1
        await link.write(link_pb2.TaskBatch(entries=[cancel]))
        await engine.closing.wait()
        if link_ends:
            link.cancel()
        else:
            await link.write(link_pb2.TaskBatch(entries=[cancel, opening(2, "b")]))
            assert (await link.read()).entries[0].call == 2
        # Answered after the cancellation of the link has reached the worker.
        await describe(worker)
        engine.may_close.set()
        await engine.closed.wait()
        link.cancel()


@pytest.mark.parametrize(
    ("entries", "field"),
    [
        ([link_pb2.TaskEntry(call=7, request=b"")], "entries.call"),
        ([opening(2), opening(1)], "entries.call"),
        ([opening(1), *[link_pb2.TaskEntry(call=1, request=bytes(40_000))] * 3], "entries"),
        ([opening(1), link_pb2.TaskEntry(call=1, credit=5)], "entries"),
        ([opening(1), link_pb2.TaskEntry(call=1)], "entries"),
    ],
)
async def test_a_breach_ends_the_link_with_a_typed_error_and_is_counted(
    entries: list[link_pb2.TaskEntry], field: str
) -> None:
    metrics = WorkerMetrics()
    async with running(slots=4, metrics=metrics, linked=True) as worker:
        before = refusals(metrics, "BAD_MESSAGE") or 0
        other = worker.call()
        await other.start(stream_id="other")
        await other.read_until("started")
        breaching = worker.stub.StreamTasks()
        await breaching.write(link_pb2.TaskBatch(entries=entries))
        assert await breaching.code() == grpc.StatusCode.INVALID_ARGUMENT
        error = error_pb2.Error.FromString(dict(await breaching.trailing_metadata())[ERROR_METADATA_KEY])
        assert (error.code, error.field) == (error_pb2.ERROR_CODE_BAD_MESSAGE, field)
        assert refusals(metrics, "BAD_MESSAGE") == before + 1
        await other.end()
        assert (await other.rest())[-1].WhichOneof("result") == "ended"
        async with asyncio.timeout(10):
            while (await describe(worker)).slots.free != 4:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("batch", "field"),
    [(b"\x0a\x02\x08\x01" * 1_000_000, "entries"), (b"\x0a\x02\x08", ""), (b"\xff" * 100_000, "")],
    ids=["a million entries", "cut", "no batch"],
)
@pytest.mark.parametrize("is_first", [True, False])
async def test_a_batch_that_is_none_ends_the_link(batch: bytes, field: str, is_first: bool) -> None:
    metrics = WorkerMetrics()
    async with running(slots=4, metrics=metrics) as worker, asyncio.timeout(20):
        link = worker.channel.stream_stream(f"/{SERVICE_NAME}/StreamTasks")(None)
        if not is_first:
            await link.write(link_pb2.TaskBatch(entries=[opening(1)]).SerializeToString())
            assert await link.read()
        await link.write(batch)
        assert await link.code() == grpc.StatusCode.INVALID_ARGUMENT
        error = error_pb2.Error.FromString(dict(await link.trailing_metadata())[ERROR_METADATA_KEY])
        assert (error.code, error.field) == (error_pb2.ERROR_CODE_BAD_MESSAGE, field)
        assert refusals(metrics, "BAD_MESSAGE") == 1


async def test_a_message_that_cannot_be_parsed_ends_its_own_call() -> None:
    async with running() as worker:
        link = worker.stub.StreamTasks()
        broken = link_pb2.TaskEntry(call=1, open=link_pb2.CallOpen(request=b"\xff\xff"))
        await link.write(link_pb2.TaskBatch(entries=[broken, opening(2)]))
        closed: dict[int, link_pb2.CallClosed] = {}
        started: set[int] = set()
        async with asyncio.timeout(10):
            while not (closed and started):
                for entry in (await link.read()).entries:
                    if entry.HasField("closed"):
                        closed[entry.call] = entry.closed
                    else:
                        started.add(entry.call)
        assert (started, set(closed)) == ({2}, {1})
        assert closed[1].error.code == error_pb2.ERROR_CODE_BAD_MESSAGE
        link.cancel()


async def test_a_request_of_very_many_fields_ends_its_own_call() -> None:
    metrics = WorkerMetrics()
    async with running(slots=4, metrics=metrics) as worker, asyncio.timeout(20):
        link = worker.stub.StreamTasks()
        flood = link_pb2.TaskEntry(call=1, request=HOTWORDS)
        await link.write(link_pb2.TaskBatch(entries=[opening(1), opening(2, "b"), flood]))
        closed = None
        while closed is None:
            for entry in (await link.read()).entries:
                closed = entry.closed if entry.HasField("closed") else None
                assert closed is None or entry.call == 1
        assert (closed.error.code, closed.error.field) == (error_pb2.ERROR_CODE_BAD_MESSAGE, "request")
        assert refusals(metrics, "BAD_MESSAGE") == 1
        half_close = link_pb2.TaskEntry(call=2, half_close=link_pb2.CallHalfClose())
        await link.write(link_pb2.TaskBatch(entries=[half_close]))
        last = None
        while last is None or not last.HasField("closed"):
            last = (await link.read()).entries[-1]
        assert (last.call, last.closed.status_code) == (2, 0)
        link.cancel()


@pytest.mark.parametrize(
    "request_bytes", [HOTWORDS, b"\x78\x00" * 100_000, b"\xff\xff"], ids=["hotwords", "unknown", "cut"]
)
@pytest.mark.parametrize("is_first", [True, False])
async def test_a_request_that_is_not_worth_parsing_ends_its_rpc_alone(request_bytes: bytes, is_first: bool) -> None:
    metrics = WorkerMetrics()
    async with running(slots=4, metrics=metrics) as worker, asyncio.timeout(20):
        other = worker.call()
        await other.start(stream_id="other")
        await other.read_until("started")
        call = worker.channel.stream_stream(f"/{SERVICE_NAME}/StreamTask")(None)
        if not is_first:
            await call.write(start_request("flood"))
            assert await call.read()
        await call.write(request_bytes)
        assert await call.code() == grpc.StatusCode.INVALID_ARGUMENT
        error = error_pb2.Error.FromString(dict(await call.trailing_metadata())[ERROR_METADATA_KEY])
        assert (error.code, error.field) == (error_pb2.ERROR_CODE_BAD_MESSAGE, "request")
        assert refusals(metrics, "BAD_MESSAGE") == 1
        await other.end()
        assert (await other.rest())[-1].WhichOneof("result") == "ended"


async def test_calls_beyond_the_bound_are_refused_alone_and_counted() -> None:
    metrics = WorkerMetrics()
    async with running(slots=64, max_calls=8, metrics=metrics, linked=True) as worker:
        calls = [worker.call() for _ in range(9)]
        for number, call in enumerate(calls):
            await call.start(stream_id=str(number))
        code, error = await calls[8].refusal()
        assert (code, error.code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, error_pb2.ERROR_CODE_BUSY)
        assert refusals(metrics, "BUSY") == 1
        await calls[0].end()
        await calls[0].rest()
        again = worker.call()
        await again.start(stream_id="again")
        await again.read_until("started")


async def test_of_calls_that_come_together_only_those_beyond_the_bound_are_refused() -> None:
    async with running(slots=64, max_calls=8) as worker, asyncio.timeout(20):
        link = worker.stub.StreamTasks()
        await link.write(link_pb2.TaskBatch(entries=[opening(number, str(number)) for number in range(1, 10)]))
        answers: dict[int, str | None] = {}
        while len(answers) < 9:
            answers |= {entry.call: entry.WhichOneof("entry") for entry in (await link.read()).entries}
        assert answers == {**dict.fromkeys(range(1, 9), "result"), 9: "closed"}
        link.cancel()


async def test_only_those_who_may_call_get_a_link() -> None:
    async with running(tokens=("t" * 32,)) as worker:
        refused = worker.stub.StreamTasks()
        await refused.write(link_pb2.TaskBatch(entries=[opening(1)]))
        assert await refused.code() == grpc.StatusCode.UNAUTHENTICATED
        link = worker.stub.StreamTasks(metadata=(("authorization", f"Bearer {'t' * 32}"),))
        await link.write(link_pb2.TaskBatch(entries=[opening(1)]))
        assert (await link.read()).entries[0].call == 1
        link.cancel()


async def test_a_worker_offers_links_unless_a_proxy_stands_between() -> None:
    async with running() as worker, running() as other:
        offer, again, others = [await describe(each) for each in (worker, worker, other)]
        assert offer.link.max_calls > 0
        assert offer.link.max_batch_bytes > 0
        assert offer.link.worker_id == again.link.worker_id != others.link.worker_id
        for mark in ("x-request-id", "x-forwarded-proto", "via"):
            assert not (await describe(worker, metadata=((mark, "1"),))).HasField("link")
