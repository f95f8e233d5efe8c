"""Calls as raw samples: what the first message or the query says, and what comes back."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.doors.steps import Close, RefusedError, ToClient, ToSession
from gateway.doors.telephony.plain import PlainCall, format_of, given_options
from gateway.protocol import messages as m

NOW = 1_790_000_000.0


def call(mime: str, **query: str) -> PlainCall:
    return PlainCall(given_options(query.items()), mime, NOW)


@pytest.mark.parametrize(
    ("text", "mime"),
    [
        ('{"event":"websocket:connected","content-type":"audio/l16;rate=16000","caller":"1"}', "audio/l16;rate=16000"),
        ('{"callSid":"x","mixType":"stereo","sampleRate":8000}', "audio/l16;rate=8000;channels=2"),
        ("MEDIA_START connection_id:x channel:y format:ulaw optimal_frame_size:160 ptime:20", "audio/pcmu"),
        ("MEDIA_START connection_id:x channel:y format:slin16 ptime:20", "audio/l16;rate=16000"),
        ("MEDIA_START format:g729", None),
        ("hello", None),
        ("{}", None),
        ("[" * 100_000, None),
    ],
)
def test_the_first_message_names_the_format(text: str, mime: str | None) -> None:
    assert format_of(text) == mime


@pytest.mark.parametrize(
    ("mime", "normal"),
    [
        ("audio/l16;rate=8000", "audio/pcm;rate=8000;channels=1;encoding=s16le"),
        ("audio/L16; rate=16000; endianness=big-endian", "audio/pcm;rate=16000;channels=1;encoding=s16be"),
        ("audio/pcmu", "audio/pcm;rate=8000;channels=1;encoding=mulaw"),
        ("audio/x-alaw", "audio/pcm;rate=8000;channels=1;encoding=alaw"),
    ],
)
def test_samples_of_16_bits_are_little_endian(mime: str, normal: str) -> None:
    [start] = call(mime).starts
    assert start.format == normal


@pytest.mark.parametrize("mime", ["audio/webm", "audio", "nonsense", "audio/l16", "audio/l16;rate=1"])
def test_other_formats_are_refused(mime: str) -> None:
    with pytest.raises(RefusedError):
        call(mime)


def test_two_channels_are_mixed_or_kept_apart() -> None:
    [mixed] = call("audio/l16;rate=8000;channels=2").starts
    assert mixed.format == "audio/pcm;rate=8000;channels=2;encoding=s16le"
    talk = call("audio/l16;rate=8000;channels=2", multichannel="true")
    left, right = talk.starts
    assert left.format == right.format == "audio/pcm;rate=8000;channels=1;encoding=s16le"
    steps: list[Any] = list(talk.receive_bytes(b"LlRrLlRr", NOW))
    assert [(step.message.stream_id, step.message.payload) for step in steps] == [
        (left.stream_id, b"LlLl"),
        (right.stream_id, b"RrRr"),
    ]


@pytest.mark.parametrize(("query", "count"), [({}, 0), ({"events": "true"}, 1)])
def test_text_comes_back_only_if_it_is_wanted(query: dict[str, str], count: int) -> None:
    talk = call("audio/pcmu", **query)
    stream_id = str(talk.starts[0].stream_id)
    data = m.TranscriptData(
        stream_id=stream_id, segment_id=1, revision=1, is_final=True, text="x", stable_chars=1, confidence=1,
        language="en", start_ms=0, end_ms=1, words=[],
    )  # fmt: skip
    steps = list(talk.on_message(m.TranscriptUpdate(stream_id=stream_id, text="x", confidence=1, data=data), NOW))
    assert len(steps) == count
    assert all(isinstance(step, ToClient) and b'"transcript_update"' in step.payload for step in steps)


def test_stop_ends_the_call_after_the_last_words() -> None:
    talk = call("audio/pcmu")
    stream_id = str(talk.starts[0].stream_id)
    assert list(talk.receive_text('{"event":"stop"}', NOW)) == [ToSession(m.StreamEnd(stream_id=stream_id))]
    assert list(talk.receive_text('{"event":"stop"}', NOW)) == list(talk.receive_bytes(b"late", NOW)) == []
    data = m.StreamEndedData(
        stream_id=stream_id, chunks=1, bytes=2, media_seconds=1.5, segments=1, gaps=0, missing_chunks=0,
        damaged_bytes=0, speech_without_words_ms=0, duplicate_chunks=0, orphan_chunks=0, dropped=m.DroppedData(),
        failovers=0, text="", text_id="",
    )  # fmt: skip
    assert list(talk.on_message(m.StreamEnded(stream_id=stream_id, data=data), NOW)) == [Close(1000)]


def test_keys_that_were_pressed_say_nothing() -> None:
    talk = call("audio/pcmu")
    assert list(talk.receive_text('{"event":"websocket:dtmf","digit":"5"}', NOW)) == []
    assert isinstance(next(iter(talk.receive_bytes(b"x", NOW))), ToSession)
