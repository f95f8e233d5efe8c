"""Streams against real workers on loopback: whatever happens to a worker, every chunk is transcribed once, in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import grpc
import pytest
from talkup.v1 import analysis_pb2, error_pb2, media_pb2, task_pb2

from gateway.upstream.config import BufferBounds, Deadlines, Links, Probing, RetryPolicy, UpstreamConfig
from gateway.upstream.items import StreamItem
from gateway.upstream.observer import NoMetrics
from gateway.upstream.placement import Lease
from gateway.upstream.pool import FailoverNotice
from gateway.upstream.task_stream import TaskStream
from tests.fakes.worker_server import Script, WorkerServer, word
from tests.unit.gateway.upstream.listening import ListeningUpstream, results_of

STT = task_pb2.SERVICE_TYPE_STT
CHUNKS = 12
FAST = UpstreamConfig(
    endpoints={},
    deadlines=Deadlines(connect=1.0, admit=2.0, recover=5.0, stall=3.0, hung=0.6, finish=5.0, stream=30.0),
    retry=RetryPolicy(wait_first=0.01, wait_last=0.1, eject_first=0.1),
    probing=Probing(interval=0.2, timeout=0.5),
)
RETRYABLE = error_pb2.Error(code=error_pb2.ERROR_CODE_WORKER_FAILED, message="decoder lost", fatal=True, retryable=True)


def start() -> task_pb2.TaskRequest:
    return task_pb2.TaskRequest(
        session_id="s",
        stream_id="a",
        service_type=STT,
        start=task_pb2.StreamStart(kind=media_pb2.MEDIA_KIND_AUDIO),
    )


def chunk(sequence: int, size: int = 8) -> task_pb2.TaskRequest:
    payload = sequence.to_bytes(4, "big") * (size // 4)
    return task_pb2.TaskRequest(chunk=media_pb2.Chunk(sequence=sequence, payload=payload))


def end() -> task_pb2.TaskRequest:
    return task_pb2.TaskRequest(end=task_pb2.StreamEnd())


def flush(flush_id: int) -> task_pb2.TaskRequest:
    return task_pb2.TaskRequest(flush=task_pb2.StreamFlush(flush_id=flush_id))


@pytest.fixture(params=[Links.NEVER, Links.ALWAYS], autouse=True)
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Links:
    """Every test runs with one RPC a stream, and with all streams of a worker in one."""
    monkeypatch.setattr(f"{__name__}.FAST", replace(FAST, links=request.param))
    return request.param


@asynccontextmanager
async def workers(*scripts: Script) -> AsyncIterator[list[WorkerServer]]:
    async with AsyncExitStack() as stack:
        servers = []
        for script in scripts:
            server = await WorkerServer(script).start()
            stack.push_async_callback(server.kill)
            servers.append(server)
        yield servers


@asynccontextmanager
async def upstream(*targets: str, config: UpstreamConfig | None = None) -> AsyncIterator[ListeningUpstream]:
    pool = ListeningUpstream(replace(config or FAST, endpoints={STT: targets}))
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def until_serving(pool: ListeningUpstream, count: int) -> None:
    await until(lambda: pool.snapshot()[STT].workers_serving == count)


async def collect(stream: TaskStream) -> list[StreamItem]:
    async with asyncio.timeout(15):
        return [item async for item in results_of(stream)]


def results(items: list[StreamItem]) -> list[task_pb2.TaskResult]:
    return [item for item in items if isinstance(item, task_pb2.TaskResult)]


def words(items: list[StreamItem]) -> list[str]:
    return [w for item in results(items) if item.transcript.is_final for w in item.transcript.text.split()]


def kinds(items: list[StreamItem]) -> list[str | None]:
    return [item.WhichOneof("result") if isinstance(item, task_pb2.TaskResult) else "failover" for item in items]


def errors(items: list[StreamItem]) -> list[error_pb2.Error]:
    return [item.error for item in results(items) if item.HasField("error")]


def expected(count: int = CHUNKS) -> list[str]:
    return [word(chunk(sequence).chunk) for sequence in range(count)]


async def run_stream(pool: ListeningUpstream, count: int = CHUNKS) -> list[StreamItem]:
    stream = pool.open(STT, start())
    for sequence in range(count):
        stream.offer(chunk(sequence))
    stream.offer(end())
    return await collect(stream)


def on_either(servers: list[WorkerServer], change: Callable[[Script], None]) -> None:
    """Change the script of whichever worker gets the stream first: the balancer breaks a tie by name."""
    change(min(servers, key=lambda server: server.target).script)


async def test_one_worker_transcribes_every_chunk() -> None:
    async with workers(Script()) as [worker], upstream(worker.target) as pool:
        items = await run_stream(pool)
    assert words(items) == expected()
    assert kinds(items) == ["started", *["transcript"] * CHUNKS, "ended"]
    assert [s.start.attempt for s in worker.seen] == [1]
    assert not worker.seen[0].start.start.HasField("resume_state")


@pytest.mark.parametrize("commit_every", [1, 5, 100])
async def test_a_killed_worker_costs_no_word(commit_every: int) -> None:
    scripts = [Script(commit_every=commit_every) for _ in range(2)]
    async with workers(*scripts) as servers, upstream(*(s.target for s in servers)) as pool:
        on_either(servers, lambda script: setattr(script, "kill_at", 7))
        await until_serving(pool, 2)
        items = await run_stream(pool)
    assert words(items) == expected()
    assert [i.transcript.segment_id for i in results(items) if i.HasField("transcript")] == list(
        range(1, 1 + kinds(items).count("transcript"))
    )
    notices = [i for i in items if isinstance(i, FailoverNotice)]
    assert notices == [FailoverNotice(attempt=2, replayed_from=7 // commit_every * commit_every)]
    assert not errors(items)


async def test_a_broken_connection_is_retried(links: Links) -> None:
    if links is not Links.NEVER:
        pytest.skip("what breaks a connection breaks the link, and no call of it alone")
    async with workers(Script(), Script()) as servers, upstream(*(s.target for s in servers)) as pool:
        on_either(
            servers,
            lambda script: script.__dict__.update(abort_at=3, abort_details="Received RST_STREAM with error code 2"),
        )
        await until_serving(pool, 2)
        items = await run_stream(pool)
    assert words(items) == expected()
    assert kinds(items).count("failover") == 1


async def test_a_stream_leaves_a_hung_worker() -> None:
    async with workers(Script(), Script()) as servers, upstream(*(s.target for s in servers)) as pool:
        on_either(servers, lambda script: setattr(script, "silent_from", 4))
        await until_serving(pool, 2)
        items = await run_stream(pool)
    assert words(items) == expected()
    assert kinds(items).count("failover") == 1


async def test_an_endpoint_where_nobody_listens_is_skipped() -> None:
    async with workers(Script()) as [worker], upstream("127.0.0.1:1", worker.target) as pool:
        assert words(await run_stream(pool)) == expected()


async def test_a_full_worker_is_skipped() -> None:
    async with workers(Script(), Script()) as servers, upstream(*(s.target for s in servers)) as pool:
        on_either(servers, lambda script: setattr(script, "refuse", grpc.StatusCode.RESOURCE_EXHAUSTED))
        await until_serving(pool, 2)
        items = await run_stream(pool)
    assert words(items) == expected()
    assert "failover" not in kinds(items)


async def test_a_taken_slot_refuses_at_once_and_is_free_after_the_end() -> None:
    async with workers(Script(slots=1)) as [worker], upstream(worker.target) as pool:
        await until_serving(pool, 1)
        first = pool.open(STT, start())
        assert await anext(results_of(first))
        began = asyncio.get_running_loop().time()
        items = await run_stream(pool)
        assert asyncio.get_running_loop().time() - began < FAST.deadlines.admit / 2
        [busy] = errors(items)
        assert (busy.code, busy.fatal, busy.retryable) == (error_pb2.ERROR_CODE_BUSY, True, True)
        hint = FAST.retry.busy_retry_after_ms
        assert hint <= busy.retry_after_ms < 2 * hint
        assert pool.busy(STT) is not None
        first.offer(end())
        assert kinds(await collect(first))[-1] == "ended"
        assert words(await run_stream(pool)) == expected()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, error_pb2.ERROR_CODE_BAD_MESSAGE),
        (grpc.StatusCode.UNAUTHENTICATED, error_pb2.ERROR_CODE_WORKER_FAILED),
        (grpc.StatusCode.UNIMPLEMENTED, error_pb2.ERROR_CODE_WORKER_FAILED),
    ],
)
async def test_a_final_status_at_the_start_is_not_retried(status: grpc.StatusCode, code: error_pb2.ErrorCode) -> None:
    async with workers(Script(refuse=status)) as [worker], upstream(worker.target) as pool:
        [error] = errors(await run_stream(pool))
        assert (error.code, error.fatal, error.retryable) == (code, True, False)
        assert len(worker.metadata) == 1


async def test_a_final_status_in_mid_stream_is_not_retried() -> None:
    script = Script(abort_at=2, abort_with=grpc.StatusCode.INVALID_ARGUMENT)
    async with workers(script) as [worker], upstream(worker.target) as pool:
        stream = pool.open(STT, start())
        for sequence in range(3):
            stream.offer(chunk(sequence))
        [error] = errors(await collect(stream))
        assert (error.code, error.fatal) == (error_pb2.ERROR_CODE_BAD_MESSAGE, True)
        assert len(worker.seen) == 1


async def test_input_that_kills_two_workers_never_reaches_a_third() -> None:
    scripts = [Script(commit_every=100, kill_at=2) for _ in range(3)]
    async with workers(*scripts) as servers, upstream(*(s.target for s in servers)) as pool:
        await until_serving(pool, 3)
        items = await run_stream(pool)
    [error] = errors(items)
    assert (error.code, error.fatal) == (error_pb2.ERROR_CODE_WORKER_FAILED, True)
    assert sorted(len(server.seen) for server in servers) == [0, 1, 1]


async def test_a_worker_that_hangs_up_before_it_received_input_is_not_retried_forever() -> None:
    config = replace(FAST, retry=replace(FAST.retry, recover_attempts=3))
    async with workers(Script(close_early=True)) as [worker], upstream(worker.target, config=config) as pool:
        items = await collect(pool.open(STT, start()))
    [error] = errors(items)
    assert (error.code, error.fatal) == (error_pb2.ERROR_CODE_WORKER_FAILED, True)
    assert len(worker.seen) == 3


async def test_a_stream_does_not_wait_for_its_turn_at_a_hung_worker() -> None:
    async with workers(Script(), Script(), Script()) as servers, upstream(*(s.target for s in servers)) as pool:
        on_either(servers, lambda script: setattr(script, "kill_at", 4))
        await until_serving(pool, 3)
        async with pool._services[STT].turns.acquire():
            running = asyncio.create_task(run_stream(pool))
            await until(lambda: sum(bool(server.seen) for server in servers) == 2)
            [second] = [server for server in servers if server.seen and server.script.kill_at is None]
            second.hung.set()
            await until(lambda: all(server.seen for server in servers))
        items = await running
    assert words(items) == expected()
    assert not errors(items)
    assert second.seen[0].requests == []


async def test_no_worker_within_the_budget() -> None:
    deadlines = replace(FAST.deadlines, admit=0.2)
    async with upstream("127.0.0.1:1", config=replace(FAST, deadlines=deadlines)) as pool:
        [error] = errors(await run_stream(pool))
    assert (error.code, error.fatal, error.retryable) == (error_pb2.ERROR_CODE_NO_WORKER, True, True)


async def test_a_service_without_endpoints_is_no_worker() -> None:
    async with upstream("127.0.0.1:1") as pool:
        stream = pool.open(task_pb2.SERVICE_TYPE_VISION, start())
        assert [e.code for e in errors(await collect(stream))] == [error_pb2.ERROR_CODE_NO_WORKER]


async def test_speech_workers_serve_delivery_in_their_slots() -> None:
    delivery = task_pb2.SERVICE_TYPE_DELIVERY
    async with workers(Script(slots=1)) as [server], upstream(server.target) as pool:
        await until_serving(pool, 1)
        assert pool.room(delivery) == pool.room(STT) == (1, 1)
        request = start()
        request.service_type = delivery
        stream = pool.open(delivery, request)
        await until(lambda: bool(server.seen))
        assert server.seen[0].start.service_type == delivery
        await until(lambda: pool.busy(delivery) is not None)
        assert pool.busy(STT) is not None
        stream.offer(end())
        assert kinds(await collect(stream))[-1] == "ended"
        assert set(pool.snapshot()) == {STT}


async def test_what_a_worker_commits_with_its_last_words_is_passed_on_without_its_error() -> None:
    """Another worker continues after it, so nobody says it again."""
    said = analysis_pb2.Analysis(media_time_ms=3000)
    script = Script(commit_every=100)
    progress = task_pb2.Progress(committed_sequence=2, replay_from_sequence=3, resume_state=b"7")
    lost = {"error_at": 3, "error": RETRYABLE, "error_progress": progress, "error_delivery": (said,)}
    async with workers(script, Script()) as servers, upstream(*(s.target for s in servers)) as pool:
        on_either(servers, lambda script: script.__dict__.update(lost))
        await until_serving(pool, 2)
        items = await run_stream(pool)
    assert not errors(items)
    assert [each for item in results(items) for each in item.delivery] == [said]
    second = max(servers, key=lambda server: server.target)
    assert second.seen[0].sequences[0] == 3
    assert second.seen[0].start.start.resume_state == b"7"


async def test_a_draining_worker_hands_over_without_an_error() -> None:
    async with workers(Script(), Script()) as servers, upstream(*(s.target for s in servers)) as pool:
        on_either(servers, lambda script: setattr(script, "drain_at", 4))
        await until_serving(pool, 2)
        stream = pool.open(STT, start())
        items: list[StreamItem] = []
        source = results_of(stream)
        for sequence in range(CHUNKS):
            stream.offer(chunk(sequence))
            while len(words(items)) <= sequence:
                items.append(await anext(source))
        stream.offer(end())
        items += [item async for item in source]
    assert words(items) == expected()
    assert kinds(items).count("failover") == 1
    assert "drain" not in kinds(items)
    assert not errors(items)


async def test_a_stream_leaves_a_draining_worker_at_its_deadline_even_without_progress() -> None:
    scripts = [Script(commit_every=100), Script(commit_every=100)]
    async with workers(*scripts) as servers, upstream(*(s.target for s in servers)) as pool:
        on_either(servers, lambda script: script.__dict__.update(drain_at=4, drain_ms=50))
        await until_serving(pool, 2)
        stream = pool.open(STT, start())
        for sequence in range(CHUNKS):
            stream.offer(chunk(sequence))
        source = results_of(stream)
        items = [await anext(source) for _ in range(2)]
        assert kinds(items) == ["started", "failover"]
        stream.offer(end())
        items += [item async for item in source]
    assert words(items) == expected()


async def test_a_lone_worker_that_comes_back_continues_the_stream() -> None:
    async with workers(Script(kill_at=5)) as [worker], upstream(worker.target) as pool:
        await until_serving(pool, 1)
        stream = pool.open(STT, start())
        source = results_of(stream)
        for sequence in range(CHUNKS):
            stream.offer(chunk(sequence))
        stream.offer(end())
        items: list[StreamItem] = []
        while len(words(items)) < 5:
            items.append(await anext(source))
        await until_serving(pool, 0)
        again = await WorkerServer(Script()).start(worker.port)
        items += [item async for item in source]
        await again.kill()
    assert words(items) == expected()
    assert not errors(items)


async def test_what_no_longer_fits_is_declared_lost() -> None:
    config = replace(FAST, buffer=BufferBounds(replay_bytes=4 * 1256))
    async with workers(Script()) as [worker], upstream(worker.target, config=config) as pool:
        await worker.set_serving(False)
        stream = pool.open(STT, start())
        for sequence in range(10):
            stream.offer(chunk(sequence, 1000))
        await worker.set_serving(True)
        stream.offer(end())
        items = await collect(stream)
    [gap] = errors(items)
    assert (gap.code, gap.fatal, gap.from_sequence, gap.to_sequence) == (error_pb2.ERROR_CODE_GAP, False, 0, 6)
    assert worker.seen[0].sequences == [7, 8, 9]
    assert worker.seen[0].requests[0].chunk.missing_before == 7
    assert kinds(items)[-1] == "ended"


async def test_an_unanswered_flush_is_sent_again() -> None:
    scripts = [Script(commit_every=100), Script(commit_every=100)]
    async with workers(*scripts) as servers, upstream(*(s.target for s in servers)) as pool:
        on_either(servers, lambda script: setattr(script, "kill_at", 3))
        await until_serving(pool, 2)
        stream = pool.open(STT, start())
        for sequence in range(2):
            stream.offer(chunk(sequence))
        stream.offer(flush(1))
        for sequence in range(2, 5):
            stream.offer(chunk(sequence))
        stream.offer(flush(2))
        stream.offer(end())
        items = await collect(stream)
    assert words(items) == expected(5)
    assert [i.flushed.flush_id for i in results(items) if i.HasField("flushed")] == [1, 2]


async def test_a_fatal_error_of_the_worker_ends_the_stream() -> None:
    error = error_pb2.Error(code=error_pb2.ERROR_CODE_MEDIA_ERROR, message="undecodable", fatal=True)
    async with workers(Script(error_at=2, error=error)) as [worker], upstream(worker.target) as pool:
        items = await run_stream(pool)
        assert errors(items) == [error]
        assert len(worker.seen) == 1


async def test_an_error_that_is_not_fatal_is_passed_on() -> None:
    error = error_pb2.Error(code=error_pb2.ERROR_CODE_ORPHAN_CHUNK, message="orphan")
    async with workers(Script(error_at=2, error=error)) as [worker], upstream(worker.target) as pool:
        items = await run_stream(pool)
    assert errors(items) == [error]
    assert words(items) == expected()


async def test_a_worker_that_never_answers_start_is_skipped() -> None:
    config = replace(FAST, deadlines=replace(FAST.deadlines, connect=0.2))
    async with workers(Script(), Script()) as servers, upstream(*(s.target for s in servers), config=config) as pool:
        on_either(servers, lambda script: setattr(script, "mute_start", True))
        await until_serving(pool, 2)
        items = await run_stream(pool)
    assert words(items) == expected()


async def test_the_finish_deadline() -> None:
    config = replace(FAST, deadlines=replace(FAST.deadlines, finish=0.2))
    async with workers(Script(answer_end=False)) as [worker], upstream(worker.target, config=config) as pool:
        items = await run_stream(pool)
    assert words(items) == expected()
    assert [e.code for e in errors(items)] == [error_pb2.ERROR_CODE_DEADLINE_EXCEEDED]


async def test_every_worker_has_the_full_time_to_finish() -> None:
    now = 100.0
    config = replace(FAST, deadlines=replace(FAST.deadlines, finish=2.0, stall=60, hung=60))
    scripts = [Script(commit_every=100, answer_end=False), Script(commit_every=100, end_gate=asyncio.Event())]
    async with workers(*scripts) as servers:
        pool = ListeningUpstream(replace(config, endpoints={STT: tuple(s.target for s in servers)}), clock=lambda: now)
        await pool.start()
        await until_serving(pool, 2)
        first, second = sorted(servers, key=lambda server: server.target)
        first.script, second.script = scripts
        collected = asyncio.create_task(run_stream(pool))
        for server in (first, second):
            await until(
                lambda server=server: bool(server.seen) and any(r.HasField("end") for r in server.seen[0].requests)
            )
            now += 1.5
            if server is first:
                await server.kill()
        await asyncio.sleep(1.2)  # the stream checks its deadlines twice in this time
        gate = second.script.end_gate
        assert gate is not None
        gate.set()
        items = await collected
        await pool.close(0)
    assert words(items) == expected()
    assert not errors(items)


async def test_the_stall_deadline_counts_while_an_answer_is_owed() -> None:
    config = replace(FAST, deadlines=replace(FAST.deadlines, stall=0.3, hung=60))
    scripts = [Script(answer_end=False), Script(answer_end=False)]
    async with workers(*scripts) as servers, upstream(*(s.target for s in servers), config=config) as pool:
        items = await run_stream(pool)
    assert [e.code for e in errors(items)] == [error_pb2.ERROR_CODE_WORKER_FAILED]


async def test_the_stream_deadline_ends_the_stream() -> None:
    config = replace(FAST, deadlines=replace(FAST.deadlines, stream=0.5))
    async with workers(Script()) as [worker], upstream(worker.target, config=config) as pool:
        stream = pool.open(STT, start())
        items = await collect(stream)
    assert [e.code for e in errors(items)] == [error_pb2.ERROR_CODE_DEADLINE_EXCEEDED]


async def test_cancel_ends_results_and_frees_the_slot() -> None:
    async with workers(Script(slots=1)) as [worker], upstream(worker.target) as pool:
        stream = pool.open(STT, start())
        source = results_of(stream)
        await anext(source)
        stream.cancel()
        assert [item async for item in source] == []
        stream.offer(chunk(0))
        assert stream.behind_ms == 0
        await until(lambda: not worker.active)


async def test_cancel_before_the_task_has_run_ends_results() -> None:
    async with upstream("127.0.0.1:1") as pool:
        stream = pool.open(STT, start())
        stream.cancel()
        assert await collect(stream) == []


async def test_congestion_rises_without_a_worker_and_falls_with_one() -> None:
    config = replace(FAST, buffer=BufferBounds(high_bytes=5000, low_bytes=1000))
    async with workers(Script()) as [worker], upstream(worker.target, config=config) as pool:
        await worker.set_serving(False)
        stream = pool.open(STT, start())
        assert not stream.congested
        for sequence in range(10):
            stream.offer(chunk(sequence, 1000))
        assert stream.congested
        await worker.set_serving(True)
        async with asyncio.timeout(5):
            await stream.wait_writable()
        assert not stream.congested
        stream.offer(end())
        assert kinds(await collect(stream))[-1] == "ended"


async def test_the_worker_token_is_sent() -> None:
    async with workers(Script()) as [worker], upstream(worker.target, config=replace(FAST, worker_token="t")) as pool:
        await run_stream(pool, 1)
    assert worker.metadata[0]["authorization"] == "Bearer t"


async def test_the_error_in_the_metadata_of_a_refusal_reaches_the_client() -> None:
    error = error_pb2.Error(code=error_pb2.ERROR_CODE_UNSUPPORTED_FORMAT, message="no such format", field="format")
    script = Script(refuse=grpc.StatusCode.INVALID_ARGUMENT, refuse_with=error)
    async with workers(script) as [worker], upstream(worker.target) as pool:
        [reported] = errors(await run_stream(pool))
    assert (reported.code, reported.field, reported.fatal) == (error_pb2.ERROR_CODE_UNSUPPORTED_FORMAT, "format", True)


async def test_a_refused_gateway_does_not_look_like_a_refused_client() -> None:
    error = error_pb2.Error(code=error_pb2.ERROR_CODE_UNAUTHENTICATED, message="no token")
    script = Script(refuse=grpc.StatusCode.UNAUTHENTICATED, refuse_with=error)
    async with workers(script) as [worker], upstream(worker.target) as pool:
        [reported] = errors(await run_stream(pool))
    assert reported.code == error_pb2.ERROR_CODE_WORKER_FAILED


async def test_results_of_another_attempt_are_dropped() -> None:
    async with workers(Script(ghost_at=3)) as [worker], upstream(worker.target) as pool:
        assert words(await run_stream(pool)) == expected()


async def test_a_retryable_error_is_retried_at_another_worker() -> None:
    async with workers(Script(), Script()) as servers, upstream(*(s.target for s in servers)) as pool:
        on_either(servers, lambda script: script.__dict__.update(error_at=3, error=RETRYABLE))
        await until_serving(pool, 2)
        items = await run_stream(pool)
    assert words(items) == expected()
    assert not errors(items)


async def test_a_draining_worker_keeps_its_streams_while_there_is_no_other() -> None:
    async with workers(Script(drain_at=4)) as [worker], upstream(worker.target) as pool:
        items = await run_stream(pool)
    assert words(items) == expected()
    assert "failover" not in kinds(items)


async def test_a_defect_ends_its_stream_with_an_error() -> None:
    class Broken:
        async def acquire(self, tried: set[str], *, wait: float, refuse_when_full: bool) -> Lease:
            raise ZeroDivisionError

        def has_other(self, key: str) -> bool:
            return False

    stream = TaskStream(start(), Broken(), FAST, NoMetrics(), time.monotonic)
    received: list[StreamItem | None] = []
    stream.begin(asyncio.create_task(stream.run()), received.append)
    await stream.wait_until_over()
    *items, over = received
    assert over is None
    [error] = errors([item for item in items if item is not None])
    assert (error.code, error.fatal) == (error_pb2.ERROR_CODE_INTERNAL, True)


def test_a_stream_begins_with_start() -> None:
    with pytest.raises(ValueError, match="start"):
        TaskStream(chunk(0), None, FAST, NoMetrics(), time.monotonic)  # type: ignore[arg-type]


class Counts(NoMetrics):
    def __init__(self) -> None:
        self.log: list[tuple[str, object]] = []

    def stream_opened(self, service: task_pb2.ServiceType) -> None:
        self.log.append(("opened", service))

    def stream_finished(self, service: task_pb2.ServiceType, outcome: str) -> None:
        self.log.append(("finished", outcome))

    def attempt_failed(self, service: task_pb2.ServiceType, reason: str) -> None:
        self.log.append(("failed", reason))

    def stream_admitted(self, service: task_pb2.ServiceType, seconds: float, *, is_failover: bool) -> None:
        self.log.append(("failover" if is_failover else "admitted", 0 <= seconds < 15))

    def replayed(self, service: task_pb2.ServiceType, size: int) -> None:
        self.log.append(("replayed", size > 0))


async def test_what_is_counted() -> None:
    counts = Counts()
    async with workers(Script(), Script()) as servers:
        on_either(servers, lambda script: script.__dict__.update(error_at=3, error=RETRYABLE))
        pool = ListeningUpstream(replace(FAST, endpoints={STT: tuple(s.target for s in servers)}), metrics=counts)
        await pool.start()
        await until_serving(pool, 2)
        await run_stream(pool)
        await pool.close(0)
    assert counts.log == [
        ("opened", STT),
        ("admitted", True),
        ("failed", "worker_error"),
        ("replayed", True),
        ("failover", True),
        ("finished", "ended"),
    ]


async def test_a_stream_without_a_worker_reports_that_once_and_continues() -> None:
    config = replace(FAST, deadlines=replace(FAST.deadlines, report_waiting=0.05))
    async with workers(Script()) as [first], upstream(first.target, config=config) as pool:
        await until_serving(pool, 1)
        stream = pool.open(STT, start())
        stream.offer(chunk(0))
        await until(lambda: bool(first.seen) and first.seen[0].sequences == [0])
        port = first.port
        await first.kill()
        stream.offer(chunk(1))
        stream.offer(end())
        items: list[StreamItem] = []
        async with asyncio.timeout(15):
            async for item in results_of(stream):
                items.append(item)
                if isinstance(item, task_pb2.TaskResult) and item.HasField("error"):
                    second = await WorkerServer().start(port)
        reported = errors(items)
        assert [(e.code, e.fatal) for e in reported] == [(error_pb2.ERROR_CODE_NO_WORKER, False)]
        assert reported[0].retry_after_ms > 0
        assert words(items) == expected(2)
        await second.kill()
