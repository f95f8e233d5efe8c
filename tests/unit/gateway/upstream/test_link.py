"""Links against workers on loopback: streams share an RPC and nothing else; what breaks it costs no chunk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace

import grpc
import pytest
from structlog.testing import capture_logs
from talkup.v1 import analysis_pb2, error_pb2, link_pb2, task_pb2

from gateway.upstream.channel import EndpointAddress, WorkerChannel
from gateway.upstream.config import Links, TlsSettings
from gateway.upstream.failures import CallFailed, CallOver
from gateway.upstream.task_stream import TaskStream
from tests.fakes.link_server import LinkServer
from tests.fakes.worker_server import Script, WorkerServer, word
from tests.unit.gateway.upstream import test_task_stream as streams
from tests.unit.gateway.upstream.listening import ListeningUpstream
from tests.unit.gateway.upstream.test_task_stream import CHUNKS, STT, chunk, collect, end, expected, until, words

FAST = replace(streams.FAST, links=Links.ALWAYS)


def named(stream_id: str) -> task_pb2.TaskRequest:
    request = streams.start()
    request.stream_id = stream_id
    return request


@asynccontextmanager
async def upstream(
    *servers: WorkerServer, links: Links = Links.ALWAYS, connect: float = FAST.deadlines.connect
) -> AsyncIterator[ListeningUpstream]:
    """The upstream side with these workers, all of them serving."""
    for server in servers:
        await server.start()
    config = replace(FAST, links=links, deadlines=replace(FAST.deadlines, connect=connect))
    async with streams.upstream(*(server.target for server in servers), config=config) as pool:
        await streams.until_serving(pool, len(servers))
        yield pool
    for server in servers:
        await server.kill()


def feed(stream: TaskStream) -> None:
    for sequence in range(CHUNKS):
        stream.offer(chunk(sequence))
    stream.offer(end())


class StuckWorker(WorkerServer):
    """Takes no chunk of the stream `stuck`."""

    async def _answer(self, seen, requests, context) -> AsyncIterator[task_pb2.TaskResult]:
        if seen.start.stream_id == "stuck":
            yield task_pb2.TaskResult(started=task_pb2.Started())
            await asyncio.Event().wait()
        async for result in super()._answer(seen, requests, context):
            yield result


class FloodingWorker(WorkerServer):
    """Answers the stream `flood` with a result of 200,002 bytes and 100,001 fields, at once or to its first chunk."""

    is_first = False

    async def _answer(self, seen, requests, context) -> AsyncIterator[task_pb2.TaskResult]:
        if seen.start.stream_id == "flood":
            if not self.is_first:
                yield task_pb2.TaskResult(started=task_pb2.Started())
                await anext(requests)
            yield task_pb2.TaskResult(flow=task_pb2.Flow(), delivery=[analysis_pb2.Analysis()] * 100_000)
            await asyncio.Event().wait()
        async for result in super()._answer(seen, requests, context):
            yield result


class RefusingWorker(WorkerServer):
    """Offers links and refuses them, as something between gateway and worker might."""

    status = grpc.StatusCode.UNIMPLEMENTED
    details = ""

    async def StreamTasks(self, request_iterator, context) -> None:
        self.links += 1
        await context.abort(self.status, self.details)


class HangingWorker(WorkerServer):
    """Answers nothing in its links, but for the first stream of the first `patience` ones."""

    patience = 1

    async def StreamTasks(self, request_iterator, context) -> None:
        self.links += 1
        if self.patience:
            self.patience -= 1
            served = LinkServer(self.StreamTask, context.write, context.invocation_metadata())
            await served.run(_until_opened(request_iterator, 2))
        async for _ in request_iterator:
            pass


async def _until_opened(batches: AsyncIterator[link_pb2.TaskBatch], calls: int) -> AsyncIterator[link_pb2.TaskBatch]:
    async for batch in batches:
        calls -= sum(entry.HasField("open") for entry in batch.entries)
        if not calls:
            return
        yield batch


class BreachingWorker(WorkerServer):
    """Breaks the rules of its link after the first results."""

    breach: Sequence[link_pb2.TaskResultEntry] = ()

    async def StreamTasks(self, request_iterator, context) -> None:
        async def write(batch: link_pb2.TaskResultBatch) -> None:
            await context.write(batch)
            if any(entry.HasField("result") for entry in batch.entries):
                await context.write(link_pb2.TaskResultBatch(entries=self.breach))

        self.links += 1
        await LinkServer(self.StreamTask, write, context.invocation_metadata()).run(request_iterator)


async def test_all_streams_of_a_worker_share_one_rpc() -> None:
    server = WorkerServer()
    async with upstream(server) as pool:
        opened = [pool.open(STT, named(str(number))) for number in range(4)]
        for stream in opened:
            feed(stream)
        found = [words(await collect(stream)) for stream in opened]
    assert found == [expected()] * 4
    assert server.links == 1


@pytest.mark.parametrize("links", [Links.NEVER, Links.AUTO])
async def test_without_an_offer_or_with_links_off_each_stream_has_its_rpc(links: Links) -> None:
    server = WorkerServer()
    if links is Links.AUTO:
        server.offer = None
    async with upstream(server, links=links) as pool:
        await until(lambda: server.described > 5)
        stream = pool.open(STT, named("a"))
        feed(stream)
        assert words(await collect(stream)) == expected()
    assert server.links == 0


async def test_streams_share_a_link_once_an_address_has_shown_one_worker() -> None:
    server = WorkerServer()
    async with upstream(server, links=Links.AUTO) as pool:
        await until(lambda: server.described > 5)
        stream = pool.open(STT, named("a"))
        feed(stream)
        assert words(await collect(stream)) == expected()
    assert server.links == 1


async def test_a_stream_that_a_worker_does_not_take_holds_up_no_other_one() -> None:
    server = StuckWorker()
    async with upstream(server) as pool:
        stuck = pool.open(STT, named("stuck"))
        await until(lambda: bool(server.seen))
        for sequence in range(8):
            stuck.offer(chunk(sequence, size=40_000))
        for number in range(5):
            stream = pool.open(STT, named(str(number)))
            feed(stream)
            assert words(await collect(stream)) == expected()
        # Two messages use up the credit; the others wait in the replay buffer, where the session sees them.
        await until(lambda: stuck._replay.behind_bytes < 6 * 41_000)
        assert stuck._replay.behind_bytes > 4 * 40_000
        assert server.links == 1
        stuck.cancel()


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("links", [Links.ALWAYS, Links.NEVER])
async def test_a_result_of_very_many_fields_ends_its_stream_alone(links: Links, is_first: bool) -> None:
    server = FloodingWorker()
    server.is_first = is_first
    with capture_logs() as lines:
        async with upstream(server, links=links) as pool:
            flooded, other = pool.open(STT, named("flood")), pool.open(STT, named("other"))
            other.offer(chunk(0))
            flooded.offer(chunk(0))
            (error,) = streams.errors(await collect(flooded))
            assert (error.code, error.fatal) == (error_pb2.ERROR_CODE_WORKER_FAILED, True)
            await until(lambda: server.active == 1)  # the worker learns of it
            for sequence in range(1, CHUNKS):
                other.offer(chunk(sequence))
            other.offer(end())
            assert words(await collect(other)) == expected()
    assert [line["problem"] for line in lines if line["event"] == "a worker's message is refused"] == [
        "too many fields"
    ]
    assert server.links == (links is Links.ALWAYS)


async def test_the_loss_of_a_link_moves_all_its_streams_and_no_word_is_lost() -> None:
    servers = [WorkerServer(Script(slots=8)), WorkerServer(Script(slots=8))]
    async with upstream(*servers) as pool:
        opened = [pool.open(STT, named(str(number))) for number in range(6)]
        for stream in opened:
            for sequence in range(CHUNKS // 2):
                stream.offer(chunk(sequence))
        await until(lambda: sum(server.active for server in servers) == 6)
        lost = max(servers, key=lambda server: server.active)
        await lost.kill()
        for stream in opened:
            for sequence in range(CHUNKS // 2, CHUNKS):
                stream.offer(chunk(sequence))
            stream.offer(end())
        found = [words(await collect(stream)) for stream in opened]
    assert found == [expected()] * 6


@pytest.mark.parametrize(
    "breach",
    [
        [link_pb2.TaskResultEntry(call=99, result=b"")],
        [link_pb2.TaskResultEntry(call=1, credit=2**30)],
        [link_pb2.TaskResultEntry(call=1)],
        [link_pb2.TaskResultEntry(call=1, credit=0)] * 4097,
    ],
)
async def test_a_worker_that_breaks_the_rules_loses_its_streams_to_another(
    breach: Sequence[link_pb2.TaskResultEntry],
) -> None:
    breaching, other = BreachingWorker(Script(slots=9)), WorkerServer(Script(slots=1))
    breaching.breach = breach
    async with upstream(breaching, other) as pool:
        stream = pool.open(STT, named("a"))
        feed(stream)
        assert words(await collect(stream)) == expected()
    assert breaching.links >= 1
    assert other.seen


@pytest.mark.parametrize(
    "status",
    [grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL, grpc.StatusCode.PERMISSION_DENIED],
)
async def test_a_refused_link_is_not_tried_again(status: grpc.StatusCode) -> None:
    server = RefusingWorker()
    server.status = status
    async with upstream(server) as pool:
        for number in range(3):
            stream = pool.open(STT, named(str(number)))
            feed(stream)
            assert words(await collect(stream)) == expected()
    assert server.links == 1


async def test_a_link_that_breaks_at_once_is_tried_again_but_not_for_ever() -> None:
    server = RefusingWorker()
    server.status, server.details = grpc.StatusCode.INTERNAL, "Received RST_STREAM"
    with capture_logs() as lines:
        async with upstream(server) as pool:
            for number in range(5):
                stream = pool.open(STT, named(str(number)))
                feed(stream)
                assert words(await collect(stream)) == expected()
    assert server.links == 3
    assert [line["target"] for line in lines if "gets no more links" in line["event"]] == [server.target]


@pytest.mark.parametrize("patience", [0, 1])
async def test_a_link_that_answers_nobody_holds_no_stream(patience: int) -> None:
    server = HangingWorker()
    server.patience = patience
    async with upstream(server, connect=0.4) as pool:
        for number in range(5):
            stream = pool.open(STT, named(str(number)))
            feed(stream)
            assert words(await collect(stream)) == expected()
    assert server.links == 1 + patience


async def test_cancelling_a_stream_reaches_the_worker() -> None:
    server = WorkerServer()
    async with upstream(server) as pool:
        stream, other = pool.open(STT, named("a")), pool.open(STT, named("b"))
        stream.offer(chunk(0))
        await until(lambda: server.active == 2)
        stream.cancel()
        await until(lambda: server.active == 1)
        feed(other)
        assert words(await collect(other)) == expected()


@asynccontextmanager
async def channel(server: WorkerServer) -> AsyncIterator[WorkerChannel]:
    await server.start()
    found = WorkerChannel(EndpointAddress(server.target), TlsSettings(), None, links=Links.ALWAYS)
    await found.describe(5)
    try:
        yield found
    finally:
        await found.close()
        await server.kill()


async def test_a_deadline_ends_one_call_at_both_ends() -> None:
    server = WorkerServer()
    async with channel(server) as calls:
        brief, lasting = calls.open_task(0.3), calls.open_task(30)
        for call in (brief, lasting):
            await call.write(named("a").SerializeToString())
            assert await call.read() is not None
        with pytest.raises(CallFailed) as failed:
            await brief.read()
        assert failed.value.status == "DEADLINE_EXCEEDED"
        with pytest.raises(CallOver):
            await brief.write(chunk(0).SerializeToString())
        await until(lambda: server.active == 1)
        await lasting.write(chunk(0).SerializeToString())
        result = await lasting.read()
        assert result is not None
        assert result.transcript.text == word(chunk(0).chunk)


async def test_the_calls_of_a_link_that_was_cancelled_fail() -> None:
    async with channel(WorkerServer()) as calls:
        call = calls.open_task(30)
        await call.write(named("a").SerializeToString())
        assert await call.read() is not None
        (link,) = calls._links
        link._rpc.cancel()
        async with asyncio.timeout(5):
            with pytest.raises(CallFailed) as failed:
                await call.read()
        assert failed.value.transport_reset or failed.value.status == "UNAVAILABLE"


async def test_an_empty_link_of_an_earlier_process_is_ended() -> None:
    server = WorkerServer()
    assert server.offer is not None
    async with channel(server) as calls:
        call = calls.open_task(30)
        await call.write(named("a").SerializeToString())
        assert await call.read() is not None
        (link,) = calls._links
        server.offer.worker_id = "another process"
        await calls.describe(5)
        assert link.failure is None  # its stream goes on
        call.cancel()
        await until(lambda: not len(link.calls))
        await calls.describe(5)
        assert link.failure is not None
        await until(lambda: server.active == 0)
        assert calls._links == []


@pytest.mark.parametrize(("by_gateway", "reason"), [(True, "cancelled"), (False, "unimplemented")])
async def test_the_log_says_why_a_link_ended(by_gateway: bool, reason: str) -> None:
    server = WorkerServer() if by_gateway else RefusingWorker()
    with capture_logs() as lines:
        async with channel(server) as calls:
            call = calls.open_task(30)
            await call.write(named("a").SerializeToString())
            with nullcontext() if by_gateway else pytest.raises(CallFailed):
                assert await call.read() is not None
    assert [line["reason"] for line in lines if line["event"] == "link to a worker ended"] == [reason]


async def test_a_request_too_large_for_the_worker_ends_its_call_alone() -> None:
    server = WorkerServer()
    assert server.offer is not None
    server.offer.max_batch_bytes = 100_000
    async with channel(server) as calls:
        large, small = calls.open_task(30), calls.open_task(30)
        for call in (large, small):
            await call.write(named("a").SerializeToString())
            assert await call.read() is not None
        with pytest.raises(CallOver):
            await large.write(chunk(0, size=100_000).SerializeToString())
        with pytest.raises(CallFailed) as failed:
            await large.read()
        assert failed.value.status == "RESOURCE_EXHAUSTED"
        await small.write(chunk(0, size=90_000).SerializeToString())
        assert await small.read() is not None


async def test_a_call_is_writable_at_once_while_it_has_credit() -> None:
    async with channel(WorkerServer()) as calls:
        call = calls.open_task(30)
        assert not call.is_writable
        await call.write(named("a").SerializeToString())
        assert await call.read() is not None
        written = 0
        while call.is_writable:
            call.write_now(chunk(written, size=10_000).SerializeToString())
            written += 1
        assert written == 7  # of INITIAL_CREDIT, 65,536 bytes, the last message overdraws it
        await call.write(chunk(written).SerializeToString())
        texts = [result.transcript.text for _ in range(written + 1) if (result := await call.read()) is not None]
        assert texts == [word(chunk(number, size=10_000).chunk) for number in range(written)] + [
            word(chunk(written).chunk)
        ]


async def test_a_request_written_at_once_may_be_too_large() -> None:
    server = WorkerServer()
    assert server.offer is not None
    server.offer.max_batch_bytes = 100_000
    async with channel(server) as calls:
        call = calls.open_task(30)
        await call.write(named("a").SerializeToString())
        assert await call.read() is not None
        with pytest.raises(CallOver):
            call.write_now(chunk(0, size=100_000).SerializeToString())
        assert not call.is_writable
        with pytest.raises(CallFailed) as failed:
            await call.read()
        assert failed.value.status == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize(("links", "waits"), [(Links.ALWAYS, False), (Links.NEVER, True)])
async def test_a_chunk_waits_for_no_task_if_the_link_takes_it(links: Links, waits: bool) -> None:
    async with upstream(WorkerServer(), links=links) as pool:
        stream = pool.open(STT, named("a"))
        stream.offer(chunk(0))
        await until(lambda: stream._caught_up is not None)
        assert stream._replay.behind_bytes == 0
        stream.offer(chunk(1))
        assert (stream._replay.behind_bytes > 0) is waits
        for sequence in range(2, CHUNKS):
            stream.offer(chunk(sequence))
        stream.offer(end())
        assert words(await collect(stream)) == expected()


async def test_results_are_offered_first_and_read_if_they_are_left() -> None:
    async with channel(WorkerServer()) as calls:
        call = calls.open_task(30)
        await call.write(named("a").SerializeToString())
        assert await call.read() is not None
        taken: list[str] = []

        def take(result: task_pb2.TaskResult) -> bool:
            if len(taken) == 3:
                return False
            taken.append(result.transcript.text)
            return True

        call.pass_to(take)
        reading = asyncio.create_task(call.read())
        await asyncio.sleep(0)
        for sequence in range(5):
            await call.write(chunk(sequence).SerializeToString())
        fourth = await reading
        call.pass_to(None)
        fifth = await call.read()
        assert fourth is not None
        assert fifth is not None
        texts = [*taken, fourth.transcript.text, fifth.transcript.text]
        assert texts == [word(chunk(sequence).chunk) for sequence in range(5)]


async def test_what_taking_a_result_raises_ends_its_reader_and_no_other() -> None:
    async with channel(WorkerServer()) as calls:
        faulty, sound = calls.open_task(30), calls.open_task(30)
        for call in (faulty, sound):
            await call.write(named("a").SerializeToString())
            assert await call.read() is not None

        def take(result: task_pb2.TaskResult) -> bool:
            raise ZeroDivisionError

        faulty.pass_to(take)
        reading = asyncio.create_task(faulty.read())
        await asyncio.sleep(0)
        await faulty.write(chunk(0).SerializeToString())
        with pytest.raises(ZeroDivisionError):
            await reading
        await sound.write(chunk(0).SerializeToString())
        result = await sound.read()
        assert result is not None
        assert result.transcript.text == word(chunk(0).chunk)


async def test_calls_beyond_what_a_worker_offers_are_rpcs_of_their_own() -> None:
    server = WorkerServer()
    assert server.offer is not None
    server.offer.max_calls = 1
    async with channel(server) as calls:
        for number in range(3):
            call = calls.open_task(30)
            await call.write(named(str(number)).SerializeToString())
            assert await call.read() is not None
        assert (server.links, server.linked_calls, server.active) == (1, 1, 3)


class BoastfulWorker(WorkerServer):
    """Describes itself in 200,000 fields while it is `boasting`."""

    boasting = True

    async def Describe(self, request, context):
        described = await super().Describe(request, context)
        if self.boasting:
            described.models.extend([task_pb2.ModelInfo()] * 200_000)
        return described


async def test_a_description_of_very_many_fields_counts_as_none() -> None:
    server = await BoastfulWorker().start()
    calls = WorkerChannel(EndpointAddress(server.target), TlsSettings(), None, links=Links.ALWAYS)
    with capture_logs() as lines, pytest.raises(CallFailed) as failed:
        await calls.describe(5)
    assert failed.value.status == "INTERNAL"
    assert [(line["kind"], line["problem"]) for line in lines] == [("DescribeResponse", "too many fields")]
    server.boasting = False
    assert [model.name for model in (await calls.describe(5)).models] == ["words"]
    await calls.close()
    await server.kill()
