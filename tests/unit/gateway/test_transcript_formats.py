"""The formats of a transcript."""

import json

import pytest

from gateway.transcript import Segment, StreamTranscript, Transcript, Word
from gateway.transcript_formats import FORMATS, render

WORDS = (Word("Bonjour", 0, 500, 0.9), Word("<toi>", 600, 1200, 0.8))
FIRST = StreamTranscript(
    "abc",
    100.0,
    True,
    (
        Segment(1, " Bonjour <toi>\n& --> moi", "fr", 0.94, 0, 1234, WORDS),
        Segment(2, "Ça va ?", "fr", 0.9, 3_600_500, 3_661_007),
    ),
)
SECOND = StreamTranscript("def", 107.5, False, (Segment(1, "Oui.", "fr", 0.8, 500, 900),))
TRANSCRIPT = Transcript("s1", 99.0, (FIRST, SECOND))


def test_txt() -> None:
    assert render(TRANSCRIPT, "txt").body == "Bonjour <toi> & --> moi\nÇa va ?\nOui.\n"


def test_srt_places_later_streams_where_they_began() -> None:
    assert render(TRANSCRIPT, "srt").body == (
        "1\n00:00:00,000 --> 00:00:01,234\nBonjour <toi> & -> moi\n\n"
        "2\n00:00:08,000 --> 00:00:08,400\nOui.\n\n"
        "3\n01:00:00,500 --> 01:01:01,007\nÇa va ?\n"
    )


def test_vtt_escapes() -> None:
    body = render(TRANSCRIPT.for_stream("abc"), "vtt").body
    assert body.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.234\nBonjour &lt;toi&gt; &amp; --&gt; moi\n\n")


@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_cues_of_two_streams_stand_in_the_order_in_which_they_begin(name: str) -> None:
    def asked(stream_id: str, *starts: int) -> StreamTranscript:
        segments = (Segment(number, f"{stream_id} {at}.", "en", 0.9, at, at + 900) for number, at in enumerate(starts))
        return StreamTranscript(stream_id, 100.0, True, tuple(segments))

    both = Transcript("s1", 99.0, (asked("host", 0, 4000, 8000), asked("guest", 2000, 4000, 6000)))
    spoken = [line for line in render(both, name).body.splitlines() if line.startswith(("host", "guest"))]
    assert spoken == ["host 0.", "guest 2000.", "host 4000.", "guest 4000.", "guest 6000.", "host 8000."]


def test_json_contains_everything() -> None:
    body = json.loads(render(TRANSCRIPT, "json").body)
    assert body["session_id"] == "s1"
    assert [stream["stream_id"] for stream in body["streams"]] == ["abc", "def"]
    assert body["streams"][1]["text"] == "Oui."
    assert body["streams"][0]["segments"][0]["words"][1] == {
        "word": "<toi>",
        "start_ms": 600,
        "end_ms": 1200,
        "confidence": 0.8,
    }
    assert body["text"].endswith("Oui.")


def test_talkup() -> None:
    body = json.loads(render(TRANSCRIPT.for_stream("def"), "talkup").body)
    assert body == {"transcripts": [{"content": "Oui.", "who_stated": "user"}]}


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_transcript_is_not_an_error(name: str) -> None:
    assert render(Transcript("s1", 0.0), name).content_type == FORMATS[name][0]


def test_languages_without_spaces_are_joined_without() -> None:
    finals = (("東京へ", "ja"), ("行く。", "ja"), ("Yes.", "en"), ("好", "zh-CN"), (" ", "zh"), ("的", "zh"))
    segments = tuple(
        Segment(number, text, language, 0.9, number * 1000, number * 1000 + 900)
        for number, (text, language) in enumerate(finals, start=1)
    )
    shown = json.loads(render(Transcript("s1", 0.0, (StreamTranscript("a", 0.0, True, segments),)), "json").body)
    assert shown["text"] == shown["streams"][0]["text"] == "東京へ行く。 Yes. 好的"


@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_a_long_cue_has_lines_that_fit_on_a_screen(name: str) -> None:
    said = "Ask not what your country can do for you, ask what you can do for it."
    stream = StreamTranscript("a", 0.0, True, (Segment(1, said, "en", 0.9, 0, 5_000),))
    shown = render(Transcript("s1", 0.0, (stream,)), name).body
    assert "Ask not what your country can do for you,\nask what you can do for it.\n" in shown
