"""Delivery over gRPC from a real speech worker: moved at random places, alone, switched off, and refused."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence

import grpc
import pytest
import pytest_asyncio
from talkup.v1 import analysis_pb2, error_pb2, task_pb2, transcript_pb2

from tests.contract.engine_cases import deliveries, pcm_start, samples, speech_engine
from tests.contract.worker_harness import Worker, running

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.model]

ORIGIN = 1_700_000_000_000
CHUNK = 16_000
"""Bytes: half a second."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker() -> AsyncIterator[Worker]:
    async with running(speech_engine(), slots=8) as found:
        yield found


def media() -> list[bytes]:
    whole = b"".join(samples()) * 2
    return [whole[at : at + CHUNK] for at in range(0, len(whole), CHUNK)]


def start_of(mode: transcript_pb2.SpeechMode, resume: bytes | None = None) -> task_pb2.StreamStart:
    start = pcm_start(delivery=True)
    start.speech.mode = mode
    if resume is not None:
        start.resume_state = resume
    return start


async def heard(
    worker: Worker, start: task_pb2.StreamStart, first: int, service: task_pb2.ServiceType, attempt: int
) -> list[task_pb2.TaskResult]:
    """A stream's results from a chunk on; the first chunk of all was complete half a second after the origin."""
    call = worker.call()
    await call.start(start, service_type=service, attempt=attempt, stream_id=f"{service}-{start.speech.mode}")
    reading = asyncio.ensure_future(call.rest())
    for sequence, payload in enumerate(media()[first:], first):
        await call.chunk(payload, sequence, capture_time_unix_ms=ORIGIN + 500 * (sequence + 1))
    await call.end()
    return await reading


KINDS = [
    pytest.param(task_pb2.SERVICE_TYPE_STT, transcript_pb2.SPEECH_MODE_LIVE, id="beside live speech"),
    pytest.param(task_pb2.SERVICE_TYPE_STT, transcript_pb2.SPEECH_MODE_FILE, id="beside a recording"),
    pytest.param(task_pb2.SERVICE_TYPE_DELIVERY, transcript_pb2.SPEECH_MODE_LIVE, id="alone"),
]


def messages_of(results: Sequence[task_pb2.TaskResult]) -> list[analysis_pb2.Analysis]:
    return [message for result in results for message in result.delivery]


@pytest.mark.parametrize(("service", "mode"), KINDS)
async def test_a_stream_moved_at_random_places_gives_the_same_bits_once(
    worker: Worker, service: task_pb2.ServiceType, mode: transcript_pb2.SpeechMode
) -> None:
    whole = await heard(worker, start_of(mode), 0, service, 1)
    messages = messages_of(whole)
    assert [message.frame_seq for message in messages] == list(range(len(messages)))
    assert {message.delivery.origin_unix_ms for message in messages} == {ORIGIN}
    assert messages[-1].delivery.HasField("summary")
    assert sum(message.delivery.HasField("window") for message in messages) == 3
    places = [at for at, result in enumerate(whole) if result.HasField("progress")]
    for at in random.Random(3).sample(places, 2):
        progress = whole[at].progress
        start = start_of(mode, progress.resume_state)
        rest = await heard(worker, start, progress.replay_from_sequence, service, 2 + at)
        assert deliveries(whole[: at + 1]) + deliveries(rest) == deliveries(whole)
        assert rest[-1].ended == whole[-1].ended


async def test_delivery_does_not_change_a_word(worker: Worker) -> None:
    def transcripts(results: Sequence[task_pb2.TaskResult]) -> list[transcript_pb2.Transcript]:
        return [r.transcript for r in results if r.WhichOneof("result") == "transcript" and r.transcript.is_final]

    with_it = await heard(worker, start_of(transcript_pb2.SPEECH_MODE_LIVE), 0, task_pb2.SERVICE_TYPE_STT, 1)
    without = await heard(worker, pcm_start(delivery=False), 0, task_pb2.SERVICE_TYPE_STT, 1)
    assert transcripts(with_it) == transcripts(without) != []
    assert not messages_of(without)


async def test_unknown_signals_are_refused_by_name(worker: Worker) -> None:
    start = pcm_start(delivery=True)
    start.delivery.signals.append("confidence")
    for service in (task_pb2.SERVICE_TYPE_STT, task_pb2.SERVICE_TYPE_DELIVERY):
        call = worker.call()
        await call.start(start, service_type=service, stream_id="refused")
        code, error = await call.refusal()
        assert (code, error.code) == (grpc.StatusCode.INVALID_ARGUMENT, error_pb2.ERROR_CODE_BAD_MESSAGE)
        assert error.field == "delivery.signals"


async def test_a_worker_says_that_it_measures_delivery(worker: Worker) -> None:
    start = start_of(transcript_pb2.SPEECH_MODE_LIVE)
    results = await heard(worker, start, len(media()), task_pb2.SERVICE_TYPE_DELIVERY, 1)
    assert "delivery" in results[0].started.capabilities
    assert results[-1].WhichOneof("result") == "ended"
