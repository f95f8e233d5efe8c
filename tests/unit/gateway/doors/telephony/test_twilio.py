"""Golden calls in Twilio's dialect."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway.doors.steps import Close, CountRefusal, RefusedError, ToSession
from gateway.doors.telephony.ordering import MOST_BYTES, WAIT_S
from gateway.doors.telephony.twilio import TwilioCall, read
from gateway.protocol import messages as m
from gateway.protocol.errors import Code
from gateway.protocol.negotiation import StreamSpec, negotiate

NOW = 1_790_000_000.0
SID = "MZ18ad3ab5a668481ce02b83e7395059f0"


def start(**more: Any) -> str:
    described = {
        "streamSid": SID,
        "accountSid": "AC123",
        "callSid": "CA123",
        "tracks": ["inbound", "outbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"FirstName": "Jane", "language": "en"},
        **more,
    }
    return json.dumps({"event": "start", "sequenceNumber": "1", "start": described, "streamSid": SID})


def media(number: int, payload: bytes, track: str = "inbound") -> str:
    part = {"track": track, "chunk": "1", "timestamp": "5", "payload": base64.b64encode(payload).decode()}
    return json.dumps({"event": "media", "sequenceNumber": str(number), "media": part, "streamSid": SID})


def stop(number: int) -> str:
    return json.dumps({"event": "stop", "sequenceNumber": str(number), "stop": {"accountSid": "A", "callSid": "C"}})


def call(**more: Any) -> TwilioCall:
    opening = read(start(**more))
    assert opening is not None
    return TwilioCall(opening)


def said(steps: Any) -> list[Any]:
    return [step.message if isinstance(step, ToSession) else step for step in steps]


def ended(track: str) -> m.StreamEnded:
    data = m.StreamEndedData(
        stream_id=f"{track}-{SID}", chunks=1, bytes=2, media_seconds=1.5, segments=1, gaps=0, missing_chunks=0,
        damaged_bytes=0, speech_without_words_ms=0, duplicate_chunks=0, orphan_chunks=0, dropped=m.DroppedData(),
        failovers=0, text="", text_id="",
    )  # fmt: skip
    return m.StreamEnded(stream_id=f"{track}-{SID}", data=data)


def test_each_track_is_a_stream_of_mu_law() -> None:
    inbound, outbound = call().starts
    assert (inbound.stream_id, outbound.stream_id) == (f"inbound-{SID}", f"outbound-{SID}")
    assert inbound.language == "en"
    spec = negotiate(inbound, "s")
    assert isinstance(spec, StreamSpec)
    assert spec.format.mime_type == "audio/pcm;rate=8000;channels=1;encoding=mulaw"


def test_media_go_to_their_tracks_in_the_order_of_their_numbers() -> None:
    talk = call()
    assert said(talk.receive_text(media(3, b"out", "outbound"), NOW)) == []
    assert said(talk.receive_text(media(2, b"in"), NOW)) == [
        m.StreamChunk(stream_id=f"inbound-{SID}", payload=b"in"),
        m.StreamChunk(stream_id=f"outbound-{SID}", payload=b"out"),
    ]
    assert said(talk.receive_text(media(3, b"out", "outbound"), NOW)) == []


def test_a_lost_message_holds_the_call_up_for_a_second_at_most() -> None:
    talk = call()
    talk.receive_text(media(4, b"late"), NOW)
    assert talk.deadline() == NOW + WAIT_S
    assert said(talk.tick(NOW + WAIT_S)) == [m.StreamChunk(stream_id=f"inbound-{SID}", payload=b"late")]
    assert talk.missing == 2


@pytest.mark.parametrize("number", [-1, 2**63, 10**4000], ids=["negative", "64 bits", "4000 digits"])
def test_a_number_that_would_fill_the_log_is_none_of_twilios(number: int) -> None:
    talk = call()
    assert said(talk.receive_text(media(number, b"x"), NOW)) == [CountRefusal()]
    assert talk.deadline() is None
    assert talk.missing == 0
    assert read(start().replace('"sequenceNumber": "1"', f'"sequenceNumber": "{number}"')) is None


def test_large_messages_that_overtook_others_do_not_fill_the_memory() -> None:
    talk, size = call(), 40_000
    heard = [each for number in range(3, 503) for each in said(talk.receive_text(media(number, bytes(size)), NOW))]
    assert 500 - len(heard) <= MOST_BYTES / size


def test_marks_and_keys_say_nothing() -> None:
    talk = call()
    mark = {"event": "mark", "sequenceNumber": "2", "mark": {"name": "x"}}
    keys = {"event": "dtmf", "sequenceNumber": "3", "dtmf": {"track": "inbound_track", "digit": "1"}}
    assert said(talk.receive_text(json.dumps(mark), NOW)) == said(talk.receive_text(json.dumps(keys), NOW)) == []
    assert len(said(talk.receive_text(media(4, b"x"), NOW))) == 1


def test_a_stop_ends_both_tracks_and_the_socket_closes_after_the_last_words() -> None:
    talk = call()
    assert said(talk.receive_text(stop(2), NOW)) == [
        m.StreamEnd(stream_id=f"inbound-{SID}"),
        m.StreamEnd(stream_id=f"outbound-{SID}"),
    ]
    assert said(talk.receive_text(media(3, b"x"), NOW)) == []
    assert said(talk.on_message(ended("inbound"), NOW)) == []
    assert said(talk.on_message(ended("outbound"), NOW)) == [Close(1000)]


def test_nothing_is_ever_sent_to_twilio() -> None:
    talk = call()
    data = m.TranscriptData(
        stream_id=f"inbound-{SID}", segment_id=1, revision=1, is_final=True, text="x", stable_chars=1, confidence=1,
        language="en", start_ms=0, end_ms=1, words=[],
    )  # fmt: skip
    assert (
        said(talk.on_message(m.TranscriptUpdate(stream_id=data.stream_id, text="x", confidence=1, data=data), NOW))
        == []
    )
    assert said(talk.receive_text("nonsense", NOW)) == said(talk.receive_bytes(b"x", NOW)) == [CountRefusal()]


def test_a_stream_without_a_slot_closes_the_call_as_busy() -> None:
    talk = call(tracks=["inbound"])
    error = m.ErrorData(code=str(Code.BUSY), message="every worker slot is taken", retryable=True, stream_id="x")
    talk.on_message(m.ErrorMessage(data=error), NOW)
    [close] = said(talk.on_message(ended("inbound"), NOW))
    assert (close.code, close.reason) == (1013, "busy: every worker slot is taken")


@pytest.mark.parametrize("code", [Code.WORKER_FAILED, Code.DEADLINE_EXCEEDED, Code.INTERNAL])
def test_a_failure_closes_the_call_as_one(code: Code) -> None:
    talk = call(tracks=["inbound"])
    talk.on_message(m.ErrorMessage(data=m.ErrorData(code=str(code), message="no", retryable=True, stream_id="x")), NOW)
    [close] = said(talk.on_message(ended("inbound"), NOW))
    assert close.code == 1011


@pytest.mark.parametrize(
    "more",
    [
        {"tracks": []},
        {"tracks": ["sideways"]},
        {"mediaFormat": {"encoding": "audio/opus"}},
        {"customParameters": {"endpointing_ms": "soon"}},
    ],
)
def test_a_call_that_cannot_be_transcribed_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        call(**more)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"event":1}', '{"event":"media","media":{"payload":"***"}}', "[" * 99999]
)
def test_what_is_not_twilios_is_no_message(text: str) -> None:
    assert read(text) is None


def test_a_start_does_not_show_its_parameters() -> None:
    opening = read(start(customParameters={"token": "secret-token"}))
    assert "secret-token" not in repr(opening)
