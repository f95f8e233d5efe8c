"""The answers to an upload: formats and events."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.doors.openai.answers import Deltas, Heard, answer
from gateway.doors.openai.options import recorded
from gateway.protocol import messages as m
from gateway.protocol.joining import join_finals


def final(number: int, text: str, start_ms: int, language: str = "en") -> m.TranscriptData:
    words = [
        m.WordData(word=word, start_ms=start_ms + 100 * at, end_ms=start_ms + 100 * at + 90, confidence=0.5)
        for at, word in enumerate(text.split())
    ]
    return m.TranscriptData(
        stream_id="s", segment_id=number, revision=0, is_final=True, text=text, stable_chars=len(text), confidence=0.5,
        language=language, start_ms=start_ms, end_ms=words[-1].end_ms, words=words,
    )  # fmt: skip


def heard(*finals: m.TranscriptData) -> Heard:
    data = m.StreamEndedData(
        stream_id="s", chunks=1, bytes=2, media_seconds=2.5, segments=2, gaps=0, missing_chunks=0, damaged_bytes=0,
        speech_without_words_ms=0, duplicate_chunks=0, orphan_chunks=0, dropped=m.DroppedData(), failovers=0,
        text=join_finals((each.text, each.language) for each in finals), text_id="",
    )  # fmt: skip
    return Heard(finals, m.StreamEnded(stream_id="s", data=data))


TALK = heard(final(1, "Hello", 0), final(2, "World.", 200), final(3, "Bye --> now.", 1000))


def answer_of(response_format: str, *more: tuple[str, str]) -> Any:
    content_type, body = answer(recorded([("response_format", response_format), *more]), TALK)
    return json.loads(body) if content_type == "application/json" else (content_type, body.decode())


def test_plain_formats() -> None:
    usage = {"type": "duration", "seconds": 2.5}
    assert answer_of("json") == {"text": "Hello World. Bye --> now.", "usage": usage}
    assert answer_of("text") == ("text/plain", "Hello World. Bye --> now.\n")


def test_captions() -> None:
    assert answer_of("srt") == (
        "application/x-subrip",
        "1\n00:00:00,000 --> 00:00:00,290\nHello World.\n\n2\n00:00:01,000 --> 00:00:01,290\nBye -> now.\n",
    )
    assert answer_of("vtt")[1].startswith("WEBVTT\n\n00:00:00.000 --> 00:00:00.290\nHello World.\n")


def test_segments_are_sentences_and_words_have_times() -> None:
    body = answer_of("verbose_json", ("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment"))
    assert (body["task"], body["language"], body["duration"]) == ("transcribe", "english", 2.5)
    first, second = body["segments"]
    assert (first["text"], first["start"], first["end"]) == ("Hello World.", 0.0, 0.29)
    assert (second["id"], second["text"]) == (1, "Bye --> now.")
    assert first["avg_logprob"] == second["avg_logprob"] == pytest.approx(math.log(0.5))
    assert (first["tokens"], first["no_speech_prob"]) == ([], 0.0)
    assert body["words"][1] == {"word": "World.", "start": 0.2, "end": 0.29}


def test_only_what_was_asked_for_is_there() -> None:
    assert "words" not in answer_of("verbose_json")
    assert "segments" not in answer_of("verbose_json", ("timestamp_granularities[]", "word"))


@given(st.lists(st.tuples(st.text(" ab。"), st.sampled_from(["en", "ja", ""]))))
def test_deltas_are_the_text_in_pieces(finals: list[tuple[str, str]]) -> None:
    deltas = Deltas()
    assert "".join(deltas.add(text, language) for text, language in finals) == join_finals(finals)
