"""The fake's failures on demand, with the clock and the crash passed in."""

from __future__ import annotations

import asyncio

import pytest
from talkup.v1 import error_pb2, media_pb2, task_pb2

from workers.chunk import chunk_of
from workers.engine import EngineError, EngineSession, StreamContext
from workers.fake.engine import FakeEngine, FakeScript

CONTEXT = StreamContext("s", "a", 1)
CODED = media_pb2.MediaFormat(container=media_pb2.CONTAINER_WEBM)
PCM = media_pb2.MediaFormat(
    container=media_pb2.CONTAINER_PCM, pcm_encoding=media_pb2.PCM_ENCODING_S16LE, sample_rate=16_000, channels=1
)


class Crashed(BaseException):
    """Raised instead of ending the process."""


def crash() -> None:
    raise Crashed


def opened(script: FakeScript, audio: media_pb2.MediaFormat = CODED, waits: list[float] | None = None) -> EngineSession:
    async def sleep(seconds: float) -> None:
        if waits is not None:
            waits.append(seconds)

    start = task_pb2.StreamStart(kind=media_pb2.MEDIA_KIND_AUDIO, format=audio)
    return FakeEngine(script, sleep=sleep, crash=crash).open(start, CONTEXT)


async def accept_all(session: EngineSession, *payloads: bytes) -> None:
    for sequence, payload in enumerate(payloads):
        await session.accept(chunk_of(media_pb2.Chunk(sequence=sequence, payload=payload)))


async def test_delays_follow_the_chunks_and_their_duration() -> None:
    waits: list[float] = []
    await accept_all(opened(FakeScript(delay_ms=20, slow_factor=2.0), PCM, waits), bytes(3200), bytes(6400))
    assert waits == pytest.approx([0.02 + 0.2, 0.02 + 0.4])


async def test_failures_come_after_their_number_of_chunks() -> None:
    session = opened(FakeScript(fail_after=2))
    await accept_all(session, b"1", b"2")
    with pytest.raises(EngineError) as failed:
        await accept_all(session, b"3")
    assert failed.value.code == error_pb2.ERROR_CODE_MEDIA_ERROR
    with pytest.raises(Crashed):
        await accept_all(opened(FakeScript(crash_after=0)), b"1")


async def test_poison_kills_whoever_takes_it() -> None:
    session = opened(FakeScript(poison=b"POISON"))
    await accept_all(session, b"harmless")
    with pytest.raises(Crashed):
        await accept_all(session, b"xxPOISONxx")


async def test_a_hanging_stream_makes_no_progress() -> None:
    session = opened(FakeScript(hang_after=1))
    await accept_all(session, b"1")
    hanging = asyncio.ensure_future(accept_all(session, b"2"))
    done, _ = await asyncio.wait({hanging}, timeout=0.05)
    assert not done
    hanging.cancel()


async def test_a_muted_stream_takes_everything_and_says_nothing() -> None:
    session = opened(FakeScript(mute_after=1))
    await accept_all(session, bytes(20_000), bytes(20_000))
    await session.end()
    results = session.results()
    reading = asyncio.ensure_future(anext(results))
    done, _ = await asyncio.wait({reading}, timeout=0.05)
    assert not done
    await session.close()
    with pytest.raises(StopAsyncIteration):
        await reading


async def test_refusing_every_stream() -> None:
    with pytest.raises(EngineError) as refused:
        opened(FakeScript(reject=True))
    assert (refused.value.code, refused.value.retry_after_ms) == (error_pb2.ERROR_CODE_BUSY, 500)


async def test_a_new_recording_closes_the_word_under_way() -> None:
    session = opened(FakeScript())
    await session.accept(chunk_of(media_pb2.Chunk(sequence=0, payload=bytes(500), new_recording=True)))
    await session.accept(chunk_of(media_pb2.Chunk(sequence=1, payload=bytes(500), new_recording=True)))
    await session.end()
    finals = [r.transcript async for r in session.results() if r.transcript.is_final]
    assert [(word.start_ms, word.end_ms) for word in finals[0].words] == [(0, 125), (125, 250)]
