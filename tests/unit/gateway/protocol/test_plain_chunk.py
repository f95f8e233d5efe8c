"""Frames in the plain form are decoded in one step, with the same result as field by field."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.codec import decode_text
from gateway.protocol.messages import MediaPacket, StreamChunk
from gateway.protocol.plain_chunk import decode_plain
from tests.unit.gateway.protocol.helpers import b64

MAX_CHUNK_BYTES = 64
# JSON may begin with spaces. After this many, the type is not where the fast decoder looks for it.
NOT_PLAIN = " " * 64

payloads = (
    st.binary(max_size=80).map(b64) | st.text("QUJD+/-_= \n", max_size=12) | st.sampled_from(["data:x;base64,QQ=="])
)
odd = st.none() | st.booleans() | st.integers(-1, 2**33) | st.floats() | st.text(max_size=5) | st.just({"data": "QQ=="})
timestamps = st.integers(0, 2_000_000_000_000) | st.floats(0, 2e12) | st.just("2026-01-01T00:00:00Z") | odd
frames = st.fixed_dictionaries(
    {"type": st.sampled_from(["stream_chunk", "audio"])},
    optional={
        "data": payloads | odd,
        "timestamp": timestamps,
        "stream_id": st.text(max_size=3) | odd,
        "sequence": st.integers(0, 2**32) | odd,
        "sequenceNumber": st.integers(0, 2**32) | odd,
        "mimeType": st.sampled_from(["audio/webm"]) | odd,
        "format": st.sampled_from(["audio/webm"]) | odd,
        "protocol_version": st.sampled_from(["1.0", "2.0", "1"]) | odd,
        "payload": payloads,
    },
)


@given(frames)
def test_both_decoders_agree(frame: dict[str, Any]) -> None:
    text = json.dumps(frame)
    assert decode_plain(NOT_PLAIN + text) is None
    fast = decode_text(text, max_chunk_bytes=MAX_CHUNK_BYTES)
    assert fast == decode_text(NOT_PLAIN + text, max_chunk_bytes=MAX_CHUNK_BYTES)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            {"type": "stream_chunk", "stream_id": "a", "sequence": 7, "timestamp": 1_790_000_000_123, "data": "QUI="},
            StreamChunk(timestamp_ms=1_790_000_000_123, stream_id="a", sequence=7, payload=b"AB"),
        ),
        (
            {
                "type": "audio",
                "sequenceNumber": 7,
                "mimeType": "audio/webm",
                "timestamp": 1_790_000_000,
                "data": "QUI=",
            },
            MediaPacket(sequence=7, format="audio/webm", payload=b"AB"),
        ),
    ],
)
def test_the_documented_form_is_decoded_in_one_step(frame: dict[str, Any], message: StreamChunk | MediaPacket) -> None:
    text = json.dumps(frame)
    assert decode_plain(text) is not None
    assert decode_text(text, max_chunk_bytes=MAX_CHUNK_BYTES) == message


@given(st.binary(max_size=80))
def test_base64_of_any_alphabet_and_padding(payload: bytes) -> None:
    for encoded in (
        base64.b64encode(payload),
        base64.urlsafe_b64encode(payload),
        base64.b64encode(payload).rstrip(b"="),
    ):
        text = json.dumps({"type": "stream_chunk", "payload": encoded.decode()})
        decoded = decode_text(text, max_chunk_bytes=80)
        assert decoded == StreamChunk(payload=payload)
