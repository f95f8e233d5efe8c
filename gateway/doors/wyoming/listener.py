"""The port of Wyoming. The protocol has no credentials: who may connect is decided by address."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final

import structlog

from gateway.admission import Admission, Places
from gateway.doors.wyoming.connection import NAME, WyomingConnection
from gateway.doors.wyoming.framing import MAX_LINE_BYTES
from gateway.listening import BACKLOG, Doors
from gateway.sessions.context import GatewayContext
from gateway.sessions.directory import SessionDirectory
from settings.network import LOOPBACK, Networks

log = structlog.get_logger()

# What remains for the last answers of a gateway that shuts down.
_CLOSE_S: Final = 1.5


class WyomingListener:
    """Accepts connections from loopback and from the setting `wyoming_clients`."""

    def __init__(self, context: GatewayContext, directory: SessionDirectory) -> None:
        self._context = context
        self._directory = directory
        total = context.config.max_wyoming_connections
        self._admission = Admission(NAME, Places(total, total, total), context.metrics, time.monotonic)
        self._servers: list[asyncio.Server] = []
        self._serving: dict[asyncio.Task[None], WyomingConnection] = {}

    async def open(self, doors: Doors) -> int:
        """Listen; the port. Raises OSError."""
        config = self._context.config
        allows = Networks((*LOOPBACK, *config.wyoming_clients)).holds
        for listener in await doors.open(NAME, (config.wyoming_host, config.wyoming_port), self._admission, allows):
            server = await asyncio.start_server(self._accept, sock=listener, limit=MAX_LINE_BYTES, backlog=BACKLOG)
            self._servers.append(server)
        port: int = self._servers[0].sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Take no more connections; those that are open get what is left of their answers."""
        for server in self._servers:
            server.close()
        for connection in self._serving.values():
            connection.end()
        tasks = list(self._serving)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visitor = self._admission.find(writer.get_extra_info("peername"))

        def on_first() -> None:
            if visitor is not None:
                self._admission.serve(visitor)

        connection = WyomingConnection(self._context, self._directory, reader, writer, on_first)
        task = asyncio.create_task(self._serve(connection, writer))
        self._serving[task] = connection
        task.add_done_callback(self._serving.pop)

    async def _serve(self, connection: WyomingConnection, writer: asyncio.StreamWriter) -> None:
        try:
            await connection.serve()
        except ConnectionError:
            pass  # the client is gone
        except Exception:
            # The outermost edge of a connection: an unexpected error closes this one and no other.
            log.exception("connection failed")
        finally:
            writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(self._context.config.close_timeout_s):
                    await writer.wait_closed()
            writer.transport.abort()
