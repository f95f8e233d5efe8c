"""Bounds of a client's JSON: what would take long to decode is refused before it is built."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.errors import Problem
from gateway.protocol.json_text import JsonBounds, read_object, type_of
from gateway.protocol.limits import Limits
from gateway.protocol.session import Session
from tests.unit.gateway.protocol.helpers import T0, b64, errors, open_session, sent

MEDIA = {"stream_chunk"}
BOUNDS = JsonBounds(control_bytes=1000, values=50, depth=8)
BIG = "x" * 1000


def read(text: str) -> dict[str, Any] | str:
    found = read_object(text, BOUNDS, MEDIA)
    return found.code if isinstance(found, Problem) else found


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[]", "bad_json"),
        ("[" * 5000, "bad_json"),
        ('{"type":', "bad_json"),
        ('{"type":"ping","data":[' + "[]," * 60 + "[]]}", "bad_message"),
        ('{"type":"ping",' + '"a":1,' * 60 + '"b":1}', "bad_message"),
        ('{"type":"ping","data":' + "[" * 9 + "]" * 9 + "}", "bad_message"),
        ('{"type":"ping","data":"' + BIG + '"}', "payload_too_large"),
        ('{"type":"ping"' + " " * 1000 + "}", "payload_too_large"),
        ('{"data":"' + BIG + '"}', "payload_too_large"),
        (BIG, "bad_json"),
    ],
)
def test_what_exceeds_a_bound_is_refused(text: str, code: str) -> None:
    assert read(text) == code


def test_messages_with_media_may_be_large() -> None:
    assert read('{"type":"stream_chunk","data":"' + BIG + '"}') == {"type": "stream_chunk", "data": BIG}
    assert type_of('{"data":"' + BIG + '","type":"stream_chunk"}') == "stream_chunk"


@given(st.dictionaries(st.text(max_size=5), st.recursive(st.integers() | st.text(max_size=9), st.lists, max_leaves=20)))
def test_a_message_within_the_bounds_is_read_as_any_reader_of_json_does(value: dict[str, Any]) -> None:
    text = json.dumps(value)
    found = read_object(text, JsonBounds(), MEDIA)
    assert isinstance(found, Problem) or found == json.loads(text)


@pytest.mark.parametrize(
    "body", ["[]", '{"a":1}', "1", '"a"', "null"], ids=["lists", "objects", "numbers", "texts", "nulls"]
)
def test_four_megabytes_of_values_are_not_built(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding that many empty lists takes 0.7 s, for which every client of the gateway waits."""
    count = 4 * 1024 * 1024 // (len(body) + 1) - 20
    frame = '{"type":"ping","data":[' + ",".join([body] * count) + "]}"
    assert errors(open_session().receive_text(frame, T0)) == ["bad_message"]
    assert open_session().receive_binary(frame.encode(), T0)


def test_before_authentication_messages_are_small() -> None:
    session = Session("s-1", limits=Limits(max_unauthenticated_bytes=1000))
    session.await_auth(T0)
    (error,) = sent(session.receive_text('{"type":"auth","token":"' + BIG + '"}', T0))
    assert (error["data"]["code"], error["data"]["message"]) == ("payload_too_large", "at most 1000 bytes per message")
    large = {"type": "stream_chunk", "stream_id": "a", "data": b64(bytes(2000))}
    assert errors(open_session(Limits(max_unauthenticated_bytes=1000)).receive_text(json.dumps(large), T0)) == [
        "unknown_stream"
    ]
