"""Base64: each text has one reading, or none and a reason."""

from __future__ import annotations

import base64
import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.base64_text import Base64Error, decode_base64

BYTES = bytes(range(256)) + b"\xfb\xff"
PLAIN = base64.b64encode(BYTES).decode()
MIME = base64.encodebytes(BYTES).decode()

ACCEPTED = {
    "plain": PLAIN,
    "without padding": PLAIN.rstrip("="),
    "URL-safe": base64.urlsafe_b64encode(BYTES).decode(),
    "URL-safe without padding": base64.urlsafe_b64encode(BYTES).decode().rstrip("="),
    "breaks after 76": MIME,
    "CR LF": MIME.replace("\n", "\r\n"),
    "CR": MIME.replace("\n", "\r"),
    "indented lines": MIME.replace("\n", "\n\t"),
    "a break at the end": PLAIN + "\n",
    "a break before the padding": PLAIN.rstrip("=") + "\n" + "=" * (-len(PLAIN.rstrip("=")) % 4),
    "no padding, a break": PLAIN.rstrip("=") + "\r\n",
    "data URL": "data:audio/webm;codecs=opus;base64," + PLAIN,
    "data URL with breaks": "data:audio/webm;base64,\n" + MIME,
    "data URL in capitals": "DATA:audio/webm;BASE64," + PLAIN,
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_ways_to_write_the_same_bytes(name: str) -> None:
    assert decode_base64(ACCEPTED[name]) == BYTES


@pytest.mark.parametrize("text", ["", "data:", "data:;base64,", "\n"])
def test_nothing_is_no_bytes(text: str) -> None:
    assert decode_base64(text) == b""


REFUSED = {
    "other characters": "!!!!",
    "lone padding": "=",
    "nothing but padding": "====",
    "too little padding": "QQ=",
    "too much padding": "QUJD=",
    "padding in the middle": "QQ==QQ==",
    "one digit too many": "QUJDR",
    "cut off in its last byte": "QUJDREV",
    "cut off in its last byte but one": "QUJDRE",
    "a space for a plus": "QUJD QUJ",
    "a space for a plus at the start": base64.b64encode(b"\xfb\xff\xfe").decode().replace("+", " "),
    "a space for a plus at the end": "QUI ",
    "a space for a plus at a line's end": "QUJD\n QUJ",
    "letters beyond ASCII": "QUJDé",
    "a data URL that is not Base64": "data:text/plain,QUJD",
    "a data URL without its comma": "data:audio/webm;base64",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    with pytest.raises(Base64Error):
        decode_base64(REFUSED[name])


def test_a_space_is_named() -> None:
    with pytest.raises(Base64Error, match="a space, perhaps"):
        decode_base64("+/ A")


@given(st.binary(max_size=300), st.integers(1, 80), st.sampled_from(["\n", "\r\n", "\n\t"]), st.booleans())
def test_broken_lines_never_change_the_bytes(payload: bytes, width: int, separator: str, padded: bool) -> None:
    text = base64.b64encode(payload).decode()
    text = text if padded else text.rstrip("=")
    assert decode_base64(separator.join(text[at : at + width] for at in range(0, len(text), width))) == payload


@given(st.text("ABCDabcd01+/-_= \n\t", max_size=24))
def test_what_is_read_is_what_was_written(text: str) -> None:
    try:
        payload = decode_base64(text)
    except Base64Error:
        return
    digits = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    assert len(payload) == len(digits) * 6 // 8
    assert base64.b64encode(payload).decode()[: len(digits) - 1] == digits[:-1]  # the last digit has spare bits


@pytest.mark.parametrize("length", range(7))
def test_the_quick_reader_takes_nothing_that_the_careful_one_refuses(length: int) -> None:
    for digits in itertools.product("AQ/-= \n", repeat=length):
        text = "".join(digits)
        try:
            payload = msgspec.convert(text, bytes)
        except msgspec.ValidationError:
            continue
        assert decode_base64("\n" + text) == payload
