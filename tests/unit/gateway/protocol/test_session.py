"""The session as a client and a worker see it: frames and results in, actions out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from talkup.v1 import analysis_pb2, error_pb2, media_pb2, task_pb2, transcript_pb2

from gateway.protocol import messages as m
from gateway.protocol.actions import (
    Authenticate,
    CancelTask,
    CloseSocket,
    FinishSession,
    OpenTask,
    ResumeSession,
    StoreSegment,
    StoreSession,
    StoreStreamEnd,
)
from gateway.protocol.errors import Code
from gateway.protocol.limits import Limits
from gateway.protocol.replies import refusal
from gateway.protocol.session import Session
from gateway.protocol.states import SessionPhase, StoreRelease
from gateway.protocol.status import GatewaySnapshot
from tests.unit.gateway.protocol.helpers import (
    BODY,
    EBML,
    STT,
    T0,
    VISION,
    b64,
    chunks,
    ended,
    errors,
    failed,
    final,
    key,
    open_session,
    requests,
    sent,
    text,
    transcript,
)

WEBM = "audio/webm;codecs=opus"
PCM = "audio/pcm;rate=16000;channels=1;encoding=s16le"


def started(session: Session, stream_id: str = "a", **fields: Any) -> list[Any]:
    return text(session, T0, type="stream_start", stream_id=stream_id, **{"format": PCM, **fields})


def chunk(session: Session, number: int | None, payload: bytes, now: float = T0, stream_id: str = "a") -> list[Any]:
    fields = {} if number is None else {"sequence": number}
    return text(session, now, type="stream_chunk", stream_id=stream_id, data=b64(payload), **fields)


def packet(session: Session, number: int, payload: bytes, now: float = T0) -> list[Any]:
    return text(session, now, type="audio", data=b64(payload), timestamp=1, mimeType=WEBM, sequenceNumber=number)


# --- connecting ---


def test_a_session_opens_with_its_terms() -> None:
    session = Session("s-1")
    (message,) = sent(session.connected(T0, resume_token="tok", expires_at=99))
    assert message["type"] == "session"
    assert message["timestamp"] == int(T0)
    assert message["protocol_version"] == "1.0"
    assert message["data"].items() >= {"session_id": "s-1", "resume_token": "tok", "expires_at": 99}.items()
    assert message["data"]["resumed"] is False
    assert message["data"]["streams"] == []


def test_auth_by_message() -> None:
    session = Session("s-1")
    session.await_auth(T0)
    assert errors(text(session, T0, type="ping")) == ["unauthenticated"]
    assert errors(session.receive_binary(b"x", T0)) == ["unauthenticated"]
    assert text(session, T0, type="auth", data={"token": "good"}) == [Authenticate("good")]
    assert "good" not in repr(Authenticate("good"))
    assert sent(session.connected(T0, resume_token="t", expires_at=1), "session")
    assert session.tick(T0 + 60) == []
    assert text(session, T0, type="auth", token="again") == [Authenticate("again")]


def test_no_credential_in_time_closes_4401() -> None:
    session = Session("s-1")
    session.await_auth(T0)
    assert session.next_deadline() == T0 + 5
    assert session.tick(T0 + 4.9) == []
    actions = session.tick(T0 + 5)
    assert errors(actions) == ["unauthenticated"]
    assert actions[-1] == CloseSocket(4401, "unauthenticated")


def test_a_wrong_credential_closes_4401_and_a_forbidden_one_4403() -> None:
    session = Session("s-1")
    session.await_auth(T0)
    assert session.refused()[-1] == CloseSocket(4401, "unauthenticated")
    assert session.refused(code=Code.PERMISSION_DENIED)[-1] == CloseSocket(4403, "permission_denied")


def test_refusals_carry_their_close_code() -> None:
    assert refusal(Code.SUPERSEDED, "a newer connection took over")[-1] == CloseSocket(1000, "superseded")
    assert refusal(Code.BUSY, "no room")[-1] == CloseSocket(1013, "busy")


# --- basics ---


@pytest.mark.parametrize("sent_data", [{"n": 1, "deep": [{"x": None}]}, {}])
def test_ping_echoes_an_object_as_it_is(sent_data: dict[str, Any]) -> None:
    (pong,) = sent(text(open_session(), T0 + 1, type="ping", timestamp="2025-10-15T04:05:34Z", data=sent_data))
    assert pong["type"] == "pong"
    assert pong["data"].items() >= sent_data.items()
    assert pong["data"]["server_time_ms"] == int((T0 + 1) * 1000)
    assert pong["data"]["client_time_ms"] == 1760501134000


def test_ping_echoes_talkups_payload_and_other_data() -> None:
    (pong,) = sent(text(open_session(), T0, type="ping", payload={"message": "hi"}, data="abc"))
    assert pong["payload"] == pong["data"]["payload"] == {"message": "hi"}
    assert pong["data"]["echo"] == "abc"


def test_status_reports_services_session_and_limits() -> None:
    service = m.ServiceStatus(service="stt", workers_total=2, workers_serving=1, free_slots=3, models=["base"])
    session = open_session(gateway=lambda now: GatewaySnapshot("9", started_at=now - 10, services=(service,)))
    started(session)
    (status,) = sent(text(session, T0, type="status"))
    assert sent(session.receive_binary(b'{"type": "status"}', T0)) == [status]
    data = status["data"]
    assert (data["state"], data["version"], data["uptime_seconds"]) == ("serving", "9", 10)
    assert data["protocol_versions"] == ["1.0"]
    assert data["session"]["streams"][0]["stream_id"] == "a"
    assert data["services"][0]["free_slots"] == 3
    assert data["limits"]["max_open_streams"] == Limits().max_open_streams


BAD = [
    ("Hello WebSocket!", "bad_json", None),
    ("[1]", "bad_json", None),
    ("", "bad_json", None),
    ('{"a":1', "bad_json", None),
    ("[" * 100_000, "bad_json", None),
    ('{"data":{}}', "bad_message", "type"),
    ('{"type":7}', "bad_message", "type"),
    ('{"type":"message","payload":{}}', "unknown_type", "type"),
    ('{"type":"ping","protocol_version":"2.0"}', "unsupported_version", "protocol_version"),
    ('{"type":"ping","protocol_version":[1]}', "bad_message", "protocol_version"),
    ('{"type":"ping","timestamp":{}}', "bad_message", "timestamp"),
    ('{"type":"ping","data":{"timestamp":"soon"}}', "bad_message", "data.timestamp"),
    ('{"type":"stream_start","stream_id":5,"format":"audio/wav"}', "bad_message", "stream_id"),
    ('{"type":"stream_start","stream_id":"","format":"audio/wav"}', "bad_message", "stream_id"),
    ('{"type":"stream_start","stream_id":"b\\n","format":"audio/wav"}', "bad_message", "stream_id"),
    ('{"type":"stream_start"}', "bad_message", "format"),
    ('{"type":"stream_start","data":{"format":"audio/x-ms-wma"}}', "unsupported_format", "format"),
    ('{"type":"stream_start","data":{"format":"audio/wav","kind":"image"}}', "bad_message", "kind"),
    ('{"type":"stream_start","data":{"type":"smell","format":"audio/wav"}}', "bad_message", "data.type"),
    ('{"type":"stream_start","format":"audio/wav","services":["vision"]}', "bad_message", "services"),
    ('{"type":"stream_start","format":"audio/wav","services":["taste"]}', "bad_message", "services"),
    ('{"type":"stream_start","format":"audio/wav","data":{"language":"not a tag"}}', "bad_message", "data.language"),
    ('{"type":"stream_start","format":"audio/wav","data":{"mode":"fast"}}', "bad_message", "data.mode"),
    ('{"type":"stream_start","format":"audio/pcm","sample_rate":1}', "bad_message", "sample_rate"),
    ('{"type":"stream_start","stream_id":"a","format":"audio/wav"}', "stream_exists", "stream_id"),
    ('{"type":"stream_chunk","stream_id":"zzz","data":"AAAA"}', "unknown_stream", "stream_id"),
    ('{"type":"stream_chunk","stream_id":"a","data":"A*=="}', "bad_payload", "data"),
    ('{"type":"stream_chunk","stream_id":"a","data":{"chunk":"é"}}', "bad_payload", "data.chunk"),
    ('{"type":"stream_chunk","stream_id":"a","data":{"chunk":7}}', "bad_message", "data.chunk"),
    ('{"type":"stream_chunk","stream_id":"a"}', "bad_message", "data"),
    ('{"type":"stream_chunk","stream_id":"a","sequence":-1,"data":""}', "bad_message", "sequence"),
    ('{"type":"stream_chunk","stream_id":"a","sequence":"1","data":""}', "bad_message", "sequence"),
    ('{"type":"stream_chunk","stream_id":"a","sequenceNumber":4294967296,"data":""}', "bad_message", "sequenceNumber"),
    ('{"type":"stream_flush","stream_id":"zzz"}', "unknown_stream", "stream_id"),
    ('{"type":"stream_end","data":{"stream_id":"zzz"}}', "unknown_stream", "stream_id"),
    ('{"type":"session_resume","token":"t"}', "bad_message", "session_id"),
    ('{"type":"session_resume","session_id":"x"}', "bad_message", "token"),
    ('{"type":"audio","data":"AAAA","mimeType":"audio/x-ms-wma"}', "unsupported_format", "format"),
]


@pytest.mark.parametrize(("frame", "code", "field"), BAD)
def test_bad_input_gets_its_code_and_field_and_disturbs_no_stream(frame: str, code: str, field: str | None) -> None:
    session = open_session()
    started(session)
    (error,) = sent(session.receive_text(frame, T0))
    assert error["type"] == "error"
    assert error["data"]["code"] == code
    assert error["data"].get("field") == field
    assert error["data"]["retryable"] is False
    assert [payload for _, payload, _, _ in chunks(chunk(session, 0, BODY))] == [BODY]


def test_an_error_about_a_stream_names_it() -> None:
    session = open_session()
    (error,) = sent(text(session, T0, type="stream_chunk", stream_id="q", data="!"))
    assert error["stream_id"] == error["data"]["stream_id"] == "q"


def test_errors_hold_no_secrets() -> None:
    session = open_session()
    secret = "s3cr3t" * 1000
    for frame in (
        {"type": "auth", "token": secret},
        {"type": "nothing", "key": secret},
        {"type": "stream_chunk", "stream_id": "a", "data": secret + "!"},
        {"type": "session_resume", "session_id": 5, "token": secret},
        {"type": secret},
    ):
        assert "s3cr3t" not in json.dumps(sent(text(session, T0, **frame)))


def test_messages_and_chunks_have_a_size() -> None:
    session = open_session(Limits(max_message_bytes=4000, max_chunk_bytes=1000))
    started(session)
    assert errors(chunk(session, 0, bytes(1001))) == ["payload_too_large"]
    assert errors(chunk(session, 0, bytes(1400))) == ["payload_too_large"]
    assert errors(session.receive_binary(bytes(1001), T0)) == ["payload_too_large"]
    assert session.receive_text("x" * 4001, T0)[-1] == CloseSocket(1009, "payload_too_large")
    assert session.receive_binary(bytes(4001), T0)[-1] == CloseSocket(1009, "payload_too_large")


def test_control_messages_are_limited_and_chunks_are_not() -> None:
    session = open_session(Limits(control_burst=5, control_per_second=1.0, max_refused=10))
    started(session)
    assert [len(sent(text(session, T0, type="ping"), "pong")) for _ in range(5)] == [1, 1, 1, 1, 0]
    (error,) = sent(text(session, T0 + 0.9, type="ping") + text(session, T0 + 2.5, type="nothing"), "error")
    assert error["data"]["code"] in ("rate_limited", "unknown_type")
    assert all(chunks(chunk(session, number, BODY)) for number in range(50))
    actions = [action for _ in range(30) for action in text(session, T0 + 2.5, type="ping")]
    assert CloseSocket(1008, "rate_limited") in actions
    assert errors(actions).count("rate_limited") <= 3


REFUSED_CHUNKS = {
    "unknown stream": {"type": "stream_chunk", "stream_id": "nobody", "data": b64(BODY)},
    "bad base64": {"type": "stream_chunk", "stream_id": "a", "data": "A*=="},
    "too large": {"type": "stream_chunk", "stream_id": "a", "data": b64(bytes(1001))},
    "packet of an unknown format": {"type": "audio", "data": b64(BODY), "mimeType": "audio/x-ms-wma"},
}


@pytest.mark.parametrize("frame", REFUSED_CHUNKS.values(), ids=list(REFUSED_CHUNKS))
def test_refused_chunks_are_limited_like_refused_binary_frames(frame: dict[str, Any]) -> None:
    session = open_session(Limits(max_chunk_bytes=1000))
    started(session)
    actions = [action for _ in range(5000) for action in text(session, T0, **frame)]
    assert CloseSocket(1008, "rate_limited") in actions
    session = open_session(Limits(max_chunk_bytes=1000))
    binary = [action for _ in range(5000) for action in session.receive_binary(BODY, T0)]
    assert len(errors(actions)) <= len(errors(binary)) < 210


# --- streams ---


def test_the_languages_to_expect_go_to_the_worker() -> None:
    actions = started(open_session(), language="auto", languages=["en-GB", "fr"])
    assert list(requests(actions)[0].start.speech.languages) == ["en-GB", "fr"]
    refused = started(open_session(), languages=["en", "not a tag"])
    assert sent(refused, "error")[0]["data"]["field"] == "languages"


def test_the_mode_of_a_stream_reaches_its_worker() -> None:
    modes = {
        name: requests(started(open_session(), **fields))[0].start.speech.mode
        for name, fields in {"none": {}, "live": {"mode": "live"}, "file": {"mode": "file"}}.items()
    }
    unset, file = transcript_pb2.SPEECH_MODE_UNSPECIFIED, transcript_pb2.SPEECH_MODE_FILE
    assert modes == {"none": unset, "live": unset, "file": file}


def test_a_stream_from_start_to_end() -> None:
    session = open_session()
    actions = started(session, language="fr")
    start = requests(actions)[0]
    assert (start.session_id, start.stream_id, start.service_type, start.attempt) == ("s-1", "a", STT, 1)
    assert start.start.format.container == media_pb2.CONTAINER_PCM
    assert (start.start.speech.language, start.start.speech.interim_results) == ("fr", True)
    assert list(start.start.speech.languages) == []
    accepted = sent(actions, "acknowledge")[0]["data"]
    assert (accepted["accepted"], accepted["next_sequence"], accepted["handle"]) == (True, 0, 1)
    assert accepted["services"] == ["stt"]

    assert chunks(chunk(session, 0, BODY)) == [(0, BODY, False, 0)]
    (interim,) = sent(session.receive_result(key(), transcript(1, "Bonjour"), T0))
    assert (interim["stream_id"], interim["text"], interim["confidence"]) == ("a", "Bonjour", 0.94)
    assert (interim["data"]["is_final"], interim["data"]["segment_id"]) == (False, 1)

    actions = session.receive_result(key(), final(1, "Bonjour, toi.", replay_from=1), T0 + 0.1)
    assert isinstance(actions[0], StoreSegment)
    update, acknowledge = sent(actions)
    assert (update["data"]["is_final"], update["data"]["stable_chars"], update["data"]["revision"]) == (True, 13, 2)
    assert acknowledge["data"] == {"stream_id": "a", "received": 0, "committed": 0, "next_sequence": 1}

    (end,) = requests(text(session, T0, type="stream_end", stream_id="a"))
    assert end.WhichOneof("payload") == "end"
    assert errors(chunk(session, 1, BODY)) == ["unknown_stream"]
    session.receive_result(key(), final(2, "Au revoir."), T0)
    actions = session.receive_result(key(), ended(4000), T0)
    assert isinstance(actions[0], StoreStreamEnd)
    (over,) = sent(actions)
    assert over["type"] == "stream_ended"
    assert over["data"].items() >= {"text": "Bonjour, toi. Au revoir.", "chunks": 1, "bytes": 64, "segments": 2}.items()
    assert over["data"]["media_seconds"] == 4.0
    assert not session.busy
    assert session.receive_result(key(), final(3, "too late"), T0) == []


@pytest.mark.parametrize("was_ending", [False, True], ids=["open", "ending"])
def test_a_discarded_stream_ends_at_once_with_the_text_so_far(was_ending: bool) -> None:
    session = open_session()
    started(session)
    chunk(session, 0, BODY)
    session.receive_result(key(), final(1, "kept"), T0)
    text(session, type="stream_flush", stream_id="a", flush_id=7)
    if was_ending:
        text(session, type="stream_end", stream_id="a")
    actions = text(session, type="stream_end", stream_id="a", discard=True)
    assert [action.key for action in actions if isinstance(action, CancelTask)] == [key()]
    assert not requests(actions)
    flushed, over = sent(actions)
    assert (flushed["data"]["flush_id"], over["type"], over["data"]["text"]) == (7, "stream_ended", "kept")
    assert any(isinstance(action, StoreStreamEnd) for action in actions)
    assert session.receive_result(key(), final(2, "too late"), T0) == []
    assert not session.busy
    assert errors(text(session, type="stream_end", stream_id="a", discard=True)) == ["unknown_stream"]


def test_a_discarded_stream_of_two_services_keeps_its_count_of_frames() -> None:
    session = open_session()
    started(session, format="video/webm", services=["stt", "vision"])
    flow = task_pb2.Flow(dropped=[task_pb2.DropCount(reason=task_pb2.DROP_REASON_OVERLOAD, count=3)])
    session.receive_result(key(service=VISION), task_pb2.TaskResult(flow=flow), T0)
    (over,) = sent(text(session, type="stream_end", discard=True), "stream_ended")
    assert over["data"]["dropped"]["overload"] == 3
    assert not session.busy


def test_a_final_comes_once_and_nothing_of_its_segment_after_it() -> None:
    session = open_session()
    started(session)
    assert sent(session.receive_result(key(), final(1, "one"), T0))
    assert session.receive_result(key(), final(1, "one"), T0) == []
    assert session.receive_result(key(), transcript(1, "one more"), T0) == []
    revisions = [
        sent(session.receive_result(key(), transcript(2, "two", revision=revision), T0))[0]["data"]["revision"]
        for revision in (1, 2, 1, 9)
    ]
    assert revisions == [1, 2, 3, 9]


def test_interims_only_if_requested() -> None:
    session = open_session()
    started(session, interim_results=False)
    assert session.receive_result(key(), transcript(1, "one"), T0) == []
    assert sent(session.receive_result(key(), final(1, "one"), T0))


def test_acknowledgements_come_once_a_second_and_at_each_commit() -> None:
    session = open_session()
    started(session)
    assert all(not sent(chunk(session, number, BODY, T0 + 0.1 * number)) for number in range(5))
    assert session.next_deadline() == T0 + 1.0
    (ack,) = sent(session.tick(T0 + 1.0), "acknowledge")
    assert (ack["data"]["received"], ack["data"]["committed"]) == (4, -1)
    assert session.next_deadline() is None
    (ack,) = sent(
        session.receive_result(key(), task_pb2.TaskResult(progress=task_pb2.Progress(replay_from_sequence=3)), T0 + 1.1)
    )
    assert ack["data"]["committed"] == 2


def test_a_duplicate_is_dropped_and_acknowledged() -> None:
    session = open_session()
    started(session)
    chunk(session, 0, BODY, T0)
    session.tick(T0 + 1)
    assert chunks(chunk(session, 0, BODY, T0 + 1.5)) == []
    assert sent(session.tick(T0 + 2.5), "acknowledge")[0]["data"]["received"] == 0


def test_a_gap_is_reported_with_its_ends_and_passed_to_the_worker() -> None:
    session = open_session()
    started(session)
    chunk(session, 0, BODY)
    assert chunks(chunk(session, 3, BODY)) == []
    actions = session.tick(T0 + 2.0)
    (gap,) = sent(actions, "error")
    assert gap["data"].items() >= {"code": "gap", "stream_id": "a", "from": 1, "to": 2}.items()
    assert chunks(actions) == [(3, BODY, False, 2)]


def test_flush_is_answered_when_it_is_done() -> None:
    session = open_session()
    started(session)
    (request,) = requests(text(session, T0, type="stream_flush", stream_id="a", flush_id=70))
    flushed = task_pb2.TaskResult(flushed=task_pb2.Flushed(flush_id=request.flush.flush_id))
    (ack,) = sent(session.receive_result(key(), flushed, T0))
    assert ack["data"]["flush_id"] == 70


def test_raw_and_tagged_binary_frames() -> None:
    session = open_session()
    started(session)
    assert chunks(session.receive_binary(b"raw", T0)) == [(0, b"raw", False, 0)]
    handle = sent(started(session, "b", framing="tagged"), "acknowledge")[0]["data"]["handle"]
    tagged = bytes((0x54, 1, 0, handle, 0, 0, 0, 0)) + b"tagged"
    (request,) = requests(session.receive_binary(tagged, T0))
    assert (request.stream_id, request.chunk.payload) == ("b", b"tagged")
    (request,) = requests(session.receive_binary(b"raw again", T0))
    assert request.stream_id == "a"
    text(session, T0, type="stream_end", stream_id="a")
    assert errors(session.receive_binary(b"no header", T0)) == ["bad_payload"]
    assert errors(session.receive_binary(bytes((0x54, 1, 0, 99, 0, 0, 0, 0)), T0)) == ["unknown_stream"]
    text(session, T0, type="stream_end", stream_id="b")
    assert errors(session.receive_binary(b"nobody", T0)) == ["unknown_stream"]
    started(session, "c")
    assert chunks(session.receive_binary(b"raw", T0)) == [(0, b"raw", False, 0)]
    (late,) = sent(session.receive_binary(tagged, T0), "error")
    assert (late["data"]["code"], late["stream_id"]) == ("unknown_stream", "b")
    started(session, "c")
    started(session, "d")
    assert errors(session.receive_binary(b"whose?", T0)) == ["bad_message"]


def test_the_number_of_streams_is_limited() -> None:
    session = open_session(Limits(max_open_streams=2))
    started(session, "a")
    started(session, "b")
    (error,) = sent(started(session, "c"))
    assert (error["data"]["code"], error["data"]["retryable"]) == ("too_many_streams", True)
    text(session, T0, type="stream_end", stream_id="a")
    session.receive_result(key("a"), ended(), T0)
    assert not errors(started(session, "c"))
    assert errors(started(session, "a")) == ["stream_exists"]


def test_a_stream_does_not_start_if_no_service_has_room() -> None:
    waits: dict[int, int] = {STT: 2500}
    session = Session("s-1", busy=waits.get)
    session.connected(T0, resume_token="t", expires_at=0)
    start: dict[str, Any] = {"type": "stream_start", "stream_id": "a", "format": "audio/pcm"}
    actions = text(session, T0, **start)
    [refused] = sent(actions, "error")
    data = refused["data"]
    assert len(actions) == 1
    assert (data["code"], data["stream_id"], data["retry_after_ms"]) == ("busy", "a", 2500)
    both = {**start, "stream_id": "b", "format": "video/webm", "services": ["vision", "stt"]}
    assert sent(text(session, T0, **both), "acknowledge"), "vision has room"
    waits.clear()
    assert sent(text(session, T0, **start), "acknowledge"), "the name is free still"


def test_a_stream_without_a_name_is_given_one() -> None:
    session = open_session()
    actions = text(session, T0, type="stream_start", data={"type": "audio", "format": "audio"})
    assert sent(actions, "acknowledge")[0]["stream_id"] == "stream-1"
    assert chunks(text(session, T0, type="stream_chunk", data=b64(EBML))) == [(0, EBML, True, 0)]


def test_media_limits_end_the_stream_and_keep_its_text() -> None:
    session = open_session(Limits(max_stream_bytes=100))
    started(session)
    chunk(session, 0, BODY)
    actions = chunk(session, 1, BODY)
    assert errors(actions) == ["media_limit"]
    assert requests(actions)[-1].WhichOneof("payload") == "end"


# --- several services ---


def test_video_with_speech_has_two_calls_and_one_end() -> None:
    session = open_session()
    actions = started(session, format="video/webm;codecs=vp8,opus", services=["speech_to_text", "behavior_analyzer"])
    assert [action.key for action in actions if isinstance(action, OpenTask)] == [key("a", STT), key("a", VISION)]
    assert list(requests(actions)[1].start.vision.signals) == ["behavior_analyzer"]
    assert [(r.service_type, r.chunk.new_recording) for r in requests(chunk(session, 0, EBML))] == [
        (STT, True),
        (VISION, True),
    ]
    assert errors(session.receive_result(key("a", VISION), failed(error_pb2.ERROR_CODE_NO_WORKER), T0)) == ["no_worker"]
    assert [r.service_type for r in requests(chunk(session, 1, BODY))] == [STT]
    text(session, T0, type="stream_end", stream_id="a")
    assert sent(session.receive_result(key("a", STT), ended(), T0), "stream_ended")


def test_drops_are_reported_even_if_the_worker_that_counted_them_is_lost() -> None:
    session = open_session()
    started(session, format="image/jpeg")
    flow = task_pb2.Flow(frames_received=9, frames_analyzed=5)
    flow.dropped.add(reason=task_pb2.DROP_REASON_OVERLOAD, count=4)
    session.receive_result(key("a", VISION), task_pb2.TaskResult(flow=flow), T0)
    session.receive_result(key("a", VISION), task_pb2.TaskResult(flow=task_pb2.Flow(behind_ms=1)), T0)
    actions = session.receive_result(key("a", VISION), failed(error_pb2.ERROR_CODE_NO_WORKER), T0)
    (message,) = sent(actions, "stream_ended")
    assert message["data"]["dropped"] == {"overload": 4, "stale": 0, "corrupt": 0}


def test_damage_that_a_worker_counted_is_reported_at_the_end() -> None:
    session = open_session()
    started(session)
    text(session, T0, type="stream_end", stream_id="a")
    result = ended()
    result.ended.damaged_bytes = 300
    result.ended.speech_without_words_ms = 1_900
    (message,) = sent(session.receive_result(key("a", STT), result, T0), "stream_ended")
    assert message["data"]["damaged_bytes"] == 300
    assert message["data"]["speech_without_words_ms"] == 1_900


@pytest.mark.parametrize(
    ("timestamp", "captured"),
    [
        (None, None),
        (1_700_000_000, None),
        (1_700_000_000.25, 1_700_000_000_250),
        (1_700_000_000_250, 1_700_000_000_250),
    ],
)
def test_pictures_carry_when_they_were_taken_and_when_they_arrived(timestamp: object, captured: int | None) -> None:
    """Whole seconds do not say when a picture was taken."""
    session = open_session()
    started(session, format="image")
    actions = text(session, T0, type="stream_chunk", stream_id="a", data=b64(b"\xff\xd8\xff"), timestamp=timestamp)
    (request,) = requests(actions)
    found = request.chunk.capture_time_unix_ms if request.chunk.HasField("capture_time_unix_ms") else None
    assert found == captured
    assert request.chunk.received_unix_ms == round(T0 * 1000)


def test_audio_chunks_carry_no_arrival_time() -> None:
    session = open_session()
    started(session)
    (request,) = requests(chunk(session, 0, BODY))
    assert not request.chunk.HasField("received_unix_ms")


@pytest.mark.parametrize(
    ("worker_field", "client_field"),
    [
        ("start.format.container", "format"),
        ("vision.max_fps", "max_fps"),
        ("speech.languages", "languages"),
        ("start.kind", "kind"),
        ("chunk", "chunk"),
        ("", None),
    ],
)
def test_a_worker_s_field_is_reported_under_the_client_s_name_for_it(
    worker_field: str, client_field: str | None
) -> None:
    session = open_session()
    started(session)
    failure = failed(error_pb2.ERROR_CODE_BAD_MESSAGE, fatal=False)
    failure.error.field = worker_field
    (message,) = sent(session.receive_result(key(), failure, T0), "error")
    assert message["data"].get("field") == client_field


def test_a_stream_whose_every_service_failed_ends() -> None:
    session = open_session()
    started(session)
    actions = session.receive_result(key(), failed(error_pb2.ERROR_CODE_BUSY), T0)
    assert [message["type"] for message in sent(actions)] == ["error", "stream_ended"]
    assert sent(actions)[0]["data"]["retryable"] is True
    assert errors(chunk(session, 0, BODY)) == ["unknown_stream"]


def test_an_error_that_is_not_fatal_leaves_the_stream_open() -> None:
    session = open_session()
    started(session)
    assert errors(session.receive_result(key(), failed(error_pb2.ERROR_CODE_MEDIA_ERROR, fatal=False), T0)) == [
        "media_error"
    ]
    assert chunks(chunk(session, 0, BODY))


def test_vision_results_speech_events_and_flow() -> None:
    session = open_session()
    started(session, format="image/jpeg")
    frame = analysis_pb2.FrameSignals(
        face_count=1,
        face=analysis_pb2.Face(box=analysis_pb2.Box(x=0.25), score=0.5, track_id=3),
        head=analysis_pb2.HeadPose(yaw=analysis_pb2.Measure(value=2.5, confidence=0.5), relative=True),
    )
    events = [analysis_pb2.VisionEvent(type="smile", t0_ms=5, confidence=1)]
    analysis = analysis_pb2.Analysis(schema_version=1, media_time_ms=40, frame=frame, events=events)
    (message,) = sent(session.receive_result(key("a", VISION), task_pb2.TaskResult(analysis=analysis), T0))
    data = message["data"]
    assert (message["type"], data["service_type"], data["media_time_ms"], data["captured_at"]) == (
        "analysis_result",
        "vision",
        40,
        None,
    )
    assert data["frame"]["face"]["box"]["x"] == 0.25
    assert data["frame"]["head"] == {
        "yaw": {"value": 2.5, "confidence": 0.5},
        "pitch": None,
        "roll": None,
        "relative": True,
    }
    assert data["frame"]["mouth"] is None
    assert data["events"] == [{"type": "smile", "t0_ms": 5, "t1_ms": None, "confidence": 1.0}]

    flow = task_pb2.Flow(behind_ms=7, frames_received=5, frames_analyzed=3, suggested_fps=4)
    flow.dropped.add(reason=task_pb2.DROP_REASON_STALE, count=2)
    (message,) = sent(session.receive_result(key("a", VISION), task_pb2.TaskResult(flow=flow), T0))
    assert (message["data"]["behind_ms"], message["data"]["suggested_fps"]) == (7, 4)
    assert message["data"]["dropped"] == {"overload": 0, "stale": 2, "corrupt": 0}

    started(session, "s")
    event = transcript_pb2.SpeechEvent(type=transcript_pb2.SPEECH_EVENT_TYPE_SPEECH_ENDED, media_time_ms=9)
    (message,) = sent(session.receive_result(key("s"), task_pb2.TaskResult(speech_event=event), T0))
    assert message["data"] == {"stream_id": "s", "event": "speech_ended", "media_time_ms": 9}


def test_a_failover_is_reported_and_counted() -> None:
    session = open_session()
    started(session)
    chunk(session, 12, BODY)
    session.tick(T0 + 2)
    (flow,) = sent(session.task_failover(key(), 0))
    assert flow["data"]["failover"] == {"service_type": "stt", "replayed_from": 12}
    text(session, T0, type="stream_end", stream_id="a")
    assert sent(session.receive_result(key(), ended(), T0))[0]["data"]["failovers"] == 1


# --- TalkUp's web app ---


def test_a_packet_starts_its_stream() -> None:
    session = open_session()
    actions = packet(session, 0, EBML)
    assert requests(actions)[0].start.format.mime_type == WEBM
    assert chunks(actions) == [(0, EBML, True, 0)]
    assert sent(actions, "acknowledge")[0]["stream_id"] == "audio-1"
    assert chunks(packet(session, 1, BODY)) == [(1, BODY, False, 0)]
    ends = session.disconnected(T0, is_clean=True)
    assert [request.WhichOneof("payload") for request in requests(ends)] == ["end"]


def test_restart_of_the_recorder_over_a_resumed_socket() -> None:
    session = open_session()
    for number, payload in enumerate([EBML, BODY, BODY[1:]]):
        packet(session, number, payload)
    session.disconnected(T0, is_clean=False)
    session.connected(T0 + 5, resume_token="t", expires_at=1)
    assert chunks(packet(session, 3, b"queued while closing", T0 + 5)) == [(3, b"queued while closing", False, 0)]
    assert chunks(packet(session, 0, b"late blob of the old recorder", T0 + 5))[0][0::2] == (4, False)
    assert chunks(packet(session, 1, EBML + b"new", T0 + 5)) == [(5, EBML + b"new", True, 0)]
    assert chunks(packet(session, 2, b"its second blob", T0 + 5)) == [(6, b"its second blob", False, 0)]


def test_a_header_in_one_byte_slices() -> None:
    session = open_session()
    pieces = [EBML[:1], EBML[1:3], EBML[3:]]
    forwarded = [c for number, piece in enumerate(pieces) for c in chunks(packet(session, number, piece))]
    assert [(sequence, new) for sequence, _, new, _ in forwarded] == [(0, True), (1, False), (2, False)]
    again = [c for number, piece in enumerate(pieces) for c in chunks(packet(session, number, piece))]
    assert [(sequence, new) for sequence, _, new, _ in again] == [(3, True), (4, False), (5, False)]


@pytest.mark.parametrize("fmt", ["audio/webm", "audio/mp4", "audio/wav", "audio"])
@pytest.mark.parametrize("empty", [1, 40])
def test_empty_slices_before_the_header_are_no_orphans(fmt: str, empty: int) -> None:
    head = {"audio/mp4": b"\0\0\0\x18ftypisom", "audio/wav": b"RIFF\0\0\0\0WAVE"}.get(fmt, EBML)
    session = open_session()
    started(session, format=fmt, services=["stt"])
    slices = [*[b""] * empty, head, b"", BODY, b""]
    actions = [action for number, payload in enumerate(slices) for action in chunk(session, number, payload)]
    assert errors(actions) == []
    assert chunks(actions) == [(number, payload, number == empty, 0) for number, payload in enumerate(slices)]


def test_empty_slices_between_orphans_do_not_repeat_the_report() -> None:
    session = open_session()
    slices = [BODY, b"", BODY, b"", BODY]
    assert [errors(packet(session, number, payload)) for number, payload in enumerate(slices)] == [
        ["orphan_chunk"],
        *[[]] * 4,
    ]


def test_headerless_bytes_without_a_recording_are_reported_as_orphan_once() -> None:
    session = open_session()
    assert errors(packet(session, 0, BODY)) == ["orphan_chunk"]
    actions = packet(session, 1, BODY)
    assert (errors(actions), chunks(actions)) == ([], [])
    assert chunks(packet(session, 0, EBML)) == [(0, EBML, True, 0)]
    session.disconnected(T0, is_clean=True)
    (over,) = [
        action for action in session.receive_result(key("audio-1"), ended(), T0) if isinstance(action, StoreStreamEnd)
    ]
    assert over.ended.data.orphan_chunks == 2


@pytest.mark.parametrize("fmt", ["audio", "video"])
def test_under_a_name_that_says_nothing_the_worker_sees_every_byte(fmt: str) -> None:
    """It knows more formats than begin with a magic, and names those that it does not read."""
    session = open_session()
    started(session, format=fmt, services=["stt"])
    for number, payload in enumerate([BODY, BODY[1:]]):
        actions = chunk(session, number, payload)
        assert chunks(actions) == [(number, payload, number == 0, 0)]
        assert errors(actions) == []
    assert chunks(chunk(session, 2, EBML)) == [(2, EBML, True, 0)]


@pytest.mark.parametrize(
    ("fmt", "head"),
    [
        ("audio/wav", b"ID3\x04\0\0\0\0\0\x10"),
        ("audio/wav", b"RF64\xff\xff\xff\xffWAVEds64"),
        ("audio/wav", b"BW64\xff\xff\xff\xffWAVEds64"),
        ("audio/ogg", b"ID3\x03\0\0\0\0\0\x10"),
        ("audio/mp4", b"\0\0\0\x08wide\0\0\0\x10mdat"),
        ("video/quicktime", b"\0\0\x01\0moov\0\0\0\x6cmvhd"),
        ("audio/3gpp", b"#!AMR\n<"),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 100])
def test_a_first_recording_may_begin_with_a_tag_or_another_form(fmt: str, head: bytes, size: int) -> None:
    session = open_session()
    started(session, format=fmt, services=["stt"])
    pieces = [head[at : at + size] for at in range(0, len(head), size)]
    seen = [chunks(action) for action in [chunk(session, number, piece) for number, piece in enumerate(pieces)]]
    found = [each for group in seen for each in group]
    assert b"".join(payload for _, payload, _, _ in found) == head
    assert [new for _, _, new, _ in found] == [True] + [False] * (len(pieces) - 1)


def test_after_a_failed_implicit_stream_a_header_begins_another() -> None:
    session = open_session()
    packet(session, 0, EBML)
    session.receive_result(key("audio-1"), failed(error_pb2.ERROR_CODE_BUSY), T0)
    assert errors(packet(session, 1, BODY)) == ["orphan_chunk"]
    assert packet(session, 2, BODY) == []
    assert requests(packet(session, 0, EBML))[0].stream_id == "audio-2"


@pytest.mark.parametrize(
    ("field", "value", "form"),
    [
        ("language", "en_US", "language: must be a BCP-47 tag, such as en or en-US, or auto"),
        ("language", "français", "language: must be a BCP-47 tag, such as en or en-US, or auto"),
        ("languages", ["en", "de_DE"], "languages: must be a BCP-47 tag, such as en or en-US, or auto"),
        ("stream_id", "a\nb", "stream_id: must be text without control characters"),
    ],
)
def test_the_error_for_a_text_of_the_wrong_form_names_the_right_one(field: str, value: object, form: str) -> None:
    (message,) = sent(text(open_session(), T0, type="stream_start", format=PCM, **{field: value}), "error")
    assert (message["data"]["code"], message["data"]["message"]) == ("bad_message", form)


# --- resuming ---


def test_session_resume_requests_its_session() -> None:
    session = Session("new")
    session.await_auth(T0)
    for streams in ([{"stream_id": "a", "last_segment_id": 3}], {"a": 3}, {"a": {"last_segment_id": 3}}):
        frame = {"type": "session_resume", "data": {"session_id": "old", "token": "t", "streams": streams}}
        assert text(session, T0, **frame) == [ResumeSession("old", "t", {"a": 3})]
    assert errors(session.refused(code=Code.SESSION_EXPIRED)) == ["session_expired"]


def test_resume_reports_where_to_continue_and_resends_missed_finals() -> None:
    session = open_session()
    started(session)
    chunk(session, 0, BODY)
    chunk(session, 2, BODY)
    session.receive_result(key(), final(1, "one"), T0)
    session.receive_result(key(), final(2, "two"), T0)
    session.disconnected(T0, is_clean=False)
    assert session.phase is SessionPhase.DETACHED
    assert session.tick(T0 + 60) == []
    actions = session.receive_result(key(), final(3, "three"), T0 + 60)
    assert [type(action) for action in actions] == [StoreSegment]
    back = session.connected(T0 + 61, resume_token="t", expires_at=1, last_segment_ids={"a": 1, "unknown": 4})
    opening, *finals = sent(back)
    state = opening["data"]["streams"][0]
    assert (state["next_sequence"], state["last_segment_id"], state["state"]) == (1, 3, "open")
    assert [message["text"] for message in finals] == ["two", "three"]
    assert [c[0] for c in chunks(chunk(session, 1, BODY, T0 + 62))] == [1, 2]


def test_without_reported_segments_only_what_was_kept_is_sent() -> None:
    session = open_session()
    started(session)
    session.receive_result(key(), final(1, "seen"), T0)
    session.disconnected(T0, is_clean=False)
    session.receive_result(key(), transcript(2, "interim"), T0)
    session.receive_result(key(), final(2, "missed"), T0)
    session.receive_result(key(), failed(error_pb2.ERROR_CODE_WORKER_FAILED), T0)
    messages = sent(session.connected(T0, resume_token="t", expires_at=1))
    assert [message["type"] for message in messages] == ["session", "transcript_update", "error", "stream_ended"]
    assert len(sent(session.connected(T0, resume_token="t", expires_at=1))) == 1
    again = session.connected(T0, resume_token="t", expires_at=1, last_segment_ids={"a": 1})
    assert [message["type"] for message in sent(again)] == ["session", "transcript_update", "stream_ended"]


def test_when_the_grace_time_is_over_streams_end_and_results_are_stored() -> None:
    session = open_session()
    started(session)
    session.disconnected(T0, is_clean=False)
    assert [r.WhichOneof("payload") for r in requests(session.grace_over(T0 + 120))] == ["end"]
    assert [type(a) for a in session.receive_result(key(), final(1, "last words"), T0)] == [StoreSegment]
    assert [type(a) for a in session.receive_result(key(), ended(), T0)] == [StoreStreamEnd]
    late = session.connected(T0, resume_token="t", expires_at=1)
    assert errors(late) == ["session_expired"]
    assert isinstance(late[-1], CloseSocket)


def test_a_flush_beyond_the_bound_is_refused_and_all_earlier_ones_are_answered() -> None:
    session = open_session()
    text(session, type="stream_start", stream_id="a", format="audio/pcm")
    for number in range(64):
        assert len(requests(text(session, T0 + number, type="stream_flush", flush_id=1000 + number))) == 1
    (error,) = sent(text(session, T0 + 65, type="stream_flush", flush_id=2000))
    assert (error["data"]["code"], error["data"]["field"]) == ("rate_limited", "flush_id")
    flushed = task_pb2.TaskResult(flushed=task_pb2.Flushed(flush_id=64))
    answers = sent(session.receive_result(key(), flushed, T0 + 66), "acknowledge")
    assert [answer["data"]["flush_id"] for answer in answers] == [1000 + number for number in range(64)]
    assert requests(text(session, T0 + 67, type="stream_flush", flush_id=2001))


@pytest.mark.parametrize(("letter", "fits"), [("é", 450), ("€", 300)])
def test_the_bound_of_a_message_counts_bytes(letter: str, fits: int) -> None:
    session = open_session(Limits(max_message_bytes=1000))
    short = json.dumps({"type": "ping", "payload": letter * (fits - 40)}, ensure_ascii=False)
    assert sent(session.receive_text(short, T0))[0]["type"] == "pong"
    long = json.dumps({"type": "ping", "payload": letter * (fits + 60)}, ensure_ascii=False)
    assert len(long) < 1000
    assert len(long.encode()) > 1000
    assert errors(session.receive_text(long, T0)) == ["payload_too_large"]


def test_refused_chunks_count_against_the_rate_limit() -> None:
    session = open_session()
    chunk = b64(BODY)
    reported, closed = 0, 0
    while not closed:
        actions = text(session, T0, type="stream_chunk", stream_id="unknown", data=chunk)
        reported += len(errors(actions))
        closed = sum(isinstance(action, CloseSocket) for action in actions)
    # The burst, the report that it is used up, and the reason for the close.
    assert reported == Limits().control_burst + 2


def test_an_ending_session_cannot_be_joined_and_ends_with_its_last_stream() -> None:
    session = open_session()
    started(session)
    session.disconnected(T0, is_clean=False)
    session.grace_over(T0)
    assert session.phase is SessionPhase.ENDING
    assert errors(session.connected(T0, resume_token="t", expires_at=1)) == ["session_expired"]
    assert session.phase is SessionPhase.ENDING
    session.receive_result(key(), ended(), T0)
    assert session.last_stream_over() == [FinishSession(StoreRelease.CLOSED)]
    assert session.last_stream_over() == []
    assert session.next_deadline() is None


def test_streams_come_and_go_while_the_session_stays() -> None:
    session = open_session()
    assert session.last_stream_over() == []
    assert session.phase is SessionPhase.OPEN
    session.disconnected(T0, is_clean=True)
    assert session.last_stream_over() == []
    assert session.phase is SessionPhase.DETACHED


def test_a_socket_without_a_credential_leaves_nothing_behind() -> None:
    session = Session("s-1")
    session.await_auth(T0)
    assert session.disconnected(T0, is_clean=False) == [FinishSession(StoreRelease.UNTOUCHED)]


def test_how_a_session_ends_at_once() -> None:
    session = open_session()
    assert session.drained() == [
        CloseSocket(1012, "the gateway is restarting"),
        FinishSession(StoreRelease.RESUMABLE),
    ]
    session = open_session()
    error, *rest = session.taken_over()
    assert errors([error]) == ["superseded"]
    assert rest == [CloseSocket(1000, "superseded"), FinishSession(StoreRelease.UNTOUCHED)]
    session = open_session()
    gone = [CloseSocket(1000, "session deleted"), FinishSession(StoreRelease.UNTOUCHED)]
    assert session.deleted() == gone
    session = open_session()
    error, *rest = session.deleted_elsewhere()
    assert errors([error]) == ["session_expired"]
    assert rest == gone
    assert session.disconnected(T0, is_clean=True) == []


def test_the_session_is_stored_before_its_client_is_notified() -> None:
    session = Session("s-1")
    first, *_ = session.connected(T0, resume_token="t", expires_at=1)
    assert first == StoreSession()
    session.grace_over(T0)
    session.drained()
    assert StoreSession() not in session.connected(T0, resume_token="t", expires_at=1)
