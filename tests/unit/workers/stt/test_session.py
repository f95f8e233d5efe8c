"""Sessions in the toy world: order, completeness, flush, resumption, isolation, backpressure. No model."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talkup.v1 import error_pb2, media_pb2, task_pb2, transcript_pb2

from tests.unit.workers.stt.toys import (
    JUNK,
    WORD,
    ToyEngine,
    chunks,
    finals,
    run_stream,
    speak,
    text_of,
    transcribe,
    transcript,
)
from workers.chunk import chunk_of
from workers.engine import EngineError
from workers.stt.decode_job import StreamOptions
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.session import SttSession
from workers.stt.tuning import FRAME, SAMPLE_RATE

LONG = [*range(1, 60), 0, 0, 0, 0, *range(60, 90), *[0] * 12, *range(90, 120)]
SAID = [number for number in LONG if number]


async def test_every_word_is_in_one_final_in_order() -> None:
    with ToyEngine() as engine:
        results = await run_stream(engine.open(), chunks(speak(*LONG), 1_920))
    assert transcript(results) == text_of(SAID)
    segments = finals(results)
    assert [segment.segment_id for segment in segments] == list(range(1, len(segments) + 1))
    times = [time for segment in segments for word in segment.words for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    ended = results[-1].ended
    assert (ended.segments, ended.chunks) == (len(segments), len(chunks(speak(*LONG), 1_920)))
    assert ended.media_ms == len(LONG) * 400


@settings(max_examples=8, deadline=None)
@given(size=st.integers(300, 100_000))
def test_the_text_does_not_depend_on_the_cut(size: int) -> None:
    async def run() -> list[str]:
        with ToyEngine() as engine:
            results = await run_stream(engine.open(), chunks(speak(*LONG[:80]), size))
        return [final.text for final in finals(results)]

    async def run_usual() -> list[str]:
        with ToyEngine() as engine:
            results = await run_stream(engine.open(), chunks(speak(*LONG[:80]), 1_920))
        return [final.text for final in finals(results)]

    assert asyncio.run(run()) == asyncio.run(run_usual())


async def test_progress_covers_everything_at_the_end_and_never_falls() -> None:
    pieces = chunks(speak(*LONG), 1_600)
    with ToyEngine() as engine:
        results = await run_stream(engine.open(), pieces)
    progress = [result.progress for result in results if result.HasField("progress")]
    covered = [p.committed_sequence for p in progress if p.HasField("committed_sequence")]
    assert covered == sorted(covered)
    assert covered[-1] == len(pieces) - 1
    assert [p.committed_media_ms for p in progress] == sorted(p.committed_media_ms for p in progress)
    assert all(p.replay_from_sequence <= p.committed_sequence + 1 for p in progress)
    assert max(len(p.resume_state) for p in progress) < 6_144
    assert all(result.HasField("progress") for result in results if result.transcript.is_final)


async def test_silence_commits_and_says_nothing() -> None:
    pieces = chunks(np.zeros(16_000 * 20, np.float32), 1_600)
    with ToyEngine() as engine:
        results = await run_stream(engine.open(), pieces)
    assert {result.WhichOneof("result") for result in results} == {None, "ended"}
    media = [result.progress.committed_media_ms for result in results if result.HasField("progress")]
    assert len(media) >= 19
    assert max(later - earlier for earlier, later in pairwise(media)) <= 1_100


async def test_a_stream_cut_at_any_report_continues_word_for_word() -> None:
    pieces = chunks(speak(*LONG), 2_500)
    with ToyEngine() as engine:
        whole = await run_stream(engine.open(), pieces)
        reports = [index for index, result in enumerate(whole) if result.HasField("progress")]
        assert len(reports) > 25
        for index in reports[::2]:
            saved = whole[index].progress
            session = engine.open(resume=saved.resume_state, attempt=100_000 if index % 4 else 2)  # another gateway
            rest = await run_stream(session, pieces[saved.replay_from_sequence :])
            assert transcript(whole[: index + 1] + rest) == transcript(whole)
            assert [final.segment_id for final in finals(whole[: index + 1] + rest)] == [
                final.segment_id for final in finals(whole)
            ]
            assert rest[-1].ended == whole[-1].ended


async def test_damage_is_counted_once_though_the_stream_moves() -> None:
    pieces = chunks(speak(*LONG), 2_500)
    for at in (3, 9, 10, 30):
        pieces[at:at] = [media_pb2.Chunk(payload=JUNK)]
    for number, piece in enumerate(pieces):
        piece.sequence = number
    with ToyEngine() as engine:
        whole = await run_stream(engine.open(), pieces)
        assert whole[-1].ended.damaged_bytes == 4 * len(JUNK)
        for index, result in enumerate(whole):
            if result.HasField("progress") and index % 3 == 0:
                saved = result.progress
                session = engine.open(resume=saved.resume_state, attempt=2)
                rest = await run_stream(session, pieces[saved.replay_from_sequence :])
                assert rest[-1].ended == whole[-1].ended


async def test_a_stream_moved_at_every_report_loses_nothing() -> None:
    pieces = chunks(speak(*LONG), 4_000)
    text: list[str] = []
    saved: bytes | None = None
    first, attempt = 0, 1
    with ToyEngine() as engine:
        while True:
            session = engine.open(resume=saved, attempt=attempt)
            results = await run_stream(session, pieces[first:])
            stop = next((i for i, r in enumerate(results) if r.HasField("progress")), len(results))
            moved = results[: stop + 1]
            text += [final.text for final in finals(moved)]
            if any(r.WhichOneof("result") == "ended" for r in moved):
                break
            progress = results[stop].progress
            if progress.resume_state == saved:
                text += [final.text for final in finals(results[stop + 1 :])]
                break
            saved, first, attempt = progress.resume_state, progress.replay_from_sequence, attempt + 1
    assert " ".join(text) == text_of(SAID)
    assert attempt > 20


async def test_flush_makes_everything_final_before_it_is_answered() -> None:
    audio = speak(*range(1, 13))
    pieces = chunks(audio, WORD)
    with ToyEngine() as engine:
        results = await run_stream(engine.open(), pieces, flush_after=6)
    at = next(i for i, r in enumerate(results) if r.WhichOneof("result") == "flushed")
    assert results[at].flushed.flush_id == 7
    assert transcript(results[:at]) == text_of(range(1, 8))
    assert transcript(results) == text_of(range(1, 13))


async def test_flush_in_silence_is_answered() -> None:
    with ToyEngine() as engine:
        results = await run_stream(engine.open(), chunks(speak(0, 0, 0), 1_000), flush_after=3)
    assert [r.WhichOneof("result") for r in results if r.WhichOneof("result")] == ["flushed", "ended"]


async def test_speech_events_frame_the_words() -> None:
    with ToyEngine() as engine:
        results = await run_stream(engine.open(), chunks(speak(0, 1, 2, 0, 0, 0, 3, 0), 1_600))
    reported = [(r.speech_event.type, r.speech_event.media_time_ms) for r in results if r.HasField("speech_event")]
    started, ended = transcript_pb2.SPEECH_EVENT_TYPE_SPEECH_STARTED, transcript_pb2.SPEECH_EVENT_TYPE_SPEECH_ENDED
    assert [kind for kind, _ in reported] == [started, ended, started, ended]
    for (_, reported_ms), true_ms in zip(reported, (400, 1200, 2400, 2800), strict=True):
        assert abs(reported_ms - true_ms) <= 32


async def test_interims_show_what_comes_and_rise() -> None:
    with ToyEngine() as engine:
        session = engine.open(StreamOptions(language="en", interims=True))
        results = await run_stream(session, chunks(speak(*range(1, 40), 0, 0, 0), 1_920))
    shown = [(r.transcript.segment_id, r.transcript.revision) for r in results if r.HasField("transcript")]
    assert shown == sorted(set(shown))
    assert any(not r.transcript.is_final and r.transcript.text for r in results)
    assert transcript(results) == text_of(range(1, 40))


async def test_an_interim_on_its_way_is_shown_although_the_next_is_due() -> None:
    """On a slow machine a hypothesis takes longer than the time between two interims."""
    heard_enough = threading.Event()

    def slowly(request: DecodeRequest) -> Hypothesis:
        if not request.align:
            heard_enough.wait(60)
        return transcribe(request)

    async def first_shown(session: SttSession) -> str:
        async for result in session.results():
            if result.HasField("transcript"):
                return result.transcript.text
        return ""

    with ToyEngine(run=slowly) as engine:
        session = engine.open(StreamOptions(language="en", interims=True), backlog=FRAME)
        shown = asyncio.create_task(first_shown(session))
        for piece in chunks(speak(1, 2, 3, 4)[: int(1.4 * SAMPLE_RATE)], 1_600):
            await session.accept(chunk_of(piece))
        heard_enough.set()
        assert (await shown).startswith(text_of([1]))
        await session.close()


async def test_words_before_a_pause_are_final_before_speech_has_ended() -> None:
    with ToyEngine() as engine:
        results = await run_stream(engine.open(), chunks(speak(1, 0, 0, 0, 0), 1_600))
    kinds = [result.WhichOneof("result") for result in results]
    assert transcript(results) == text_of([1])
    assert kinds.index("transcript") < len(kinds) - 1 - kinds[::-1].index("speech_event")


async def test_undecodable_media_end_the_stream_after_the_words_heard() -> None:
    pieces = [*chunks(speak(1, 2, 3, 4), 6_400), media_pb2.Chunk(sequence=4, payload=b"poison")]
    with ToyEngine() as engine:
        session = engine.open()
        for piece in pieces:
            await session.accept(chunk_of(piece))
        results: list[task_pb2.TaskResult] = []

        async def read() -> None:
            async for result in session.results():
                results.append(result)

        with pytest.raises(EngineError) as caught:
            await read()
        await session.close()
    assert caught.value.code == error_pb2.ERROR_CODE_MEDIA_ERROR
    assert transcript(results) == text_of(range(1, 5))


async def test_a_stream_without_media_ends_with_its_totals() -> None:
    """A decoder that got no chunk has no restart point: that is neither reported nor an error."""
    with ToyEngine() as engine:
        session = engine.open()
        await session.flush(7)
        results = await run_stream(session, [])
    kinds = [result.WhichOneof("result") for result in results]
    assert kinds == ["flushed", "ended"]
    assert (results[-1].ended.chunks, results[-1].ended.media_ms) == (0, 0)
    assert not any(result.HasField("progress") for result in results)


async def test_a_first_chunk_that_cannot_be_decoded_is_the_medias_fault() -> None:
    with ToyEngine() as engine:
        session = engine.open()
        await session.accept(chunk_of(media_pb2.Chunk(sequence=0, payload=b"poison")))
        with pytest.raises(EngineError) as caught:
            _ = [result async for result in session.results()]
        await session.close()
    assert caught.value.code == error_pb2.ERROR_CODE_MEDIA_ERROR


async def test_a_failing_model_is_an_internal_error_of_its_stream_alone() -> None:
    def run(request: DecodeRequest) -> Hypothesis:
        if request.language == "xx":
            raise RuntimeError("out of memory at 0x7f")
        return transcribe(request)

    with ToyEngine(run=run) as engine:
        bad, good = engine.open(StreamOptions(language="xx")), engine.open()
        failed, results = await asyncio.gather(
            run_stream(bad, chunks(speak(1, 2, 3), 1_600)),
            run_stream(good, chunks(speak(1, 2, 3), 1_600)),
            return_exceptions=True,
        )
    assert isinstance(failed, ExceptionGroup)
    [error] = failed.exceptions
    assert isinstance(error, EngineError)
    assert (error.code, error.retryable) == (error_pb2.ERROR_CODE_INTERNAL, True)
    assert "0x7f" not in error.message
    assert transcript(results) == text_of([1, 2, 3])


async def test_an_empty_answer_to_speech_is_asked_again_at_full_length() -> None:
    def run(request: DecodeRequest) -> Hypothesis:
        heard = transcribe(request)
        return heard if request.encoder_frames == 3_000 else Hypothesis((), -0.1, 0.0, False, "en")

    with ToyEngine(run=run) as engine:
        session = engine.open()
        results = await run_stream(session, chunks(speak(1, 2, 0, 0, 0), 1_600))
    assert transcript(results) == text_of([1, 2])
    assert session.counters.empty_retries == 1


async def test_speech_in_which_no_word_is_found_is_counted_once_though_the_stream_moves() -> None:
    def run(request: DecodeRequest) -> Hypothesis:
        """Hears nothing in a window without the words 1 to 3."""
        heard = transcribe(request)
        known = {text_of([number]) for number in (1, 2, 3)}
        return heard if known & {spoken.text.strip() for spoken in heard.words} else replace(heard, words=())

    pieces = chunks(speak(1, 2, 3, 0, 0, 0, 40, 41, 0, 0, 0, 1, 2, 0, 0, 0), 1_600)
    with ToyEngine(run=run) as engine:
        whole = await run_stream(engine.open(), pieces)
        assert abs(whole[-1].ended.speech_without_words_ms - 800) <= 64
        for result in whole:
            if result.HasField("progress"):
                saved = result.progress
                session = engine.open(resume=saved.resume_state, attempt=2)
                rest = await run_stream(session, pieces[saved.replay_from_sequence :])
                assert rest[-1].ended == whole[-1].ended
    assert transcript(whole) == text_of([1, 2, 3, 1, 2])


async def test_a_loop_is_rejected_and_the_hypothesis_before_it_kept() -> None:
    def run(request: DecodeRequest) -> Hypothesis:
        heard = transcribe(request)
        loops = len(request.audio) > 4.1 * 16_000
        return Hypothesis((), -0.1, 0.0, True, "en") if loops else heard

    with ToyEngine(run=run) as engine:
        session = engine.open()
        results = await run_stream(session, chunks(speak(*range(1, 11), 0, 0, 0), 1_600))
    assert transcript(results).startswith(text_of(range(1, 8)))
    assert session.counters.fallbacks == 1


async def test_eight_streams_at_once_say_what_each_says_alone() -> None:
    said = [[*range(10 * n, 10 * n + 30), 0, 0, 0, *range(500, 510)] for n in range(1, 9)]
    with ToyEngine() as engine:
        together = await asyncio.gather(*(run_stream(engine.open(), chunks(speak(*s), 1_920)) for s in said))
        for numbers, results in zip(said, together, strict=True):
            alone = await run_stream(engine.open(), chunks(speak(*numbers), 1_920))
            assert [f.text for f in finals(results)] == [f.text for f in finals(alone)]


async def test_accept_waits_while_nobody_reads() -> None:
    with ToyEngine() as engine:
        session = engine.open(backlog=16_000)
        feeding = asyncio.ensure_future(session.accept(chunk_of(chunks(speak(*range(1, 20)), 19 * WORD)[0])))
        done, _ = await asyncio.wait({feeding}, timeout=0.05)
        assert not done
        await session.close()
        await feeding
        assert [result async for result in session.results()] == []


async def test_a_deadline_that_has_passed_stops_the_work() -> None:
    with ToyEngine() as engine:
        session = engine.open(deadline=0.0)
        with pytest.raises(ExceptionGroup) as caught:
            await run_stream(session, chunks(speak(1, 2, 3), 1_600))
    [error] = caught.value.exceptions
    assert isinstance(error, EngineError)
    assert error.code == error_pb2.ERROR_CODE_DEADLINE_EXCEEDED


async def test_chunks_after_the_end_are_refused() -> None:
    with ToyEngine() as engine:
        session = engine.open()
        await session.end()
        with pytest.raises(EngineError):
            await session.accept(chunk_of(media_pb2.Chunk()))
        await session.close()
        await session.close()
