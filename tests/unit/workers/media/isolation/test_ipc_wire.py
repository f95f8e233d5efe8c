"""Invariant: whatever the cut, the messages that come out are those that went in; anything else is a FrameError."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.chunk import Chunk
from workers.media.frames import FrameRecord
from workers.media.isolation import ipc

natural = st.integers(0, 2**63 - 1)
chunks = st.builds(
    Chunk, natural, st.binary(max_size=300), st.booleans(), natural, st.none() | natural, st.none() | natural
)
requests = st.one_of(
    st.builds(ipc.Open, natural, st.binary(max_size=20), st.none() | st.binary(max_size=20)),
    st.builds(ipc.Decode, natural, chunks),
    st.builds(ipc.Finish, natural),
    st.builds(ipc.Save, natural, natural),
    st.builds(ipc.Close, natural),
)
frame_records = st.builds(FrameRecord, natural, natural, natural, natural, natural, st.binary(max_size=30))
replies = st.one_of(
    st.builds(ipc.Ready, st.tuples(st.text(max_size=9)), st.tuples()),
    st.builds(ipc.Opened, natural, natural),
    st.builds(ipc.Samples, natural, st.binary(max_size=300)),
    st.builds(ipc.Frames, natural, st.tuples(frame_records), natural),
    st.builds(ipc.Saved, natural, natural, st.binary(max_size=30)),
    st.builds(ipc.Failed, natural, st.text(max_size=30)),
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(edges)]


@given(st.lists(requests, max_size=6), st.lists(st.integers(0, 5000), max_size=20))
def test_requests_survive_any_cut(messages: list[ipc.Request], cuts: list[int]) -> None:
    wire = b"".join(map(bytes, map(ipc.frame, messages)))
    reader = ipc.FrameReader(4096)
    assert [ipc.parse_request(body) for piece in pieces(wire, cuts) for body in reader.push_bytes(piece)] == messages


@given(replies)
def test_replies_survive(message: ipc.Reply) -> None:
    reader = ipc.FrameReader(4096)
    assert [ipc.parse_reply(body) for body in reader.push_bytes(bytes(ipc.frame(message)))] == [message]


@given(st.binary(max_size=200))
def test_any_bytes_give_messages_or_a_frame_error(data: bytes) -> None:
    for parse in (ipc.parse_request, ipc.parse_reply):
        try:
            for body in ipc.FrameReader(64).push_bytes(data):
                parse(body)
        except ipc.FrameError:
            pass


def test_a_long_frame_is_refused_before_its_body_arrives() -> None:
    with pytest.raises(ipc.FrameError):
        list(ipc.FrameReader(100).push_bytes(struct.pack("<I", 101)))
    assert list(ipc.FrameReader(100).push_bytes(struct.pack("<I", 100))) == []


def test_a_request_is_no_reply() -> None:
    with pytest.raises(ipc.FrameError):
        ipc.parse_reply(memoryview(ipc.frame(ipc.Finish(1)))[4:])


def test_text_that_is_no_utf8_is_a_frame_error() -> None:
    body = bytes(ipc.frame(ipc.Failed(1, "abc")))[4:].replace(b"abc", b"a\xff\xfe")
    with pytest.raises(ipc.FrameError):
        ipc.parse_reply(memoryview(body))
