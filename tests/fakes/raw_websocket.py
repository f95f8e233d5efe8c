"""A WebSocket client that sends any bytes: frames as RFC 6455 defines them, and frames that it forbids."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Frame:
    """A frame from the server."""

    opcode: int
    payload: bytes
    fin: bool = True

    @property
    def close_code(self) -> int | None:
        """The code of a close frame; 1005 (RFC 6455 7.4.1) if it has none."""
        if self.opcode != CLOSE:
            return None
        return int.from_bytes(self.payload[:2], "big") if self.payload else 1005

    @property
    def message(self) -> dict[str, Any]:
        """The JSON of a text frame."""
        found: dict[str, Any] = json.loads(self.payload)
        return found


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length_bytes: int | None = None,
) -> bytes:
    """The bytes of a client's frame. `rsv`: 4, 2 or 1 for the three reserved bits; `length_bytes`: 2 or 8."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    size = len(payload)
    if length_bytes == 8 or size > 0xFFFF:
        head = struct.pack(">BBQ", first, 127, size)
    elif length_bytes == 2 or size > 125:
        head = struct.pack(">BBH", first, 126, size)
    else:
        head = struct.pack(">BB", first, size)
    if not masked:
        return head + payload
    key = os.urandom(4)
    mask = (key * (size // 4 + 1))[:size]
    hidden = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")
    return bytes((head[0], head[1] | 0x80)) + head[2:] + key + hidden


class RawWebSocket:
    """One connection. `status` is that of the server's answer to the handshake."""

    _open: ClassVar[set[RawWebSocket]] = set()

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(self)
        self._reader = reader
        self._writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}

    @classmethod
    async def connect(cls, port: int, *, tls: ssl.SSLContext | None = None, source: str | None = None) -> RawWebSocket:
        """A TCP (or TLS) connection to this machine, perhaps from another of its addresses, without a handshake."""
        local = None if source is None else (source, 0)
        async with asyncio.timeout(PATIENCE_S):
            return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls, local_addr=local, limit=2**24))

    @classmethod
    async def open(
        cls,
        port: int,
        *,
        headers: Mapping[str, str] | None = None,
        path: str = "/ws",
        tls: ssl.SSLContext | None = None,
        source: str | None = None,
    ) -> RawWebSocket:
        """Connect and shake hands; `headers` replace those of a valid request."""
        socket = await cls.connect(port, tls=tls, source=source)
        given = {
            "Host": f"127.0.0.1:{port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
            **(headers or {}),
        }
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
        await socket.send("\r\n".join(lines).encode())
        async with asyncio.timeout(PATIENCE_S):
            head = (await socket._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        socket.status = int(head[0].split()[1])
        socket.headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        return socket

    async def send(self, *parts: bytes) -> None:
        """Send bytes as they are; a server that has closed already is no error."""
        try:
            self._writer.write(b"".join(parts))
            async with asyncio.timeout(PATIENCE_S):
                await self._writer.drain()
        except ConnectionError:
            pass

    async def send_json(self, **message: Any) -> None:
        """Send a message."""
        await self.send(frame(TEXT, json.dumps(message).encode()))

    def stop_reading(self) -> None:
        """Read nothing any more, so that what the server sends stays with it."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    async def read(self) -> Frame | None:
        """The next frame; None: the connection has ended."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                first, second = await self._reader.readexactly(2)
                size = second & 0x7F
                if size >= 126:
                    size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
                return Frame(first & 0x0F, await self._reader.readexactly(size), bool(first & 0x80))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def until(self, kind: str) -> dict[str, Any]:
        """The next message of a type."""
        while (found := await self.read()) is not None:
            if found.opcode == TEXT and found.message["type"] == kind:
                return found.message
        raise ConnectionError(f"closed before {kind}")

    async def rest(self) -> list[Frame]:
        """All frames until the connection ends."""
        frames = []
        while (found := await self.read()) is not None:
            frames.append(found)
        self.abort()
        return frames

    async def close_code(self) -> int | None:
        """Read to the end; the code of the server's close frame, None if it sent none."""
        codes = [found.close_code for found in await self.rest() if found.opcode == CLOSE]
        return codes[-1] if codes else None

    async def line(self) -> str:
        """The next line; empty at the end of the connection."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return (await self._reader.readline()).decode()
        except ConnectionError:
            return ""

    async def text(self) -> bytes:
        """Everything until the end of the connection."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._reader.read()
        except ConnectionError:
            return b""
        finally:
            self.abort()

    async def at_eof(self) -> bool:
        """Wait until the server has closed the connection."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while await self._reader.read(65536):
                    pass
        except ConnectionError:
            pass
        self.abort()
        return True

    @classmethod
    def abort_all(cls) -> None:
        """Drop the connections that a test has left."""
        for socket in list(cls._open):
            socket.abort()

    def abort(self) -> None:
        """Drop the connection."""
        self._open.discard(self)
        self._writer.transport.abort()
