"""`GATEWAY_PROCESSES`: several gateway processes on the same ports, their shares, their deaths and their end."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest

from bench.harness.actions import eventually, speaking
from bench.harness.cluster import speaking as speaking_to
from bench.harness.redis_server import running_redis
from bench.harness.speaker import Heard, Pace, Speaker
from bench.harness.stack import HOST, KEY, Program, Stack, free_port, running_stack, start
from tests.e2e.gateway_rig import Client
from workers.fake.engine import expected_words

PATIENCE_S = 45.0
TWO = {"GATEWAY_PROCESSES": "2"}
SLOW = Pace(1600, 0.05)
# The largest deviation from an equal share, as a part of it.
EVEN = 0.15


class Pair:
    """A gateway of two processes."""

    def __init__(self, stack: Stack, http: aiohttp.ClientSession) -> None:
        self.stack, self.http = stack, http

    @property
    def processes(self) -> list[psutil.Process]:
        """The two, in the order of their start."""
        supervisor = psutil.Process(self.stack.gateway.pid)
        return sorted(supervisor.children(), key=lambda each: (each.create_time(), each.pid))

    async def request(self, method: str, path: str) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {KEY}", "Connection": "close"}
        async with self.http.request(method, f"{self.stack.http_url}{path}", headers=headers) as response:
            return response.status, await response.text()

    async def metric(self, name: str) -> dict[int, float]:
        """The sum of a metric over its labels, for each process."""
        _, text = await self.request("GET", "/metrics")
        found: dict[int, float] = {}
        for labels, value in re.findall(rf"^{name}\{{([^}}]*)\}} (\S+)$", text, re.MULTILINE):
            (index,) = re.findall(r'process="(\d+)"', labels)
            found[int(index)] = found.get(int(index), 0.0) + float(value)
        return found

    async def until_metric(self, name: str, expected: dict[int, float]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self.metric(name) != expected:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def pair(folder: Path, store: str | None = None) -> AsyncIterator[Pair]:
    # Without keys, Redis needs no token_secret in the settings: the supervisor makes one for all processes.
    settings = TWO | ({} if store is None else {"GATEWAY_STORE": store, "GATEWAY_API_KEYS": ""})
    with running_stack(folder=folder, gateway_settings=settings) as stack:
        async with aiohttp.ClientSession() as http:
            yield Pair(stack, http)


def check(heard: Heard) -> None:
    """No word lost, doubled or out of order."""
    assert heard.losses() == (0, 0)
    assert heard.ended is not None
    assert [error.code for error in heard.errors] == []


def assert_even(counts: dict[int, float]) -> None:
    mean = sum(counts.values()) / 2
    assert sorted(counts) == [0, 1]
    assert all(abs(count - mean) <= EVEN * mean for count in counts.values()), counts


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str | None]:
    with ExitStack() as exits:
        yield None if request.param == "sqlite" else exits.enter_context(running_redis(tmp_path))


async def test_two_processes_share_the_load_and_one_killed_loses_no_word(store: str | None, tmp_path: Path) -> None:
    async with pair(tmp_path, store) as at:
        key = KEY if store is None else ""  # without a key, a client resumes with a token alone
        speakers = [Speaker(at.stack.ws_url, seed, pace=SLOW, key=key) for seed in range(8)]
        async with asyncio.timeout(PATIENCE_S), speaking(speakers) as tasks:
            for speaker in speakers:
                await speaker.until_final_after(0)
            await at.until_metric("gateway_sessions", {0: 4.0, 1: 4.0})
            assert_even(await at.metric("gateway_chunks_total"))
            killed, other = at.processes
            killed.kill()
            moment = asyncio.get_running_loop().time()
            for speaker in speakers:
                await speaker.until_final_after(moment)
            await at.until_metric("gateway_process_restarts_total", {0: 1.0, 1: 0.0})
            await eventually("the second process again", lambda: len(at.processes) == 2)
            assert at.processes[0] == other
            assert killed.pid not in {each.pid for each in at.processes}
            await at.until_metric("gateway_process_up", {0: 1.0, 1: 1.0})
            late = [Speaker(at.stack.ws_url, 100 + seed, pace=SLOW) for seed in range(2)]
            async with speaking(late) as later:
                for speaker in late:
                    await speaker.until_final_after(0)
        for task in (*tasks, *later):
            check(task.result())
        ended = [line for line in at.stack.gateway.log_text().splitlines() if '"gateway process ended"' in line]
        assert len(ended) == 1
        assert '"status": -9' in ended[0]
        assert "Traceback" not in at.stack.gateway.log_text()
        await processes_end_by_themselves_when_their_supervisor_is_killed(at)


async def processes_end_by_themselves_when_their_supervisor_is_killed(at: Pair) -> None:
    client = await Client.open(at.stack.ws_url, key=KEY)
    await client.get("session")
    processes = at.processes
    at.stack.gateway.kill()
    assert await client.closed() == 1012
    await eventually("the end of both", lambda: not [each for each in processes if each.is_running()])


async def test_a_session_is_one_whichever_process_is_asked_and_sigterm_ends_all(tmp_path: Path) -> None:
    async with pair(tmp_path) as at:
        clients = [await Client.open(at.stack.ws_url, key=KEY) for _ in range(4)]
        sessions = [(await client.get("session"))["data"]["session_id"] for client in clients]
        texts = []
        for client in clients:
            await client.start()
            await client.socket.send(bytes(range(256)) * 64)
            texts.append(await client.finals(1))
        for session_id, said in zip(sessions, texts, strict=True):
            for _ in range(2):  # requests reach the processes in turn
                status, body = await at.request("GET", f"/v1/sessions/{session_id}/transcript?format=txt")
                assert status == 200
                assert said[0] in " ".join(body.split())
        # Two of these sessions live in the process that is not asked.
        for session_id, client in list(zip(sessions, clients, strict=True))[:2]:
            assert (await at.request("DELETE", f"/v1/sessions/{session_id}"))[0] == 204
            await client.closed()
            assert (await at.request("GET", f"/v1/sessions/{session_id}/transcript"))[0] == 404
        await at.until_metric("gateway_sessions", {0: 1.0, 1: 1.0})
        await a_process_that_was_frozen_gives_its_session_up(at)
        processes = at.processes
        at.stack.gateway.signal(signal.SIGTERM)
        assert [await client.closed() for client in clients[2:]] == [1012, 1012]
        assert await asyncio.to_thread(at.stack.gateway.process.wait, PATIENCE_S) == 0
        assert not [each for each in processes if each.is_running()]
        for port in (at.stack.http_port, at.stack.ws_port):
            with socket.socket() as probe:
                assert probe.connect_ex((HOST, port)) != 0


async def a_process_that_was_frozen_gives_its_session_up(at: Pair) -> None:
    """Its client resumes in the other one meanwhile. When it thaws, what it still writes is refused."""
    media = random.Random(5).randbytes(40_000)
    before = await at.metric("gateway_sessions")
    async with asyncio.timeout(PATIENCE_S), speaking_to([at.stack.ws_url], media) as (client, speaker):
        after = await at.metric("gateway_sessions")
        (holder,) = [index for index in (0, 1) if after[index] > before[index]]
        await speaker.say(speaker.chunks // 2)
        await speaker.hear(3)
        frozen = at.processes[holder]
        frozen.suspend()
        assert client._transport is not None
        client._transport.abort()
        try:
            await speaker.say()
            await speaker.hear(len(expected_words(media)) - 1)  # the last word comes with the end
        finally:
            frozen.resume()
        moved = {holder: before[holder], 1 - holder: before[1 - holder] + 1}
        await at.until_metric("gateway_sessions", moved)
        assert await speaker.finish() == expected_words(media)
        _, text = await at.request("GET", f"/v1/sessions/{client.session_id}/transcript?format=txt")
        assert text.split() == expected_words(media)


def started(folder: Path, **settings: str) -> Program:
    defaults = {"GATEWAY_HTTP_PORT": str(free_port()), "GATEWAY_WS_PORT": str(free_port()), "GATEWAY_API_KEYS": KEY}
    store = {"GATEWAY_STORE": f"sqlite:///{folder / 'g.db'}"}
    return start("gateway", ("-m", "gateway"), {**TWO, **defaults, **store, **settings}, folder)


def test_what_is_wrong_with_the_start_is_said_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        faults = [
            ({"GATEWAY_WS_PORT": str(port)}, 1, f"cannot listen on {HOST} port {port}"),
            ({"GATEWAY_STORE": "memory://"}, 2, "several processes need a store that they share"),
            ({"GATEWAY_STORE": f"sqlite:///{os.devnull}/g.db"}, 1, os.devnull),
        ]
        for number, (settings, status, text) in enumerate(faults):
            folder = tmp_path / str(number)
            folder.mkdir()
            program = started(folder, **settings)
            assert program.process.wait(PATIENCE_S) == status
            printed = [line for line in program.log_text().splitlines() if not line.startswith("{")]
            assert len(printed) == 1, printed
            assert text in printed[0]
