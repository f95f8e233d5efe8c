"""The rules for every engine: send chunks, compare results. One suite for all engines."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing

import pytest
import pytest_asyncio
from talkup.v1 import error_pb2, media_pb2, task_pb2

from tests.contract.engine_cases import ENGINE_CASES, EngineCase, finals
from workers.chunk import chunk_of
from workers.engine import Engine, EngineError, EngineSession, StreamContext

pytestmark = pytest.mark.asyncio(loop_scope="module")


def context(case: EngineCase, stream_id: str = "stream", attempt: int = 1) -> StreamContext:
    return StreamContext("session", stream_id, attempt, service_type=case.asked)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test of an engine runs for each case to which it applies."""
    if "case" in metafunc.fixturenames:
        cases = [case for case in ENGINE_CASES if metafunc.function.__name__ not in case.not_applicable]
        params = [pytest.param(case, id=case.name, marks=case.marks) for case in cases]
        metafunc.parametrize("case", params)


Engines = dict[Callable[[], Engine], Engine]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines() -> AsyncIterator[Engines]:
    """The engines loaded so far, by what makes them: a model is loaded once for all tests."""
    loaded: Engines = {}
    yield loaded
    for engine in loaded.values():
        await engine.close()


@pytest_asyncio.fixture(loop_scope="module")
async def engine(case: EngineCase, engines: Engines) -> Engine:
    if case.make not in engines:
        engines[case.make] = case.make()
        await engines[case.make].load()
    return engines[case.make]


def chunks_of(pieces: Iterable[bytes], first: int = 0) -> list[media_pb2.Chunk]:
    return [media_pb2.Chunk(sequence=first + i, payload=piece) for i, piece in enumerate(pieces)]


def recut(pieces: list[bytes], size: int) -> list[bytes]:
    whole = b"".join(pieces)
    return [whole[at : at + size] for at in range(0, len(whole), size)]


async def collect(session: EngineSession) -> list[task_pb2.TaskResult]:
    async with aclosing(session.results()) as results:
        return [result async for result in results]


async def run(case: EngineCase, session: EngineSession, chunks: Iterable[media_pb2.Chunk]) -> list[task_pb2.TaskResult]:
    """Send all chunks, end, and give every result."""
    reading = asyncio.ensure_future(collect(session))
    for chunk in chunks:
        await session.accept(chunk_of(chunk))
        if case.paced:
            await session.flush(chunk.sequence)
    await session.end()
    results = await reading
    await session.close()
    return results


def words(case: EngineCase, results: Iterable[task_pb2.TaskResult]) -> list[str]:
    return " ".join(case.outputs(results)).split()


def with_progress(results: list[task_pb2.TaskResult]) -> list[task_pb2.TaskResult]:
    return [result for result in results if result.HasField("progress")]


async def test_a_stream_ends_with_its_totals(case: EngineCase, engine: Engine) -> None:
    media = case.media()
    results = await run(case, engine.open(case.start, context(case)), chunks_of(media))
    ended = results[-1].ended
    assert results[-1].WhichOneof("result") == "ended"
    assert (ended.chunks, ended.bytes) == (len(media), sum(map(len, media)))
    assert ended.segments == len(finals(results))
    assert len(case.outputs(results)) >= 2


async def test_an_empty_stream_ends_at_once(case: EngineCase, engine: Engine) -> None:
    results = await run(case, engine.open(case.start, context(case)), [])
    assert [result.WhichOneof("result") for result in results] == ["ended"]
    assert results[0].ended.chunks == 0


async def test_segments_rise_and_finals_never_change(case: EngineCase, engine: Engine) -> None:
    results = await run(case, engine.open(case.start, context(case)), chunks_of(case.media()))
    done, revision = 0, 0
    for transcript in (r.transcript for r in results if r.WhichOneof("result") == "transcript"):
        assert transcript.segment_id == done + 1
        assert transcript.revision > revision
        assert transcript.stable_chars <= len(transcript.text)
        assert transcript.start_ms <= transcript.end_ms
        done, revision = (done + 1, 0) if transcript.is_final else (done, transcript.revision)


async def test_ids_and_started_are_left_to_the_servicer(case: EngineCase, engine: Engine) -> None:
    for result in await run(case, engine.open(case.start, context(case)), chunks_of(case.media())):
        assert (result.session_id, result.stream_id, result.attempt) == ("", "", 0)
        assert result.WhichOneof("result") not in ("started", "drain")


async def test_progress_rises_and_comes_with_outputs(case: EngineCase, engine: Engine) -> None:
    media = case.media()
    results = await run(case, engine.open(case.start, context(case)), chunks_of(media, first=5))
    committed = replay = -1
    for result in with_progress(results):
        progress = result.progress
        if progress.HasField("committed_sequence"):
            assert progress.committed_sequence >= committed
            committed = progress.committed_sequence
        assert progress.replay_from_sequence <= max(committed, 4) + 1
        assert progress.replay_from_sequence >= replay
        replay = progress.replay_from_sequence
    before_the_end = [result for result in results if result.WhichOneof("result") != "ended"]
    assert all(result.HasField("progress") for result in before_the_end if case.outputs([result]))
    assert committed == 5 + len(media) - 1


