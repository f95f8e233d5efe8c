"""A recording in the speech engine: cuts, resume, flush, room, signs of life. Words are steps in the signal."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest
from talkup.v1 import error_pb2, media_pb2, task_pb2

from tests.unit.workers.stt.toys import (
    JUNK,
    WORD,
    PcmSource,
    ToyEngine,
    ToyMediaError,
    chunks,
    finals,
    hear_voice,
    run_stream,
    speak,
    text_of,
    transcribe,
    transcript,
)
from workers.chunk import chunk_of
from workers.engine import EngineError
from workers.stt import file_session, file_state
from workers.stt.captions import Captions
from workers.stt.decode_job import StreamOptions
from workers.stt.file_recognizer import FileRecognizer
from workers.stt.file_session import FileParts, FileSession
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.language import LanguageQuestion
from workers.stt.ledger import ChunkLedger

LONG = [*range(1, 41), 0, 0, 0, *range(41, 61), *[0] * 8, *range(61, 121), 0, *range(121, 141)]
"""56 s of speech in 140 words, with pauses of 0.4 to 3.2 s."""
SPOKEN = [number for number in LONG if number]


@pytest.fixture
def toy() -> Iterator[ToyEngine]:
    with ToyEngine() as made:
        yield made


def open_file(
    toy: ToyEngine,
    resume: bytes | None = None,
    *,
    options: StreamOptions | None = None,
    lanes: int = 2,
    attempt: int = 1,
    clock: Callable[[], float] | None = None,
) -> FileSession:
    saved = file_state.unpack(resume) if resume is not None else None
    options = options or StreamOptions(language="en")
    parts = FileParts(
        source=PcmSource(media_pb2.MediaFormat(), saved.decoder if saved else None),
        recognizer=FileRecognizer(hear_voice, toy.tuning, options, saved.file if saved else None, lanes=lanes),
        captions=Captions(word_timestamps=True, segment_id=saved.segment_id if saved else 1, attempt=attempt),
        ledger=ChunkLedger(saved.totals if saved else None),
        scheduler=toy.scheduler,
        media_error=ToyMediaError,
        skip=saved.file.hearing.replay_from - saved.audio_from if saved else 0,
    )
    return FileSession(parts if clock is None else replace(parts, clock=clock))


def said(results: Sequence[task_pb2.TaskResult]) -> list[tuple[int, str, int, int]]:
    return [(final.segment_id, final.text, final.start_ms, final.end_ms) for final in finals(results)]


async def test_every_word_is_in_one_final_in_order_at_its_time(toy: ToyEngine) -> None:
    results = await run_stream(open_file(toy), chunks(speak(*LONG), 8_000))
    assert transcript(results) == text_of(SPOKEN)
    assert all(final.is_final for final in finals(results))
    words = [word for final in finals(results) for word in final.words]
    places = [place for place, number in enumerate(LONG) if number]
    for word, place in zip(words, places, strict=True):
        assert abs(word.start_ms - place * 400) <= 40
        assert abs(word.end_ms - (place + 1) * 400) <= 40
    ends = [final.end_ms for final in finals(results)]
    assert ends == sorted(ends)
    assert results[-1].ended.segments == len(finals(results))


@pytest.mark.parametrize("size", [777, 8_000, 400_000])
async def test_the_finals_do_not_depend_on_the_chunks_or_the_lanes(toy: ToyEngine, size: int) -> None:
    once = await run_stream(open_file(toy, lanes=1), chunks(speak(*LONG), 16_000))
    again = await run_stream(open_file(toy, lanes=3), chunks(speak(*LONG), size))
    assert said(again) == said(once)


async def test_windows_are_long_and_leave_long_pauses_out() -> None:
    lengths: list[float] = []

    def noted(request: DecodeRequest) -> Hypothesis:
        lengths.append(len(request.audio) / 16_000)
        return transcribe(request)

    with ToyEngine(run=noted) as toy:
        await run_stream(open_file(toy), chunks(speak(*LONG), 8_000))
    assert len(lengths) == 3
    assert max(lengths) <= 28
    assert 57 <= sum(lengths) <= 61  # 56 s of speech, 1.6 s of short pauses, 0.8 s at each side of the long one


async def test_a_recording_cut_at_any_report_continues_word_for_word(toy: ToyEngine) -> None:
    pieces = chunks(speak(*LONG * 2), 8_000)
    whole = await run_stream(open_file(toy), pieces)
    reports = [at for at, result in enumerate(whole) if result.progress.resume_state]
    assert len(reports) >= 5
    for at in reports:
        progress = whole[at].progress
        rest = pieces[progress.replay_from_sequence :]
        resumed = await run_stream(open_file(toy, progress.resume_state, attempt=2), rest)
        assert said(whole[: at + 1]) + said(resumed) == said(whole)
        assert resumed[-1].ended == whole[-1].ended


async def test_a_recording_moved_at_every_report_loses_nothing(toy: ToyEngine) -> None:
    pieces = chunks(speak(*LONG), 8_000)
    heard: list[str] = []
    state: bytes | None = None
    first = 0
    for _ in range(100):
        results = await run_stream(open_file(toy, state, attempt=2), pieces[first:])
        at = next((at for at, r in enumerate(results) if r.progress.resume_state and finals(results[: at + 1])), None)
        if at is None:
            break
        heard += [final.text for final in finals(results[: at + 1])]
        state, first = results[at].progress.resume_state, results[at].progress.replay_from_sequence
    assert " ".join(heard) == text_of(SPOKEN)


async def test_progress_comes_with_every_final_and_forgets_the_chunks(toy: ToyEngine) -> None:
    pieces = chunks(speak(*LONG * 3), 8_000)
    results = await run_stream(open_file(toy), pieces)
    assert all(result.HasField("progress") for result in results if finals([result]))
    committed = [r.progress.committed_sequence for r in results if r.progress.HasField("committed_sequence")]
    assert committed == sorted(committed)
    assert committed[-1] == len(pieces) - 1
    replayed = [result.progress.replay_from_sequence for result in results if result.HasField("progress")]
    assert replayed == sorted(replayed)
    assert replayed[-1] >= len(pieces) // 3  # behind the end of the media, the decoder has no restart point any more


async def test_silence_commits_and_says_nothing(toy: ToyEngine) -> None:
    pieces = chunks(speak(*[0] * 75), 8_000)
    results = await run_stream(open_file(toy), pieces)
    assert not finals(results)
    assert sum(result.HasField("progress") for result in results) >= 6
    assert results[-2].progress.committed_sequence == len(pieces) - 1
    assert results[-2].progress.replay_from_sequence >= len(pieces) - 22  # 11 s


async def test_a_flush_makes_final_what_is_there_before_it_is_answered(toy: ToyEngine) -> None:
    results = await run_stream(open_file(toy), chunks(speak(*LONG), WORD), flush_after=9)
    (at,) = (at for at, result in enumerate(results) if result.HasField("flushed"))
    assert transcript(results[:at]) == text_of(SPOKEN[:10])
    assert transcript(results) == text_of(SPOKEN)


async def test_speech_events_stand_before_and_behind_the_words(toy: ToyEngine) -> None:
    results = await run_stream(open_file(toy), chunks(speak(0, 1, 2, 3, 0, 0, 0, 0), 8_000))
    kinds = [result.WhichOneof("result") for result in results if result.WhichOneof("result")]
    assert kinds == ["speech_event", "speech_event", "transcript", "ended"]
    assert results[0].speech_event.media_time_ms == pytest.approx(400, abs=40)


async def test_a_pause_and_the_end_of_a_sentence_end_a_final() -> None:
    def with_stops(request: DecodeRequest) -> Hypothesis:
        heard = transcribe(request)
        words = [replace(word, text=word.text + ".") if word.text == " wc" else word for word in heard.words]
        return replace(heard, words=tuple(words))

    with ToyEngine(run=with_stops) as toy:
        results = await run_stream(open_file(toy), chunks(speak(1, 2, 3, 4, 5, 0, 0, 0, 6, 7), 8_000))
    assert [final.text for final in finals(results)] == ["wb wc.", "wd we wf", "wg wh"]


async def test_a_loop_is_decoded_again_in_halves() -> None:
    asked: list[float] = []

    def looping(request: DecodeRequest) -> Hypothesis:
        asked.append(len(request.audio) / 16_000)
        heard = transcribe(request)
        return replace(heard, rejected=True, words=()) if asked[-1] > 15 else heard

    with ToyEngine(run=looping) as toy:
        session = open_file(toy)
        results = await run_stream(session, chunks(speak(*range(1, 26), 0, *range(26, 51)), 8_000))
    assert transcript(results) == text_of(range(1, 51))
    assert len(asked) == 3
    assert (session.counters.rejected, session.counters.cuts, session.counters.empty_segments) == (1, 1, 0)


async def test_what_the_model_doubts_is_tried_without_its_hints_and_the_better_text_kept() -> None:
    prompts: list[tuple[int, ...]] = []

    def doubting(request: DecodeRequest) -> Hypothesis:
        prompts.append(request.prompt)
        heard = transcribe(request)
        return replace(heard, score=-1.5) if request.prompt else replace(heard, words=(), score=-1.8)

    options = StreamOptions(language="en", hotwords=(7, 8))
    with ToyEngine(run=doubting) as toy:
        results = await run_stream(open_file(toy, options=options), chunks(speak(1, 2, 3), 8_000))
    assert prompts == [(7, 8), ()]
    assert transcript(results) == text_of([1, 2, 3])


async def test_a_text_that_ends_before_the_voice_continues_behind_its_last_word() -> None:
    def early(request: DecodeRequest) -> Hypothesis:
        heard = transcribe(request)
        return replace(heard, words=heard.words[:10])

    with ToyEngine(run=early) as toy:
        results = await run_stream(open_file(toy), chunks(speak(*range(1, 31)), 8_000))
    assert transcript(results) == text_of(range(1, 31))


async def test_the_language_of_the_first_speech_is_kept_before_others_are_asked() -> None:
    asked: list[str | None] = []

    def guessing(request: DecodeRequest) -> Hypothesis:
        asked.append(request.language)
        return replace(transcribe(request), language=request.language or "fr")

    options = StreamOptions()
    with ToyEngine(run=guessing) as toy:
        results = await run_stream(open_file(toy, options=options), chunks(speak(*LONG), 8_000))
    assert asked == [None, "fr", "fr"]
    assert {final.language for final in finals(results)} == {"fr"}


async def test_with_languages_to_expect_each_segment_is_decided_separately() -> None:
    asked: list[LanguageQuestion] = []

    def guessing(request: DecodeRequest) -> Hypothesis:
        asked.append(request.question)
        return replace(transcribe(request), language="fr" if len(asked) % 2 else "en")

    options = StreamOptions(languages=("en", "fr"))
    with ToyEngine(run=guessing) as toy:
        pieces = chunks(speak(*range(1, 11), 0, 0, 0, *range(11, 15), 0, 0, 0, 15, 16), 8_000)
        results = await run_stream(open_file(toy, options=options), pieces)
        assert [(final.text, final.language) for final in finals(results)] == [
            (text_of(range(1, 11)), "fr"),
            (text_of(range(11, 15)), "en"),
            (text_of(range(15, 17)), "fr"),
        ]
        assert [(question.expected, question.previous) for question in asked] == [
            (("en", "fr"), None),
            (("en", "fr"), "fr"),
            (("en", "fr"), "en"),
        ]
        progress = next(r.progress for r in results if finals([r]))
        await run_stream(
            open_file(toy, progress.resume_state, options=options), pieces[progress.replay_from_sequence :]
        )
    assert asked[3].previous == "fr"


async def test_undecodable_media_end_the_recording_after_the_words_heard(toy: ToyEngine) -> None:
    pieces = chunks(speak(*range(1, 6)), 8_000)
    session = open_file(toy)
    results: list[task_pb2.TaskResult] = []
    for piece in [*pieces, media_pb2.Chunk(sequence=len(pieces), payload=b"poison")]:
        await session.accept(chunk_of(piece))

    async def read() -> None:
        async for result in session.results():
            results.append(result)

    with pytest.raises(EngineError) as caught:
        await read()
    assert caught.value.code == error_pb2.ERROR_CODE_MEDIA_ERROR
    assert transcript(results) == text_of(range(1, 6))
    await session.close()


async def test_damage_is_counted_though_the_recording_moves(toy: ToyEngine) -> None:
    pieces = chunks(speak(*LONG), 8_000)
    pieces[3].payload = JUNK
    whole = await run_stream(open_file(toy), pieces)
    assert whole[-1].ended.damaged_bytes == len(JUNK)
    last = [result.progress for result in whole if finals([result])][-1]
    resumed = await run_stream(open_file(toy, last.resume_state, attempt=2), pieces[last.replay_from_sequence :])
    assert resumed[-1].ended == whole[-1].ended


async def test_accept_waits_while_nobody_reads(toy: ToyEngine) -> None:
    session = open_file(toy)
    [piece] = chunks(speak(*range(1, 40)), 39 * WORD)
    feeding = asyncio.ensure_future(session.accept(chunk_of(piece)))
    done, _ = await asyncio.wait({feeding}, timeout=0.05)
    assert not done
    await session.close()
    await feeding
    assert [result async for result in session.results()] == []


async def test_media_of_many_bytes_are_forgotten_in_time(toy: ToyEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_session, "_MEDIA_HELD", 800_000)
    monkeypatch.setattr(file_session, "_MEDIA_AT_MOST", 1_000_000)
    pieces = chunks(speak(*range(1, 201)), 8_000)
    session = open_file(toy)
    held = 0
    results: list[task_pb2.TaskResult] = []

    async def read() -> None:
        async with aclosing(session.results()) as found:
            async for result in found:
                results.append(result)

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        for piece in pieces:
            await session.accept(chunk_of(piece))
            last = max((r.progress.replay_from_sequence for r in results if r.HasField("progress")), default=0)
            held = max(held, (piece.sequence + 1 - last) * 32_000)
        await session.end()
    assert held <= 1_100_000
    assert len(transcript(results).split()) >= 200  # a cut may fall into a word here, as there is no pause


async def test_a_window_that_takes_long_shows_signs_of_life() -> None:
    gate = threading.Event()
    now = [0.0]

    def slowly(request: DecodeRequest) -> Hypothesis:
        gate.wait()
        return transcribe(request)

    with ToyEngine(run=slowly) as toy:
        session = open_file(toy, clock=lambda: now[0])
        for piece in chunks(speak(1, 2, 3), 8_000):
            await session.accept(chunk_of(piece))
        await session.end()
        async with aclosing(session.results()) as results:
            seen = [await anext(results) for _ in range(2)]
            assert {result.WhichOneof("result") for result in seen} == {"speech_event"}
            for _ in range(3):
                beat = asyncio.ensure_future(anext(results))
                await asyncio.sleep(0)
                now[0] += 4
                assert (await beat).WhichOneof("result") == "flow"
            gate.set()
            rest: Sequence[task_pb2.TaskResult] = [result async for result in results]
    assert transcript(rest) == text_of([1, 2, 3])
    await session.close()
