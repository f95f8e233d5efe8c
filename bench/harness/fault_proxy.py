"""A TCP proxy on loopback that injects faults on demand: delay, low bandwidth, black hole, reset, half-open."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

HOST = "127.0.0.1"
_READ_BYTES = 16 * 1024
_BACKLOG = 4096
# With SO_LINGER on and a timeout of 0, closing sends RST (socket(7)).
_RESET = struct.pack("ii", 1, 0)


class _Link:
    """A client's connection and its connection to the target."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near = near
        self.far = far
        self.deaf = False

    def reset(self) -> None:
        for writer in (self.near, self.far):
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


class FaultProxy:
    """Passes bytes between its own port and `target_port`; faults can be set at any moment.

    `delay_s` delays each piece; `bytes_per_second` bounds each direction (None: no bound).
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.accepted = 0
        self.delay_s = 0.0
        self.bytes_per_second: float | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._links)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, 0, limit=_READ_BYTES, backlog=_BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def black_hole(self) -> None:
        """Pass nothing in either direction from now on; connections stay open, and new ones are accepted."""
        self._open.clear()

    def refuse(self) -> None:
        """Reset new connections at once from now on."""
        self._refusing = True

    def heal(self) -> None:
        """Pass everything again, including what was held back."""
        self.delay_s, self.bytes_per_second, self._refusing = 0.0, None, False
        self._open.set()

    def reset(self) -> int:
        """Reset every connection on both sides; return how many there were."""
        links, self._links = self._links, set()
        for link in links:
            link.reset()
        return len(links)

    def half_open(self) -> int:
        """Close the far sides without telling the clients, whose bytes are then dropped; return how many there were."""
        for link in self._links:
            link.deaf = True
            link.far.transport.abort()
        return len(self._links)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._refusing:
                raise ConnectionRefusedError
            await self._open.wait()
            far_reader, far = await asyncio.open_connection(HOST, self.target_port, limit=_READ_BYTES)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            return
        link = _Link(writer, far)
        self._links.add(link)
        ways = [
            asyncio.create_task(self._pass(link, reader, far)),
            asyncio.create_task(self._pass(link, far_reader, writer)),
        ]
        try:
            await asyncio.gather(*ways)
        finally:
            for way in ways:
                way.cancel()
            if link in self._links:
                self._links.discard(link)
                writer.close()
            far.close()

    async def _pass(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one direction until its source ends or `reset` breaks the link."""
        try:
            while data := await reader.read(_READ_BYTES):
                await self._open.wait()
                pause = self.delay_s + (len(data) / self.bytes_per_second if self.bytes_per_second else 0.0)
                if pause:
                    await asyncio.sleep(pause)
                if link in self._links and not link.deaf:
                    writer.write(data)
                    await writer.drain()
            if link in self._links and not link.deaf:
                writer.write_eof()
        except (ConnectionError, OSError):
            return


@asynccontextmanager
async def fault_proxy(target_port: int) -> AsyncIterator[FaultProxy]:
    """A proxy in front of a port, for the length of the block."""
    proxy = FaultProxy(target_port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
