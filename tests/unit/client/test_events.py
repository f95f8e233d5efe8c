"""What a gateway may write, and that nothing else ends the client's reader without a word."""

from __future__ import annotations

import pytest
from talkup_client.errors import BadAnswerError
from talkup_client.events import ErrorReceived, parse

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
