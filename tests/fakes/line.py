"""A network between a client and a server on this machine: passes bytes on, and can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.harness.stack import HOST

_READ_BYTES = 65_536


class Line:
    """Cut by `cut`, or once by itself after `cut_after` bytes from the client. New connections work."""

    def __init__(self, target_port: int, cut_after: int | None = None) -> None:
        self._target = target_port
        self._left = cut_after
        self._ends: list[asyncio.StreamWriter] = []
        self.port = 0
        self.cuts = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Line]:
        """Listen on `port`."""
        server = await asyncio.start_server(self._carry, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """End every connection without a close frame."""
        self.cuts += 1
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, self._target)
        self._ends += [writer, back]
        await asyncio.gather(self._pump(reader, back, counted=True), self._pump(there, writer, counted=False))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        try:
            while data := await reader.read(_READ_BYTES):
                if counted and self._left is not None:
                    self._left -= len(data)
                    if self._left < 0:
                        self._left = None
                        self.cut()
                        return
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
