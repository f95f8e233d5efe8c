"""The audio just stops: what was said becomes final, and what comes later is a segment of its own.

A stalled network looks the same. Then the rest of the sentence comes after all: no word of it may be lost or doubled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from tests.unit.workers.stt.toys import (
    WORD,
    Floats,
    ToyEngine,
    chunks,
    finals,
    hear_voice,
    speak,
    text_of,
    transcribe,
    transcript,
    word,
)
from workers.chunk import chunk_of
from workers.stt import events
from workers.stt.decode_job import Effort, StreamOptions
from workers.stt.recognizer import Recognizer
from workers.stt.state import RecognizerState
from workers.stt.tuning import Tuning
from workers.stt.words import join_words

EFFORT = Effort(1.5, 5, extra_interims=False)
SAID = [1, 2, 3, 4, 5, 6, 7, 8]


def recognise(audio: Floats, pause_at: int | None, saved: RecognizerState | None = None) -> list[events.Event]:
    """The events of a stream that pauses at a sample and then continues."""
    heard = Recognizer(hear_voice, Tuning(), StreamOptions("en", interims=False), saved)
    begin = saved.replay_from if saved else 0
    said: list[events.Event] = []

    def work() -> None:
        while (job := heard.advance(EFFORT)) is not None:
            heard.apply(job, transcribe(job.request))
        said.extend(heard.pop_events())

    if pause_at is not None:
        heard.append_samples(audio[begin:pause_at])
        work()
        heard.pause()
        begin = pause_at
    heard.append_samples(audio[begin:])
    heard.end()
    work()
    return said


def texts(said: Sequence[events.Event]) -> list[str]:
    return [join_words(event.words) for event in said if isinstance(event, events.Final)]


def test_at_a_pause_everything_is_final_and_speech_has_ended() -> None:
    said = recognise(speak(*SAID, 0, 0, 0), 4 * WORD)
    at = next(index for index, event in enumerate(said) if isinstance(event, events.Paused))
    assert " ".join(texts(said[:at])) == text_of(SAID[:4])
    assert sum(isinstance(event, events.SpeechEnded) for event in said[:at]) == 1
    assert [type(event) for event in said[at:] if isinstance(event, events.SpeechStarted | events.SpeechEnded)] == [
        events.SpeechStarted,
        events.SpeechEnded,
    ]
    assert " ".join(texts(said[at:])) == text_of(SAID[4:])


@pytest.mark.parametrize("pause_at", range(WORD // 2, len(SAID) * WORD, 1_000))
def test_a_stall_costs_at_most_the_word_that_it_cuts(pause_at: int) -> None:
    heard = " ".join(texts(recognise(speak(*SAID, 0, 0, 0), pause_at))).split()
    cut = word(1 + pause_at // WORD)
    assert len(heard) in (len(SAID), len(SAID) - 1)
    assert [spoken for spoken in heard if spoken.startswith("w") and spoken != cut] == [
        word(number) for number in SAID if word(number) != cut
    ]


def test_a_stream_moved_after_a_pause_continues_word_for_word() -> None:
    audio, pause_at = speak(*SAID, 0, 0, 0, 9, 10, 0, 0, 0), 4 * WORD + 3_000
    whole = recognise(audio, pause_at)
    paused = next(index for index, event in enumerate(whole) if isinstance(event, events.Paused))
    for index, event in enumerate(whole):
        if isinstance(event, events.Committed):
            saved = msgspec.msgpack.decode(msgspec.msgpack.encode(event.state), type=RecognizerState)
            rest = recognise(audio, None if index > paused or whole[index + 1] == whole[paused] else pause_at, saved)
            assert texts(whole[: index + 1]) + texts(rest) == texts(whole)
    positions = [event.position for event in whole if isinstance(event, events.Committed)]
    assert positions == sorted(positions)


def test_a_pause_in_silence_changes_nothing() -> None:
    audio = speak(1, 2, 3, 0, 0, 0, 0, 4, 5, 0, 0, 0)
    assert texts(recognise(audio, 6 * WORD)) == texts(recognise(audio, None))


async def test_a_session_that_gets_no_chunk_for_a_while_pauses() -> None:
    audio = speak(*SAID)
    first, second = chunks(audio[: 4 * WORD], 1_600), chunks(audio[4 * WORD :], 1_600, first=16)
    with ToyEngine() as engine:
        session = engine.open(pause=0.05)
        results = session.results()
        for piece in first:
            await session.accept(chunk_of(piece))
        heard = []
        async with asyncio.timeout(20):
            while transcript(heard) != text_of(SAID[:4]):
                heard.append(await anext(results))
        before = len(finals(heard))
        for piece in second:
            await session.accept(chunk_of(piece))
        await session.end()
        heard += [result async for result in results]
        await session.close()
    assert transcript(heard) == text_of(SAID)
    assert len(finals(heard)) > before
    assert [result.speech_event.type for result in heard if result.HasField("speech_event")] == [1, 2, 1, 2]
    assert heard[-1].ended.chunks == len(first) + len(second)
