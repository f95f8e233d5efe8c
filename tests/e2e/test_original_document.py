"""The examples of the original TalkUp.AI v1.0 document (October 2025), byte for byte, against real processes."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from bench.harness.stack import Stack
from tests.e2e.wire import Wire, open_wire

CHUNK_AS_PRINTED = """{
  "type": "stream_chunk",
  "stream_id": "abc123",
  "format": "audio/opus",
  "sequence": 12,
  "timestamp": 1739592334,
  "data": "<base64 encoded chunk>"
}"""


def chunk_as_printed(sequence: int, payload: bytes) -> str:
    """The document's own text with its two placeholders filled in."""
    encoded = base64.b64encode(payload).decode()
    return CHUNK_AS_PRINTED.replace('"sequence": 12', f'"sequence": {sequence}').replace(
        "<base64 encoded chunk>", encoded
    )


def slices(media: bytes, size: int = 4000) -> list[bytes]:
    return [media[offset : offset + size] for offset in range(0, len(media), size)]


def assert_envelope(message: dict[str, Any]) -> None:
    assert isinstance(message["type"], str)
    assert isinstance(message["timestamp"], int)
    assert isinstance(message["data"], dict)
    assert message["protocol_version"] == "1.0"


def assert_document_shape(wire: Wire) -> None:
    for message in wire.seen:
        assert_envelope(message)
    updates = [message for message in wire.seen if message["type"] == "transcript_update"]
    assert updates
    for update in updates:
        assert update["stream_id"] == update["data"]["stream_id"] == "abc123"
        assert update["text"] == update["data"]["text"]
        assert 0.0 <= update["confidence"] == update["data"]["confidence"] <= 1.0


async def test_ping_and_status(fake_stack: Stack) -> None:
    async with open_wire(fake_stack.ws_url) as wire:
        await wire.send('{"type": "ping", "timestamp": 1739592334, "data": {"n": 1}}')
        pong = await wire.until("pong")
        assert_envelope(pong)
        assert pong["data"]["n"] == 1 or pong["data"].get("data") == {"n": 1}
        await wire.send('{"type": "status", "timestamp": 1739592334, "data": {}}')
        status = await wire.until("status")
        assert_envelope(status)
        assert status["data"]["services"]


async def test_base64_chunks_of_the_document(fake_stack: Stack, speech_ogg: Path) -> None:
    async with open_wire(fake_stack.ws_url) as wire:
        start = {"type": "stream_start", "stream_id": "abc123", "timestamp": 1739592334, "format": "audio/opus"}
        await wire.send(json.dumps(start))
        for sequence, payload in enumerate(slices(speech_ogg.read_bytes())):
            await wire.send(chunk_as_printed(sequence, payload))
        await wire.send('{"type": "stream_end", "stream_id": "abc123", "timestamp": 1739592335}')
        ended = await wire.until("stream_ended")
        assert ended["data"]["text"] == wire.text("abc123")
        assert_document_shape(wire)


async def test_the_same_as_binary_frames(fake_stack: Stack, speech_ogg: Path) -> None:
    texts = []
    for binary in (False, True):
        async with open_wire(fake_stack.ws_url) as wire:
            await wire.send(
                '{"type": "stream_start", "stream_id": "abc123", "timestamp": 1739592334, "data": {"type": "audio"},'
                ' "format": "audio/opus"}'
            )
            for sequence, payload in enumerate(slices(speech_ogg.read_bytes())):
                await wire.send(payload if binary else chunk_as_printed(sequence, payload))
            await wire.send('{"type": "stream_end", "stream_id": "abc123", "timestamp": 1739592335, "data": {}}')
            ended = await wire.until("stream_ended")
            assert_document_shape(wire)
            texts.append(ended["data"]["text"])
    assert texts[0] == texts[1] != ""
