"""JSON in binary frames: a message where it is one, media everywhere else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.actions import Authenticate
from gateway.protocol.codec import encode_tagged, message_in_binary
from gateway.protocol.session import Session
from tests.unit.gateway.protocol.helpers import T0, chunks, errors, open_session, requests, sent, text

PCM = "audio/pcm;rate=16000;channels=1;encoding=s16le"


def binary(message: object) -> bytes:
    return json.dumps(message).encode()


def test_a_whole_conversation_in_binary_frames() -> None:
    session = Session("s-1")
    session.await_auth(T0)
    assert session.receive_binary(binary({"type": "auth", "token": "good"}), T0) == [Authenticate("good")]
    session.connected(T0, resume_token="t", expires_at=1)
    start = binary({"type": "stream_start", "stream_id": "a", "format": PCM})
    assert sent(session.receive_binary(start, T0), "acknowledge")
    assert chunks(session.receive_binary(b"{\x00media}", T0)) == [(0, b"{\x00media}", False, 0)]
    said = session.receive_binary(binary({"type": "stream_chunk", "stream_id": "a", "data": "AAAA"}), T0)
    assert chunks(said) == [(1, b"\0\0\0", False, 0)]
    assert sent(session.receive_binary(b" \n" + binary({"type": "ping"}), T0), "pong")
    ending = requests(session.receive_binary(binary({"type": "stream_end", "stream_id": "a"}), T0))
    assert [request.WhichOneof("payload") for request in ending] == ["end"]


@pytest.mark.parametrize("message", [{"type": "ping"}, {"type": "stream_chunk", "stream_id": "a", "data": "AAAA"}])
def test_a_byte_order_mark_before_a_message_is_ignored(message: dict[str, str]) -> None:
    session = open_session()
    text(session, T0, type="stream_start", stream_id="a", format=PCM)
    marked = "\ufeff" + json.dumps(message)
    for actions in (session.receive_text(marked, T0), session.receive_binary(marked.encode(), T0)):
        assert errors(actions) == []
        assert sent(actions, "pong") or [payload for _, payload, _, _ in chunks(actions)] == [b"\0\0\0"]


def test_bad_messages_in_binary_frames_get_the_errors_of_text() -> None:
    session = open_session()
    assert errors(session.receive_binary(binary({"type": "stream_start"}), T0)) == ["bad_message"]
    assert errors(session.receive_binary(binary({"type": "stream_end", "stream_id": "x"}), T0)) == ["unknown_stream"]


MEDIA = [
    b"{",
    b"{}",
    b'{"type": "ping"} ' + b"\x00",
    b'{"type": "ping"',
    b'{"type": "ping"}{"type": "ping"}',
    b'{"type": "moov", "data": 1}',
    b'{"type": 7}',
    b'{"kind": "ping"}',
    b'["ping"]',
    b'"ping"',
    b"\xef\xbb\xbf{",
    b"\xef\xbb\xbf",
    b'{"type": "ping", "data": "\xff"}',
    b"{" * 5000,
]


@pytest.mark.parametrize("payload", MEDIA)
def test_media_that_begins_like_json_is_media(payload: bytes) -> None:
    session = open_session()
    text(session, T0, type="stream_start", stream_id="a", format=PCM)
    assert chunks(session.receive_binary(payload, T0)) == [(0, payload, False, 0)]


def test_a_tagged_frame_is_a_chunk_whatever_it_carries() -> None:
    session = open_session()
    (ack,) = sent(text(session, T0, type="stream_start", stream_id="a", format=PCM, framing="tagged"), "acknowledge")
    payload = binary({"type": "stream_end"})
    assert chunks(session.receive_binary(encode_tagged(ack["data"]["handle"], 0, payload), T0)) == [
        (0, payload, False, 0)
    ]


@given(st.binary(max_size=64).map(lambda rest: b"{" + rest))
def test_any_bytes_behind_a_brace_are_media(frame: bytes) -> None:
    assert message_in_binary(frame) is None
