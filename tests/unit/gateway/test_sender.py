"""From the outbox to a real socket: at once if nothing waits, else in order, and nothing is lost when it breaks."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from gateway.outbox import Outbox
from gateway.protocol.messages import Pong
from gateway.sender import SocketSender

PATIENCE_S = 60.0
LARGE = "x" * 100_000


class Line:
    """A client, and the gateway's end of its socket."""

    def __init__(
        self, outbox: Outbox, client: ClientConnection, server: ServerConnection, overflows: list[None]
    ) -> None:
        self.overflows = overflows
        self.outbox = outbox
        self.client = client
        self.server = server

    def put(self, number: int, filler: str = "", after: Future[None] | None = None) -> None:
        self.outbox.put(Pong(data={"n": number, "filler": filler}), after)

    async def numbers(self, count: int) -> list[int]:
        """The numbers of the next messages that the client gets."""
        async with asyncio.timeout(PATIENCE_S):
            return [json.loads(await self.client.recv())["data"]["n"] for _ in range(count)]

    def unsent(self) -> list[int]:
        return [message.data["n"] for message in self.outbox.unsent() if isinstance(message, Pong)]


@asynccontextmanager
async def line(max_bytes: int = 50_000_000) -> AsyncIterator[Line]:
    """A client that has little room for what it does not read."""
    ended, servers = asyncio.Event(), asyncio.Queue[ServerConnection]()

    async def handle(socket: ServerConnection) -> None:
        servers.put_nowait(socket)
        await ended.wait()

    async with serve(handle, "127.0.0.1", 0, compression=None, ping_interval=None, close_timeout=0.1) as server:
        port = server.sockets[0].getsockname()[1]
        narrow = sockets.create_connection(("127.0.0.1", port))
        narrow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 16_384)
        async with connect(f"ws://127.0.0.1:{port}", sock=narrow, compression=None, max_queue=1) as client:
            outbox, socket = Outbox(1000, max_bytes), await servers.get()
            overflows: list[None] = []
            sender = SocketSender(socket, outbox, 0.05, lambda: overflows.append(None))
            outbox.attach(sender)
            yield Line(outbox, client, socket, overflows)
            client.transport.abort()
            await sender.stop()
            ended.set()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


async def test_an_idle_socket_takes_a_message_at_once_and_without_a_task() -> None:
    async with line() as end:
        tasks = asyncio.all_tasks()
        end.put(1)
        assert len(end.outbox) == 0
        assert asyncio.all_tasks() == tasks
        assert await end.numbers(1) == [1]


async def test_messages_keep_their_order_behind_one_that_waits_for_its_write() -> None:
    async with line() as end:
        write: Future[None] = Future()
        end.put(1)
        end.put(2, after=write)
        end.put(3)
        assert await end.numbers(1) == [1]
        assert end.unsent() == [2, 3]
        write.set_result(None)
        end.put(4)
        assert await end.numbers(3) == [2, 3, 4]
        await until(lambda: not end.unsent())
        end.put(5)
        assert len(end.outbox) == 0
        assert await end.numbers(1) == [5]


async def test_what_a_slow_client_does_not_take_waits_in_order() -> None:
    async with line() as end:
        for number in range(100):
            end.put(number, LARGE)
        await until(lambda: len(end.outbox) < 99)
        assert len(end.outbox) > 10
        assert await end.numbers(100) == list(range(100))


async def test_a_client_that_reads_nothing_is_closed_at_the_bound() -> None:
    async with line(max_bytes=2_000_000) as end:
        for number in range(100):
            end.put(number, LARGE)
        assert end.outbox.overflowed
        async with asyncio.timeout(PATIENCE_S):
            await end.server.wait_closed()
        assert len(end.overflows) == 1


async def test_messages_to_a_lost_socket_count_as_unsent() -> None:
    async with line() as end:
        end.put(1)
        assert await end.numbers(1) == [1]
        end.server.transport.abort()
        end.put(2)
        end.put(3)
        assert end.unsent() == [2, 3]
        await until(lambda: not end.server.transport or end.server.close_code)
        end.put(4)
        assert end.unsent() == [2, 3, 4]


async def test_waiting_messages_go_before_the_close() -> None:
    async with line() as end:
        write: Future[None] = Future()
        end.put(1, after=write)
        end.outbox.close(1012, "restart")
        end.put(2)
        write.set_result(None)
        assert await end.numbers(1) == [1]
        async with asyncio.timeout(PATIENCE_S):
            await end.client.wait_closed()
        assert (end.client.close_code, end.client.close_reason) == (1012, "restart")
