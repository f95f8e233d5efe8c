"""What a query of `/v1/listen` asks for: the streams that it starts, its warnings, its refusals."""

from __future__ import annotations

import pytest

from gateway.doors.deepgram.options import live, recorded
from gateway.doors.steps import RefusedError
from gateway.protocol.formats import parse_format
from gateway.protocol.negotiation import StreamSpec, negotiate

RAW = [("encoding", "linear16"), ("sample_rate", "16000")]


def test_the_defaults_are_deepgrams() -> None:
    wishes = live(RAW)
    [start] = wishes.starts
    assert start.format == "audio/pcm;rate=16000;channels=1;encoding=s16le"
    assert (start.language, start.mode, start.interim_results) == ("en", "live", False)
    assert start.endpointing_ms is None
    assert wishes.warnings == []


@pytest.mark.parametrize(
    ("encoding", "more", "mime"),
    [
        ("linear32", {"sample_rate": "48000", "channels": "2"}, "audio/pcm;rate=48000;channels=2;encoding=f32le"),
        ("mulaw", {}, "audio/pcm;rate=8000;channels=1;encoding=mulaw"),
        ("alaw", {"sample_rate": "16000"}, "audio/pcm;rate=16000;channels=1;encoding=alaw"),
        ("opus", {"sample_rate": "48000"}, "audio/opus"),
        ("ogg-opus", {}, "audio/ogg;codecs=opus"),
        ("flac", {}, "audio/flac"),
        ("amr-nb", {}, "audio/amr"),
    ],
)
def test_encodings_are_formats_that_the_gateway_knows(encoding: str, more: dict[str, str], mime: str) -> None:
    [start] = live([("encoding", encoding), *more.items()]).starts
    assert start.format == mime
    assert parse_format(mime).mime_type.startswith("audio/")
    assert isinstance(negotiate(start, "s"), StreamSpec)


def test_containers_are_told_by_their_first_bytes() -> None:
    [start] = live([]).starts
    assert (start.kind, start.format) == ("audio", "audio")


def test_endpointing_below_what_workers_take_is_raised_and_said() -> None:
    wishes = live([*RAW, ("endpointing", "25")])
    assert wishes.starts[0].endpointing_ms == 100
    assert wishes.warnings == [("endpointing", "counts as 100 ms")]


def test_words_to_expect_come_from_keyterm_and_keywords() -> None:
    words = ("Deepgram", "snuffle:2", "C:drive:1.5", "never:-3")
    wishes = live([*RAW, ("keyterm", "tretinoin"), *(("keywords", word) for word in words)])
    assert wishes.starts[0].hotwords == ["tretinoin", "Deepgram", "snuffle", "C:drive"]
    assert wishes.warnings == [
        ("keywords", "a word of negative weight is not suppressed"),
        ("keywords", "weights are ignored"),
    ]


def test_options_that_count_only_with_another_are_named() -> None:
    assert live([*RAW, ("language", "de"), ("language_hint", "fr")]).warnings == [
        ("language_hint", "counts only with language=multi")
    ]
    wishes = recorded([*RAW, ("language", "de"), ("detect_language", "true")])
    assert (wishes.starts[0].language, wishes.warnings) == ("de", [("detect_language", "the option language decides")])
    assert recorded([*RAW, ("detect_language", "true")]).warnings == []


def test_several_languages_are_decided_segment_by_segment() -> None:
    [start] = live([*RAW, ("language", "multi"), ("language_hint", "en"), ("language_hint", "fr")]).starts
    assert (start.language, start.languages) == ("auto", ["en", "fr"])
    [start] = live([*RAW, ("language", "multi")]).starts
    assert len(start.languages) == 10
    assert isinstance(negotiate(start, "s"), StreamSpec)


def test_channels_are_mixed_or_kept_apart() -> None:
    both = [*RAW, ("channels", "2")]
    [mixed] = live(both).starts
    assert mixed.format == "audio/pcm;rate=16000;channels=2;encoding=s16le"
    left, right = live([*both, ("multichannel", "true")]).starts
    assert left.format == right.format == "audio/pcm;rate=16000;channels=1;encoding=s16le"
    assert left.stream_id != right.stream_id


@pytest.mark.parametrize(
    "query",
    [
        [("encoding", "speex")],
        [("encoding", "linear16")],
        [*RAW, ("channels", "0")],
        [*RAW, ("sample_rate", "x"), ("channels", "x")],
        [*RAW, ("redact", "pci")],
        [*RAW, ("diarize", "true")],
        [*RAW, ("profanity_filter", "true")],
        [*RAW, ("callback", "https://example.com")],
        [*RAW, ("utterance_end_ms", "10")],
        [*RAW, ("endpointing", "soon")],
        [*RAW, ("keyterm", "x" * 65)],
        [("multichannel", "true")],
    ],
)
def test_what_would_change_the_meaning_is_refused(query: list[tuple[str, str]]) -> None:
    with pytest.raises(RefusedError):
        live(query)


def test_switches_that_are_off_are_no_reason_to_refuse() -> None:
    off = ["diarize", "profanity_filter", "redact", "detect_entities", "multichannel", "interim_results"]
    assert live([*RAW, *((name, "false") for name in off)]).warnings == []


def test_a_recording_is_a_stream_of_mode_file() -> None:
    wishes = recorded([("detect_language", "true"), ("utterances", "true"), ("utt_split", "1.2")])
    [start] = wishes.starts
    assert (start.mode, start.language, start.format) == ("file", "auto", "audio")
    assert (wishes.utterances, wishes.utterance_split_ms, wishes.detect_language) == (True, 1200, True)
    with pytest.raises(RefusedError):
        recorded([("utt_split", "nan")])
