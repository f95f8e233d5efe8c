"""Thousands of refused handshakes: each client reads why, each is counted, and nothing of them stays."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.opening import OpeningHandshake
from tests.e2e.gateway_rig import Rig
from tests.e2e.test_gateway_doors import certificate
from tests.e2e.test_shares import two_keys
from tests.fakes.raw_websocket import BINARY, RawWebSocket, frame

CLIENTS = 200
EACH = 25
FEW = 40
ORIGIN = "https://app.example"
PATIENCE_S = 120.0
REFUSED = 'gateway_share_refusals_total{reason="rate"}'


def request_of(key: str, origin: str = "") -> bytes:
    return (
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        + (f"Origin: {origin}\r\n".encode() if origin else b"")
        + f"Authorization: Bearer {key}\r\n\r\n".encode()
    )


async def answer_to(at: Rig, *parts: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """What the gateway answers to these bytes until it closes; they are sent one after the other."""
    port = at.gateway.ws_port if tls is None else at.gateway.wss_port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    for part in parts:
        writer.write(part)
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_S):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def is_refusal(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.startswith(b"HTTP/1.1 429 ") and b"\r\nRetry-After: " in head and body == b"this key is over its rate\n"


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def count_of(at: Rig) -> float:
    return at.gateway.metrics.registry.get_sample_value("gateway_share_refusals_total", {"reason": "rate"}) or 0.0


async def use_up_the_rate(at: Rig, key: str) -> None:
    """Take the one handshake that the key has."""
    socket = await RawWebSocket.open(at.gateway.ws_port, headers={"Authorization": f"Bearer {key}"})
    await socket.until("session")
    socket.abort()
    await at.until_metric("gateway_connections 0.0")


async def test_five_thousand_refusals_are_read_and_counted_and_leave_nothing(tmp_path: Path) -> None:
    async with two_keys(tmp_path, "--rate", "0.001") as (at, first, second):
        await use_up_the_rate(at, first)
        request = request_of(first)
        assert is_refusal(await answer_to(at, request))
        tasks, descriptors = len(asyncio.all_tasks()), open_files()

        async def insist() -> int:
            return sum([is_refusal(await answer_to(at, request)) for _ in range(EACH)])

        answers = await asyncio.gather(*(insist() for _ in range(CLIENTS)))
        assert sum(answers) == CLIENTS * EACH
        await at.until_metric(f"{REFUSED} {1 + CLIENTS * EACH}.0")
        async with asyncio.timeout(PATIENCE_S):
            while len(asyncio.all_tasks()) > tasks or open_files() > descriptors:
                await asyncio.sleep(0.05)
        honest = await at.connect(key=second)
        await honest.get("session")
        await honest.socket.close()


@pytest.mark.parametrize("pause", [False, True], ids=["in one piece", "in two pieces"])
async def test_a_client_that_sends_on_reads_the_refusal_as_well(tmp_path: Path, *, pause: bool) -> None:
    """Unread data would make the kernel reset the connection before the client has read the answer."""
    async with two_keys(tmp_path, "--rate", "0.001") as (at, first, _):
        await use_up_the_rate(at, first)
        frames = frame(BINARY, bytes(1000)) * 20
        parts = (request_of(first), frames) if pause else (request_of(first) + frames,)
        for _ in range(20):
            assert is_refusal(await answer_to(at, *parts))
        await at.until_metric(f"{REFUSED} 20.0")


async def test_a_request_in_pieces_is_refused_as_well(tmp_path: Path) -> None:
    async with two_keys(tmp_path, "--rate", "0.001") as (at, first, _):
        await use_up_the_rate(at, first)
        request = request_of(first)
        for cut in (1, 20, len(request) - 1):
            assert is_refusal(await answer_to(at, request[:cut], request[cut:]))
        await at.until_metric(f"{REFUSED} 3.0")


async def test_a_client_over_tls_reads_the_same_refusal(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(cafile=str(cert))
    context.check_hostname = False
    async with two_keys(tmp_path, "--rate", "0.001", tls_cert=str(cert), tls_key=str(key), wss_port="0") as (
        at,
        first,
        _,
    ):
        await use_up_the_rate(at, first)
        for _ in range(10):
            answer = await answer_to(at, request_of(first), tls=context)
            assert is_refusal(answer)
            assert b"Strict-Transport-Security: " in answer
        await at.until_metric(f"{REFUSED} 10.0")


@pytest.mark.parametrize("origin", ["", ORIGIN], ids=["no page", "a page that may connect"])
async def test_most_of_a_flood_gets_no_connection_of_asyncio(tmp_path: Path, origin: str) -> None:
    """Their requests are there when their sockets are accepted, where the kernel can wait for them (tcp(7))."""
    limited = two_keys(tmp_path, "--rate", "0.001", allowed_origins=ORIGIN)
    async with limited as (at, first, _), AsyncExitStack() as clients:
        await use_up_the_rate(at, first)
        request = request_of(first, origin)
        assert is_refusal(await answer_to(at, request))
        before = count_of(at)
        for _ in range(FEW):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", at.gateway.ws_port)))
            client.sendall(request)
        async with asyncio.timeout(PATIENCE_S):
            while count_of(at) < before + FEW:
                await asyncio.sleep(0)
        made = sum(type(each) is OpeningHandshake for each in gc.get_objects())
        assert made < FEW / 2


async def test_a_page_that_may_not_connect_learns_that_and_no_rate(tmp_path: Path) -> None:
    async with two_keys(tmp_path, "--rate", "0.001", allowed_origins=ORIGIN) as (at, first, _):
        await use_up_the_rate(at, first)
        with capture_logs() as lines:
            answer = await answer_to(at, request_of(first, "https://other.example"))
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert count_of(at) == 0
        (line,) = [line for line in lines if line["event"] == "origin refused"]
        assert line["refused"] == 1
