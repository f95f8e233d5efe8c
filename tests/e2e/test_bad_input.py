"""Every kind of bad input gets its own error and does not affect a healthy stream on the same socket."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from bench.harness.stack import KEY, Stack
from tests.e2e.wire import open_wire
from workers.fake.engine import expected_words

BAD: list[tuple[str, str | bytes, str, str | None]] = [
    ("non-JSON text", "Hello WebSocket!", "bad_json", None),
    ("JSON that is no object", "[1, 2, 3]", "bad_json", None),
    ("no type", '{"data": {}}', "bad_message", "type"),
    ("type of the wrong type", '{"type": 7}', "bad_message", "type"),
    ("unknown type", '{"type": "message", "payload": "x"}', "unknown_type", "type"),
    ("stream_id of the wrong type", '{"type": "stream_start", "stream_id": 5}', "bad_message", "stream_id"),
    (
        "unknown stream",
        '{"type": "stream_chunk", "stream_id": "nobody", "sequence": 0, "data": "AAAA"}',
        "unknown_stream",
        "stream_id",
    ),
    (
        "second stream_start with the same id",
        '{"type": "stream_start", "stream_id": "healthy", "format": "audio/pcm;rate=16000;channels=1;encoding=s16le"}',
        "stream_exists",
        "stream_id",
    ),
    (
        "unsupported format",
        '{"type": "stream_start", "stream_id": "b", "format": "audio/midi"}',
        "unsupported_format",
        "format",
    ),
    (
        "bad Base64",
        '{"type": "stream_chunk", "stream_id": "healthy", "data": "%%%not-base64%%%"}',
        "bad_payload",
        "data",
    ),
    ("version 2.0", '{"type": "ping", "protocol_version": "2.0"}', "unsupported_version", "protocol_version"),
    (
        "negative sequence",
        '{"type": "stream_chunk", "stream_id": "healthy", "sequence": -4, "data": "AAAA"}',
        "bad_message",
        "sequence",
    ),
]


@pytest.mark.parametrize(("bad", "code", "field"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
async def test_bad_input_during_a_healthy_stream(
    fake_stack: Stack, bad: str | bytes, code: str, field: str | None
) -> None:
    media = bytes(range(256)) * 200
    async with open_wire(fake_stack.ws_url) as wire:
        await wire.send({"type": "stream_start", "stream_id": "healthy", "format": "audio/pcm", "sample_rate": 16000})
        half = len(media) // 2
        await wire.send(media[:half])
        await wire.send(bad)
        error = await wire.until("error")
        assert error["data"]["code"] == code
        assert error["data"].get("field") == field
        assert isinstance(error["data"]["message"], str)
        await wire.send(media[half:])
        await wire.send({"type": "stream_end", "stream_id": "healthy"})
        ended = await wire.until("stream_ended")
        assert ended["data"]["text"].split() == expected_words(media)


async def closes_with(stack: Stack, code: int, *sent: str | bytes, key: str | None = KEY) -> list[dict[str, Any]]:
    """What the gateway sends before it closes with `code`."""
    seen: list[dict[str, Any]] = []
    async with open_wire(stack.ws_url, key=key) as wire:
        for frame in sent:
            with contextlib.suppress(ConnectionClosed):
                await wire.send(frame)
        with contextlib.suppress(ConnectionClosed):
            while True:
                seen.append(await wire.receive())
        assert wire.socket.close_code == code
    return seen


async def test_oversize_frame_closes_with_1009(fake_stack: Stack) -> None:
    async with open_wire(fake_stack.ws_url) as wire:
        session = await wire.until("session")
    limit = session["data"]["limits"]["max_message_bytes"]
    for frame in (json.dumps({"type": "ping", "data": "x" * limit}), bytes(limit + 1)):
        seen = await closes_with(fake_stack, 1009, frame)
        assert [message["data"]["code"] for message in seen if message["type"] == "error"] == ["payload_too_large"]


async def test_wrong_key_closes_with_4401(fake_stack: Stack) -> None:
    seen = await closes_with(fake_stack, 4401, key="not-the-key")
    assert [message["data"]["code"] for message in seen if message["type"] == "error"] == ["unauthenticated"]


async def test_no_credentials_closes_with_4401(fake_stack: Stack) -> None:
    seen = await closes_with(fake_stack, 4401, key=None)
    assert [message["data"]["code"] for message in seen if message["type"] == "error"] == ["unauthenticated"]


async def test_wrong_token_message_closes_with_4401(fake_stack: Stack) -> None:
    seen = await closes_with(fake_stack, 4401, '{"type": "auth", "token": "nonsense"}', key=None)
    assert [message["data"]["code"] for message in seen if message["type"] == "error"] == ["unauthenticated"]
