"""What a gateway may write, and that nothing else ends the client's reader without a word."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from talkup_client import (
    AnalysisResult,
    Delivery,
    DeliveryFrame,
    DeliverySummary,
    DeliveryWindow,
    Measure,
    Moment,
    PacePoint,
    PauseBucket,
)
from talkup_client.errors import BadAnswerError
from talkup_client.events import ErrorReceived, parse

from bench.harness.schema_check import spoken
from gateway.protocol import messages

ACKNOWLEDGE = '{"type":"acknowledge","data":{"stream_id":"s","received":%s,"committed":0,"next_sequence":1%s}}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"type":"pong"}',
        ACKNOWLEDGE % ("1e999", ""),
        ACKNOWLEDGE % ("1", ',"flush_id":[]'),
        ACKNOWLEDGE % ("1", ',"handle":{}'),
        "[" * 200_000,
    ],
)
def test_what_is_no_message_is_a_bad_answer(text: str) -> None:
    with pytest.raises(BadAnswerError):
        parse(text)


def test_an_error_names_its_stream_as_text() -> None:
    assert parse('{"type":"error","data":{"stream_id":["s"]}}') == ErrorReceived("['s']", {"stream_id": ["s"]})


def test_delivery_has_the_types_of_the_protocol() -> None:
    """Every field of the protocol's classes, whatever a later version adds."""
    bucket = {"from_ms": 2000, "to_ms": None, "within_sentences": 1, "between_sentences": 2}
    moment = {"type": "fastest", "t0_ms": 1, "t1_ms": 2, "words": "so it is"}
    summary = {"whole": None, "pace": [{"media_time_ms": 5, "words_per_minute": 133.5}], "pauses": [bucket]}
    frame = {"t0_ms": 0, "t1_ms": 1000, "pitch_hz": {"value": 120.5, "confidence": 0.9}, "pause_ms": 7}
    parts = {"window": {"words": 20}, "frame": frame, "summary": {**summary, "moments": [moment]}}
    message = spoken("analysis_result", {"stream_id": "s", "service_type": "delivery", "delivery": parts})
    message["data"]["delivery"]["frame"]["of_a_later_version"] = 1
    result = parse(json.dumps(message))
    assert isinstance(result, AnalysisResult)
    said = result.delivery
    assert said is not None
    assert said.frame is not None
    assert (said.frame.pitch_hz, said.frame.loudness_lufs, said.frame.pause_ms) == (Measure(120.5, 0.9), None, 7)
    assert said.window is not None
    assert (said.window.words, said.window.filled_pauses) == (20, None)
    assert said.summary == DeliverySummary(
        None, (PacePoint(5, 133.5),), (PauseBucket(2000, None, 1, 2),), (Moment("fastest", 1, 2, "so it is"),)
    )


def test_vision_has_no_delivery() -> None:
    result = parse(json.dumps(spoken("analysis_result", {"stream_id": "s", "service_type": "vision"})))
    assert isinstance(result, AnalysisResult)
    assert result.delivery is None


def test_the_client_knows_every_field_of_delivery() -> None:
    for mine, theirs in (
        (DeliveryFrame, messages.DeliveryFrameData),
        (DeliveryWindow, messages.DeliveryWindowData),
        (DeliverySummary, messages.DeliverySummaryData),
        (Delivery, messages.DeliveryData),
    ):
        assert [field.name for field in fields(mine)] == list(theirs.__struct_fields__)
