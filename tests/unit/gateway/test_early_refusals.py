"""Refusals on bare sockets: a client reads its answer whatever it sends, and what is not refused stays untouched."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from gateway.early_refusals import EarlyRefusals
from gateway.refusals import LateAnswers
from gateway.request_head import RequestHead

ANSWER = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n\r\n"
REQUEST = b"GET /ws HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer flood\r\n\r\n"
LATE_S = 0.05


class Port:
    """A listening socket whose connections go to `EarlyRefusals`."""

    def __init__(self, delay_s: float = LATE_S) -> None:
        self.is_flooded = True
        self.early = EarlyRefusals(lambda: self.is_flooded, refusal, LateAnswers(delay_s))
        self._listener = socket.create_server(("127.0.0.1", 0))

    def connect(self, sent: bytes) -> tuple[socket.socket, socket.socket]:
        """A client that has sent this, and the gateway's end of its connection."""
        client = socket.create_connection(self._listener.getsockname())
        client.sendall(sent)
        connection, _ = self._listener.accept()
        if sent:
            assert connection.recv(1, socket.MSG_PEEK)
        return client, connection

    def close(self) -> None:
        self.early.close()
        self._listener.close()


def refusal(request: RequestHead) -> bytes | None:
    """Only the key `flood` is above its rate."""
    return ANSWER if request.headers.get_all("Authorization") == ["Bearer flood"] else None


@pytest.fixture
def port() -> Iterator[Port]:
    with closing(Port()) as at:
        yield at


async def everything(client: socket.socket) -> bytes:
    """What a client reads until the end. Raises ConnectionResetError after a reset."""
    client.setblocking(False)
    found = b""
    async with asyncio.timeout(60):
        while data := await asyncio.get_running_loop().sock_recv(client, 1000):
            found += data
    client.close()
    return found


async def test_an_owner_above_its_rate_reads_the_answer_and_the_end(port: Port) -> None:
    client, connection = port.connect(REQUEST)
    assert port.early.takes(connection)
    assert await everything(client) == ANSWER
    assert connection.fileno() == -1


async def test_what_a_client_sends_too_early_does_not_cost_it_the_answer(port: Port) -> None:
    client, connection = port.connect(REQUEST)
    assert port.early.takes(connection)
    client.sendall(bytes(1000))
    assert await everything(client) == ANSWER
    assert connection.fileno() >= 0  # closed after a while: the client may be sending still


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        REQUEST[:-1],
        REQUEST + b"\x81",
        REQUEST.replace(b"flood", b"other"),
        b"GET /ws HTTP/1.1\r\nno colon\r\n\r\n",
        b"\xff \xff HTTP/1.1\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nLong: " + bytes(9000),
        b"\r\n\r\n",
    ],
)
async def test_any_other_connection_is_left_as_it_is(port: Port, sent: bytes) -> None:
    client, connection = port.connect(sent)
    with client, connection:
        assert not port.early.takes(connection)
        if sent:
            assert connection.recv(len(sent), socket.MSG_WAITALL) == sent


async def test_a_request_as_long_as_what_is_read_of_one_may_have_more_behind_it(port: Port) -> None:
    """Its answer is read: the rest must not make the kernel send RST."""
    request = REQUEST[:-2] + b"X: " + bytes(8192 - len(REQUEST) - 5) + b"\r\n\r\n"
    client, connection = port.connect(request)
    assert port.early.takes(connection)
    client.sendall(bytes(50_000))
    assert await everything(client) == ANSWER


async def test_what_a_parser_would_find_wrong_does_not_matter(port: Port) -> None:
    client, connection = port.connect(REQUEST[:-2] + b"X: a\nb\r\n\r\n")
    assert port.early.takes(connection)
    assert await everything(client) == ANSWER


async def test_nothing_is_read_while_nobody_is_above_its_rate(port: Port) -> None:
    port.is_flooded = False
    client, connection = port.connect(REQUEST)
    with client, connection:
        assert not port.early.takes(connection)


async def test_a_client_that_leaves_before_its_answer_is_forgotten(port: Port) -> None:
    client, connection = port.connect(REQUEST)
    assert port.early.takes(connection)
    client.close()
    async with asyncio.timeout(60):
        while connection.fileno() >= 0:
            await asyncio.sleep(LATE_S)


async def test_the_end_of_the_gateway_closes_those_that_wait() -> None:
    with closing(Port(delay_s=3600.0)) as at:
        client, connection = at.connect(REQUEST)
        assert at.early.takes(connection)
        at.early.close()
        assert connection.fileno() == -1
        assert await everything(client) == b""
