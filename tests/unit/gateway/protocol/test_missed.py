"""What must arrive, what a newer message replaces, and what a returning client has missed."""

from __future__ import annotations

from typing import Any

from gateway.protocol import messages as m
from gateway.protocol.errors import Code, Problem
from gateway.protocol.limits import Limits
from gateway.protocol.missed import Backlog, Slot, must_arrive, slot_of
from gateway.protocol.session import Session
from gateway.protocol.translate import error_message
from tests.unit.gateway.protocol.helpers import T0, ended, final, key, open_session, sent, text, transcript

PCM = "audio/pcm;rate=16000;channels=1;encoding=s16le"


def update(segment_id: int, *, is_final: bool, stream_id: str = "a") -> m.TranscriptUpdate:
    data = m.TranscriptData(
        stream_id=stream_id,
        segment_id=segment_id,
        revision=1,
        is_final=is_final,
        text=f"t{segment_id}",
        stable_chars=0,
        confidence=0.5,
        language="en",
        start_ms=0,
        end_ms=1,
        words=[],
    )
    return m.TranscriptUpdate(stream_id=stream_id, text=data.text, confidence=0.5, data=data)


def acknowledge(**more: Any) -> m.Acknowledge:
    data = m.AcknowledgeData(stream_id="a", received=0, committed=-1, next_sequence=1, **more)
    return m.Acknowledge(stream_id="a", data=data)


ERROR = error_message(Problem(Code.WORKER_FAILED, "lost").of_stream("a"))
PONG = m.Pong(data={})


def test_what_a_newer_message_replaces() -> None:
    assert slot_of(update(1, is_final=False)) == Slot(("transcript", "a", 1))
    assert slot_of(update(1, is_final=True)) == Slot(("transcript", "a", 1), is_last=True)
    assert slot_of(acknowledge()) == Slot(("acknowledge", "a"))
    assert slot_of(acknowledge(flush_id=1)) is slot_of(acknowledge(accepted=True)) is slot_of(PONG) is None


def test_what_must_arrive() -> None:
    arriving = [update(1, is_final=True), ERROR]
    assert all(must_arrive(message) for message in arriving)
    assert not any(must_arrive(message) for message in (update(1, is_final=False), acknowledge(flush_id=1), PONG))


def test_a_backlog_is_sent_once_with_unsent_messages_first() -> None:
    backlog = Backlog(10)
    backlog.keep_unsent([PONG, update(1, is_final=True), update(2, is_final=False), ERROR])
    assert backlog.pop_missed({}, {}, {}) == [update(1, is_final=True), ERROR]
    assert backlog.pop_missed({}, {}, {}) == []


def stream_with_finals(count: int) -> Session:
    session = open_session(Limits(kept_messages=4))
    text(session, T0, type="stream_start", stream_id="a", format=PCM)
    for number in range(1, count + 1):
        session.receive_result(key(), final(number, f"t{number}"), T0)
    return session


def back(session: Session, **last: int) -> list[tuple[str, str | None]]:
    actions = session.connected(T0, resume_token="t", expires_at=1, last_segment_ids=last)
    return [(message["type"], message.get("text")) for message in sent(actions)]


def test_unsent_messages_come_before_those_that_came_while_there_was_no_socket() -> None:
    session = stream_with_finals(2)
    session.disconnected(T0, is_clean=False, unsent=[update(2, is_final=True), PONG])
    session.receive_result(key(), transcript(3, "t3?"), T0)
    session.receive_result(key(), final(3, "t3"), T0)
    assert back(session) == [("session", None), ("transcript_update", "t2"), ("transcript_update", "t3")]


def test_a_client_s_report_covers_its_streams_and_nothing_else() -> None:
    session = stream_with_finals(2)
    session.disconnected(
        T0, is_clean=False, unsent=[update(2, is_final=True), update(9, is_final=True, stream_id="b"), ERROR]
    )
    session.receive_result(key(), ended(), T0)
    assert back(session, a=1, unknown=3) == [
        ("session", None),
        ("transcript_update", "t9"),
        ("error", None),
        ("transcript_update", "t2"),
        ("stream_ended", None),
    ]


def test_a_newer_socket_gets_what_the_superseded_one_did_not_send_except_its_error() -> None:
    session = stream_with_finals(1)
    error = session.superseded(T0, unsent=[update(1, is_final=True)])
    assert [message["data"]["code"] for message in sent(error)] == ["superseded"]
    assert back(session) == [("session", None), ("transcript_update", "t1")]


def test_without_a_socket_the_newest_messages_are_kept() -> None:
    session = stream_with_finals(0)
    session.disconnected(T0, is_clean=False)
    for number in range(1, 8):
        session.receive_result(key(), final(number, f"t{number}"), T0)
    assert [words for _, words in back(session)[1:]] == ["t4", "t5", "t6", "t7"]
