"""One clip of every format, byte by byte, straight into the worker's engine: the same text as in one piece."""

from __future__ import annotations

import asyncio
import io
import os
import wave
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from talkup.v1 import media_pb2, task_pb2, transcript_pb2

from bench.harness.material import pieces
from tests.corpus.test_media_corpus import format_of
from workers import models
from workers.__main__ import parse
from workers.chunk import chunk_of
from workers.engine import StreamContext
from workers.media.isolation.pool import DecoderPool
from workers.stt.config import SttConfig
from workers.stt.service import FORMATS, SttService
from workers.stt.tuning import Tuning

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.model,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(200),
]

CLIP = "encoded/lj_LJ001-0005"
KINDS = ("chrome60.live.webm", "ff20.live.webm", "ogg20.ogg", "mp3_64k.mp3", "aac_frag.mp4", "pcm16k.s16le", "wav")
SAME_EFFORT = Tuning(beam=1, stretched_step=1.5)
"""However late the machine is, it cannot spend less than this: the text does not depend on the load."""

SECONDS_OF_PCM = 2
"""Uncompressed formats have too many bytes for more."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[SttService]:
    config = parse("stt", ["--model", "tiny.en"], os.environ)
    model = models.resolve(config.model, config.model_cache)
    stt = SttConfig(model=model.name, path=model.path, formats=FORMATS, tuning=SAME_EFFORT)
    made = SttService(stt, DecoderPool(children=2))
    await made.load()
    yield made
    await made.close()


def media(corpus: Path, name: str) -> bytes:
    if name != "wav":
        data = (corpus / CLIP / name).read_bytes()
        return data[: 32_000 * SECONDS_OF_PCM] if name.endswith(".s16le") else data
    with io.BytesIO() as file:
        with wave.open(file, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(16_000)
            sound.writeframes(media(corpus, "pcm16k.s16le"))
        return file.getvalue()


async def hear(engine: SttService, fmt: media_pb2.MediaFormat, chunks: Sequence[bytes]) -> tuple[str, int]:
    """The final text and the milliseconds of media."""
    speech = transcript_pb2.SpeechOptions(language="en")
    start = task_pb2.StreamStart(kind=media_pb2.MEDIA_KIND_AUDIO, format=fmt, speech=speech)
    session = engine.open(start, StreamContext("session", "stream", 1))

    async def talk() -> None:
        for number, payload in enumerate(chunks):
            await session.accept(chunk_of(media_pb2.Chunk(sequence=number, payload=payload)))
        await session.end()

    texts, length = [], 0
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(talk())
            async for result in session.results():
                if result.transcript.is_final:
                    texts.append(result.transcript.text.strip())
                if result.HasField("ended"):
                    length = result.ended.media_ms
    finally:
        await session.close()
    return " ".join(texts), length


@pytest.mark.parametrize("name", KINDS)
async def test_single_bytes(corpus: Path, engine: SttService, name: str) -> None:
    data, fmt = media(corpus, name), format_of(name)
    whole = await hear(engine, fmt, [data])
    by_byte = await hear(engine, fmt, pieces(data, 1))
    assert whole[0]
    assert by_byte == whole