async def test_chunk_boundaries_do_not_matter(case: EngineCase, engine: Engine) -> None:
    media = case.media()
    as_cut = await run(case, engine.open(case.start, context(case)), chunks_of(media))
    recut_once = await run(case, engine.open(case.start, context(case)), chunks_of(recut(media, 777)))
    assert words(case, recut_once) == words(case, as_cut) != []


async def test_flush_makes_everything_final(case: EngineCase, engine: Engine) -> None:
    media = case.media()
    half = len(media) // 2
    session = engine.open(case.start, context(case))
    reading = asyncio.ensure_future(collect(session))
    for chunk in chunks_of(media[:half]):
        await session.accept(chunk_of(chunk))
    await session.flush(41)
    for chunk in chunks_of(media[half:], first=half):
        await session.accept(chunk_of(chunk))
    await session.end()
    results = await reading
    await session.close()
    (at,) = (i for i, result in enumerate(results) if result.WhichOneof("result") == "flushed")
    assert results[at].flushed.flush_id == 41
    committed = with_progress(results[: at + 1])[-1].progress.committed_sequence
    assert half - 1 - case.held_back <= committed <= half - 1
    assert case.outputs(results[:at])


async def test_another_worker_can_continue_from_every_progress(case: EngineCase, engine: Engine) -> None:
    chunks = chunks_of(case.media(), first=3)
    whole = await run(case, engine.open(case.start, context(case)), chunks)
    for at, result in enumerate(whole):
        if not result.HasField("progress") or result.WhichOneof("result") == "ended":
            continue
        start = task_pb2.StreamStart()
        start.CopyFrom(case.start)
        start.resume_state = result.progress.resume_state
        replay = [chunk for chunk in chunks if chunk.sequence >= result.progress.replay_from_sequence]
        attempt = 100_000  # where another gateway's attempts begin
        resumed = await run(case, engine.open(start, context(case, attempt=attempt)), replay)
        assert case.outputs(whole[: at + 1]) + case.outputs(resumed) == case.outputs(whole)
        assert resumed[-1].ended == whole[-1].ended


async def test_streams_do_not_affect_each_other(case: EngineCase, engine: Engine) -> None:
    chunks = chunks_of(case.media())
    alone = await run(case, engine.open(case.start, context(case)), chunks)
    sessions = [engine.open(case.start, context(case, str(i))) for i in range(3)]
    together = await asyncio.gather(*(run(case, session, chunks) for session in sessions))
    assert [case.outputs(results) for results in together] == [case.outputs(alone)] * 3


async def test_lost_chunks_are_counted(case: EngineCase, engine: Engine) -> None:
    chunks = chunks_of(case.media())
    del chunks[4:6]
    chunks[4].missing_before = 2
    results = await run(case, engine.open(case.start, context(case)), chunks)
    assert results[-1].ended.missing_chunks == 2


async def test_close_works_at_any_time_and_twice(case: EngineCase, engine: Engine) -> None:
    session = engine.open(case.start, context(case))
    reading = asyncio.ensure_future(collect(session))
    for chunk in chunks_of(case.media())[:2]:
        await session.accept(chunk_of(chunk))
    await session.close()
    await session.close()
    async with asyncio.timeout(case.seconds):
        assert all(result.WhichOneof("result") != "ended" for result in await reading)


async def test_a_foreign_state_is_refused(case: EngineCase, engine: Engine) -> None:
    start = task_pb2.StreamStart()
    start.CopyFrom(case.start)
    for state in (b"", b"\xc1", b"nonsense", b"\x99" * 40):
        start.resume_state = state
        with pytest.raises(EngineError) as refused:
            engine.open(start, context(case))
        assert refused.value.code == error_pb2.ERROR_CODE_BAD_MESSAGE
        assert refused.value.field == "start.resume_state"


async def test_an_unusable_format_is_refused(case: EngineCase, engine: Engine) -> None:
    with pytest.raises(EngineError) as refused:
        engine.open(case.refused_start, context(case))
    assert refused.value.code == error_pb2.ERROR_CODE_UNSUPPORTED_FORMAT
    assert refused.value.field.startswith("start.format")


async def test_interims_and_word_times_can_be_switched_off(case: EngineCase, engine: Engine) -> None:
    start = task_pb2.StreamStart()
    start.CopyFrom(case.start)
    start.speech.interim_results = start.speech.word_timestamps = False
    results = await run(case, engine.open(start, context(case)), chunks_of(case.media()))
    transcripts = [result.transcript for result in results if result.WhichOneof("result") == "transcript"]
    assert all(transcript.is_final and not transcript.words for transcript in transcripts)


async def test_an_engine_describes_itself(case: EngineCase, engine: Engine) -> None:
    description = engine.describe()
    assert engine.service_type == case.service_type
    assert engine.default_slots() >= 1
    assert await engine.review() is None  # a loaded engine changes nothing at once
    assert all(len(model.sha256) == 64 and model.name for model in description.models)
    assert description.models
    assert bool(description.languages) == (case.service_type == task_pb2.SERVICE_TYPE_STT)
    assert description.formats


async def test_what_does_not_apply_is_a_test_and_has_a_reason() -> None:
    tests = dict(inspect.getmembers(sys.modules[__name__], inspect.isfunction))
    for case in ENGINE_CASES:
        assert case.not_applicable.keys() <= tests.keys()
        assert all(case.not_applicable.values())
