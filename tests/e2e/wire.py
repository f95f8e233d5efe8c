"""A bare WebSocket connection for the end-to-end tests: raw text and bytes, without a client library."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from bench.harness.schema_check import checked
from bench.harness.stack import KEY

Message = dict[str, Any]


class Wire:
    """One socket; keeps every message received, in order."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.seen: list[Message] = []

    async def send(self, message: Message | str | bytes) -> None:
        await self.socket.send(json.dumps(message) if isinstance(message, dict) else message)

    async def receive(self, wait_seconds: float = 60.0) -> Message:
        async with asyncio.timeout(wait_seconds):
            message: Message = checked(json.loads(await self.socket.recv()))
        self.seen.append(message)
        return message

    async def until(self, wanted: str | Callable[[Message], bool], wait_seconds: float = 60.0) -> Message:
        """Read until a message of that type arrives, or one for which the predicate is true."""
        matches = wanted if callable(wanted) else lambda message: message["type"] == wanted
        async with asyncio.timeout(wait_seconds):
            while True:
                message = await self.receive(wait_seconds)
                if matches(message):
                    return message

    def finals(self, stream_id: str | None = None) -> list[Message]:
        return [
            message["data"]
            for message in self.seen
            if message["type"] == "transcript_update"
            and message["data"]["is_final"]
            and stream_id in (None, message["data"]["stream_id"])
        ]

    def text(self, stream_id: str | None = None) -> str:
        return " ".join(final["text"].strip() for final in self.finals(stream_id))


@asynccontextmanager
async def open_wire(url: str, key: str | None = KEY, **options: Any) -> AsyncIterator[Wire]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with connect(url, additional_headers=headers, max_size=None, **options) as socket:
        yield Wire(socket)
