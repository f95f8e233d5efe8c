"""What is read from the bytes of a handshake is what websockets reads from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidMessage
from websockets.http11 import Request
from websockets.streams import StreamReader

from gateway.handshakes import credential_of
from gateway.request_head import head_of

NAMES = ("Authorization", "Host", "Origin", "Sec-WebSocket-Protocol")
REQUEST = b"GET /ws HTTP/1.1\r\nHost: gateway\r\n\r\n"

names = st.sampled_from([*NAMES, *(each.lower() for each in NAMES), "X-Authorization", "Authorization-More", "Via"])
# What RFC 9110 allows in a value, and a little more.
values = st.text(st.sampled_from("ab:,. \t=-_/?%\"'\x00\x1f\x7f\x80\xff\r\n"), max_size=12)
targets = st.sampled_from(["/ws", "/ws?token=a.b.c", "/ws?token=a&token=b", "//", "/%77s", "http://[", "*", "/ws#x"])


def parsed(data: bytes) -> Request | None:
    """What websockets makes of it; None if that is no request, or not whole."""
    reader = StreamReader()
    reader.feed_data(data)
    parsing = Request.parse(reader.read_line)
    try:
        next(parsing)
    except StopIteration as done:
        return done.value if not reader.buffer else None  # type: ignore[no-any-return]
    except (ValueError, EOFError, InvalidMessage):
        return None
    return None


@given(targets, st.lists(st.tuples(names, st.sampled_from([": ", ":", " : ", ":\t"]), values), max_size=6))
def test_it_is_what_websockets_reads(target: str, lines: list[tuple[str, str, str]]) -> None:
    """Requests that websockets refuses to read do not matter: they are refused in any case."""
    text = f"GET {target} HTTP/1.1\r\n" + "".join(f"{name}{colon}{value}\r\n" for name, colon, value in lines) + "\r\n"
    data = text.encode("iso-8859-1")
    if (request := parsed(data)) is None:
        return
    head = head_of(data)
    assert head is not None
    assert head.path == request.path
    assert credential_of(head) == credential_of(request)
    for name in NAMES:
        assert head.headers.get_all(name) == request.headers.get_all(name)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        REQUEST[:-1],
        REQUEST + b"\x81",
        REQUEST + REQUEST,
        b"POST /ws HTTP/1.1\r\n\r\n",
        b"GET /ws HTTP/1.0\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"GET /w\xe9 HTTP/1.1\r\n\r\n",
    ],
    ids=["nothing", "unfinished", "more", "two", "POST", "1.0", "no target", "no ASCII"],
)
def test_anything_but_one_whole_request_is_left_to_others(data: bytes) -> None:
    assert head_of(data) is None


def test_a_request_is_read() -> None:
    head = head_of(b"GET /ws?token=x HTTP/1.1\r\nhost:  gateway \r\nORIGIN: https://a\r\nOrigin: https://b\r\n\r\n")
    assert head is not None
    assert head.path == "/ws?token=x"
    assert head.headers.get_all("Host") == ["gateway"]
    assert head.headers.get_all("Origin") == ["https://a", "https://b"]
    assert head.headers.get_all("Authorization") == []
