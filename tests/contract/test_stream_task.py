"""StreamTask over real sockets: order, flush, end, resume, fencing, admission, drain, deadlines, refusals."""

from __future__ import annotations

import asyncio
import random
from functools import partial

import grpc
import pytest
from talkup.v1 import error_pb2, media_pb2, task_pb2, worker_service_pb2

from tests.contract import worker_harness
from tests.contract.worker_harness import AUDIO, Call, Worker, final_words, transcribe
from workers.chunk import Chunk
from workers.engine import StreamContext
from workers.errors import PUSHBACK_METADATA_KEY
from workers.fake.engine import FakeEngine, FakeScript, expected_words

running = worker_harness.running
MEDIA = [random.Random(3).randbytes(700) for _ in range(40)]


@pytest.fixture(params=[False, True], ids=["alone", "linked"], autouse=True)
def linked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Every test runs with calls of their own, and with calls in one link."""
    monkeypatch.setattr(f"{__name__}.running", partial(worker_harness.running, linked=request.param))
    return request.param


async def free_slots(worker: Worker) -> int:
    return (await worker.stub.Describe(worker_service_pb2.DescribeRequest())).slots.free


async def test_a_direct_caller_needs_only_the_stubs() -> None:
    async with running() as worker:
        results = await transcribe(worker.call(), MEDIA)
    assert results[0].WhichOneof("result") == "started"
    assert results[0].started.model.name == "fake"
    assert "resume" in results[0].started.capabilities
    assert results[-1].ended.chunks == len(MEDIA)
    assert final_words(results) == expected_words(b"".join(MEDIA))


async def test_every_result_carries_the_ids_and_the_attempt() -> None:
    async with running() as worker:
        results = await transcribe(worker.call(), MEDIA[:5], session_id="s-1", stream_id="mic", attempt=3)
    assert {(r.session_id, r.stream_id, r.service_type, r.attempt) for r in results} == {
        ("s-1", "mic", task_pb2.SERVICE_TYPE_STT, 3)
    }


async def test_a_half_close_without_end_loses_no_words() -> None:
    async with running() as worker:
        call = worker.call()
        await call.start()
        await call.chunk(MEDIA[0])
        await call.rpc.done_writing()
        results = await call.rest()
    assert final_words(results) == expected_words(MEDIA[0])
    assert results[-1].WhichOneof("result") == "ended"


async def test_flush_answers_before_the_end() -> None:
    async with running() as worker:
        call = worker.call()
        await call.start()
        await call.chunk(MEDIA[0])
        await call.flush(9)
        assert (await call.read_until("flushed")).flushed.flush_id == 9
        await call.chunk(MEDIA[1])
        await call.end()
        assert final_words(await call.rest()) == expected_words(MEDIA[1])


async def test_a_second_worker_continues_where_the_first_was_lost() -> None:
    async with running() as first, running() as second:
        call = first.call()
        await call.start()
        for chunk in MEDIA[:25]:
            await call.chunk(chunk)
        seen = []
        while final_words(seen) == []:
            result = await call.read()
            assert result is not None
            seen.append(result)
        progress = seen[-1].progress
        call.rpc.cancel()
        start = task_pb2.StreamStart()
        start.CopyFrom(AUDIO)
        start.resume_state = progress.resume_state
        again = second.call()
        await again.start(start, attempt=2)
        for sequence in range(progress.replay_from_sequence, len(MEDIA)):
            await again.chunk(MEDIA[sequence], sequence)
        await again.end()
        results = await again.rest()
    assert results[0].started.resumed
    assert final_words(seen) + final_words(results) == expected_words(b"".join(MEDIA))
    assert results[-1].ended.bytes == sum(map(len, MEDIA))


async def test_a_stream_beyond_the_slots_is_refused_at_once_and_the_others_continue() -> None:
    async with running(slots=2) as worker:
        calls = [worker.call() for _ in range(2)]
        for number, call in enumerate(calls):
            await call.start(stream_id=str(number))
            await call.read_until("started")
        refused = worker.call()
        await refused.start(stream_id="one too many")
        code, error = await refused.refusal()
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (error.code, error.retryable) == (error_pb2.ERROR_CODE_BUSY, True)
        trailing = dict(await refused.rpc.trailing_metadata())
        assert trailing[PUSHBACK_METADATA_KEY] == str(error.retry_after_ms) == "1000"
        for call in calls:
            await call.chunk(MEDIA[0])
            await call.end()
            assert final_words(await call.rest()) == expected_words(MEDIA[0])


async def test_a_newer_attempt_replaces_the_older_one() -> None:
    async with running(slots=1) as worker:
        old, new, late = (worker.call() for _ in range(3))
        await old.start(attempt=1)
        await old.read_until("started")
        await new.start(attempt=2)
        await new.read_until("started")
        code, error = await old.refusal()
        assert (code, error.code) == (grpc.StatusCode.FAILED_PRECONDITION, error_pb2.ERROR_CODE_SUPERSEDED)
        await late.start(attempt=1)
        assert (await late.refusal())[1].code == error_pb2.ERROR_CODE_SUPERSEDED
        await new.end()
        assert (await new.rest())[-1].WhichOneof("result") == "ended"
        assert await free_slots(worker) == 1


async def test_cancelling_frees_the_slot_and_the_session() -> None:
    closed = asyncio.Event()

    class Watched(FakeEngine):
        def open(self, start, context):
            session = super().open(start, context)
            close = session.close

            async def close_and_report() -> None:
                await close()
                closed.set()

            session.close = close_and_report
            return session

    async with running(Watched(), slots=1) as worker:
        call = worker.call()
        await call.start()
        await call.read_until("started")
        assert await free_slots(worker) == 0
        call.rpc.cancel()
        async with asyncio.timeout(5):
            await closed.wait()
        assert await free_slots(worker) == 1


async def test_the_deadline_of_the_call_reaches_the_engine() -> None:
    seen: list[StreamContext] = []

    class Watched(FakeEngine):
        def open(self, start, context):
            seen.append(context)
            return super().open(start, context)

    async with running(Watched()) as worker:
        await transcribe(worker.call(timeout=30), MEDIA[:1])
        (context,) = seen
        assert context.deadline is not None
        assert context.deadline - asyncio.get_running_loop().time() == pytest.approx(30, abs=5)


async def test_a_stream_beyond_its_time_limit_ends_in_band() -> None:
    async with running(stream_seconds=1) as worker:
        call = worker.call()
        await call.start()
        results = await call.rest()
        assert results[-1].error.code == error_pb2.ERROR_CODE_DEADLINE_EXCEEDED
        assert results[-1].error.fatal
        assert await call.rpc.code() == grpc.StatusCode.OK


async def test_the_callers_own_deadline_frees_the_slot() -> None:
    async with running(slots=1) as worker:
        call = worker.call(timeout=0.3)
        await call.start()
        with pytest.raises(grpc.aio.AioRpcError) as over:
            await call.rest()
        assert over.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        again = worker.call()
        await again.start(attempt=2)
        await again.read_until("started")


async def test_a_failure_of_the_stream_is_reported_in_band() -> None:
    async with running(FakeEngine(FakeScript(fail_after=3))) as worker:
        call = worker.call()
        await call.start()
        for chunk in MEDIA[:4]:
            await call.chunk(chunk)
        results = await call.rest()
        error = results[-1].error
        assert (error.code, error.fatal) == (error_pb2.ERROR_CODE_MEDIA_ERROR, True)
        assert await call.rpc.code() == grpc.StatusCode.OK
        assert await free_slots(worker) == 64


async def test_a_bug_in_the_engine_reveals_no_internals() -> None:
    class Broken(FakeEngine):
        def open(self, start, context):
            session = super().open(start, context)

            async def accept(chunk: Chunk) -> None:
                raise ValueError("speech of a person")

            session.accept = accept
            return session

    async with running(Broken()) as worker:
        call = worker.call()
        await call.start()
        await call.chunk(MEDIA[0])
        error = (await call.rest())[-1].error
        assert (error.code, error.retryable, error.fatal) == (error_pb2.ERROR_CODE_INTERNAL, True, True)
        assert "speech" not in error.message


async def test_an_engine_that_refuses_to_open_ends_the_call_with_a_status() -> None:
    async with running(FakeEngine(FakeScript(reject=True))) as worker:
        call = worker.call()
        await call.start()
        code, error = await call.refusal()
        assert (code, error.code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, error_pb2.ERROR_CODE_BUSY)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"session_id": ""}, "session_id"),
        ({"stream_id": "x" * 200}, "stream_id"),
        ({"service_type": task_pb2.SERVICE_TYPE_VISION}, "service_type"),
        ({"protocol_version": "2.0"}, "protocol_version"),
        ({"start": task_pb2.StreamStart()}, "start.kind"),
        ({"start": task_pb2.StreamStart(kind=media_pb2.MEDIA_KIND_AUDIO)}, "start.format.container"),
    ],
)
async def test_a_bad_start_is_refused_with_the_offending_field(fields: dict, field: str) -> None:
    async with running() as worker:
        call = worker.call()
        await call.start(**{"start": AUDIO} | fields)
        code, error = await call.refusal()
        assert (code, error.field) == (grpc.StatusCode.INVALID_ARGUMENT, field)


async def test_the_first_message_must_carry_start() -> None:
    async with running() as worker:
        call = worker.call()
        await call.chunk(b"x")
        assert (await call.refusal())[1].field == "start"


async def test_a_call_without_a_first_message_ends() -> None:
    async with worker_harness.running(start_seconds=0.2) as worker:
        silent, empty = (worker.call() for _ in range(2))
        await empty.rpc.done_writing()
        assert (await empty.refusal())[0] == grpc.StatusCode.INVALID_ARGUMENT
        assert (await silent.refusal())[0] == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_chunks_out_of_order_end_the_call() -> None:
    async def after(worker: Worker, stream_id: str, *chunks: tuple[int, int]) -> Call:
        call = worker.call()
        await call.start(stream_id=stream_id)
        for sequence, missing in chunks:
            await call.chunk(b"x", sequence, missing_before=missing)
        return call

    async with running() as worker:
        for name, chunks in {"twice": ((1, 0), (1, 0)), "hole": ((1, 0), (3, 0)), "wrong": ((1, 0), (5, 1))}.items():
            code, error = await (await after(worker, name, *chunks)).refusal()
            assert (code, error.field) == (grpc.StatusCode.INVALID_ARGUMENT, "chunk.sequence")
        declared = await after(worker, "declared", (1, 0), (4, 2))
        await declared.end()
        assert (await declared.rest())[-1].ended.missing_chunks == 2


async def test_drain_is_announced_in_band_and_waits_for_the_stream() -> None:
    async with running() as worker:
        call = worker.call()
        await call.start()
        await call.read_until("started")
        draining = asyncio.ensure_future(worker.server.drain())
        assert (await call.read_until("drain")).drain.deadline_ms == 5000
        late = worker.call()
        await late.start(stream_id="b")
        assert (await late.refusal())[0] == grpc.StatusCode.UNAVAILABLE
        assert (await worker.stub.Describe(worker_service_pb2.DescribeRequest())).draining
        await call.chunk(MEDIA[0])
        await call.end()
        assert final_words(await call.rest()) == expected_words(MEDIA[0])
        await draining


async def test_a_slow_reader_slows_the_sender_down_instead_of_filling_memory() -> None:
    async with running(FakeEngine(FakeScript(words_per_final=1))) as worker:
        call = worker.call()
        await call.start()
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(400):
                await call.chunk(bytes(60_000))
                sent += 1

        sending = asyncio.ensure_future(send())
        done, _ = await asyncio.wait({sending}, timeout=1)
        assert not done, "24 MB were accepted while nobody read the results"
        assert sent < 100
        sending.cancel()
        call.rpc.cancel()


async def test_the_newest_picture_wins_and_the_counts_add_up() -> None:
    gate = asyncio.Semaphore(0)
    entered = asyncio.Event()

    async def wait_turn(_seconds: float) -> None:
        entered.set()
        await gate.acquire()

    engine = FakeEngine(FakeScript(service_type=task_pb2.SERVICE_TYPE_VISION, delay_ms=1), sleep=wait_turn)
    picture = media_pb2.MediaFormat(mime_type="image/jpeg", container=media_pb2.CONTAINER_JPEG)
    start = task_pb2.StreamStart(kind=media_pb2.MEDIA_KIND_VIDEO, format=picture)
    async with running(engine) as worker:
        call = worker.call()
        await call.start(start, service_type=task_pb2.SERVICE_TYPE_VISION)
        await call.chunk(b"frame 0")
        async with asyncio.timeout(5):
            await entered.wait()
        for number in range(1, 20):
            await call.chunk(b"frame %d" % number)
        await call.end()
        for _ in range(20):
            gate.release()
        results = await call.rest()
    frames = [r.analysis.frame_seq for r in results if r.analysis.HasField("frame")]
    ended = results[-1].ended
    assert frames == sorted(frames)
    assert frames[0] == 0
    assert frames[-1] == 19
    assert ended.chunks == 20 == len(frames) + sum(drop.count for drop in ended.dropped)
