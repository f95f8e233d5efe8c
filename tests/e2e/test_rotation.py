"""An operator takes a worker out of rotation and back: nothing is lost, and nobody else may do it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from talkup.v1 import worker_service_pb2
from talkup_client import cli

from gateway.key_commands import run as keys
from tests.contract.worker_harness import Worker, running
from tests.e2e.gateway_rig import KEY, PCM, Client, Rig, eventually, rig
from workers.fake.words import WORD_BYTES, expected_words

CHUNK = WORD_BYTES // 2


@dataclass
class Scripted:
    """A worker of the real server and the scripted engine, as the rig names workers."""

    worker: Worker

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.worker.port}"

    @property
    def streams(self) -> int:
        return self.worker.server._servicer._admission.active


@asynccontextmanager
async def two_workers(**values: str) -> AsyncIterator[tuple[Rig, Scripted, Scripted]]:
    async with running() as first, running() as second:
        pair = Scripted(first), Scripted(second)
        targets = ",".join(each.target for each in pair)
        async with rig(stt_workers=targets, **values) as at:
            await eventually(lambda: workers(at), lambda found: all(each["serving"] for each in found.values()))
            yield at, *pair


async def workers(at: Rig, key: str = KEY) -> dict[str, dict[str, Any]]:
    status, body, _ = await at.request("GET", "/v1/workers", credential=key)
    assert status == 200
    return {each["address"]: each for each in body["workers"]}


async def speak(client: Client, media: bytes) -> None:
    for at in range(0, len(media), CHUNK):
        await client.socket.send(media[at : at + CHUNK])


async def spoken(client: Client) -> list[str]:
    """All final words of a client's stream, which it ends."""
    await client.send("stream_end", stream_id="abc")
    await client.get("stream_ended")
    updates = [each for each in client.seen if each["type"] == "transcript_update"]
    return " ".join(each["text"] for each in updates if each["data"]["is_final"]).split()


async def test_streams_leave_a_drained_worker_and_no_word_is_lost() -> None:
    media = [bytes([65 + number]) + bytes(range(256)) * 157 for number in range(4)]
    half = 20_000
    async with two_workers() as (at, first, second):
        clients = [await at.connect(key=KEY) for _ in media]
        for client, payload in zip(clients, media, strict=True):
            await client.start()
            await speak(client, payload[:half])
            await client.finals(1)
        assert (first.streams, second.streams) == (2, 2)
        status, body, _ = await at.request("POST", f"/v1/workers/{first.target}/drain")
        assert (status, body) == (200, {"address": first.target, "draining": True, "streams": 2})
        for client, payload in zip(clients, media, strict=True):
            await speak(client, payload[half:])
        found = await eventually(lambda: workers(at), lambda found: found[first.target]["streams"] == 0)
        assert (found[first.target]["serving"], found[first.target]["draining"]) == (False, True)
        assert (found[second.target]["serving"], found[second.target]["streams"]) == (True, 4)
        for client, payload in zip(clients, media, strict=True):
            assert await spoken(client) == expected_words(payload)
            await client.socket.close()
        assert (await at.request("POST", f"/v1/workers/{first.target}/resume"))[0] == 200
        await eventually(lambda: workers(at), lambda found: found[first.target]["serving"])
        late = await at.connect(key=KEY)
        await late.start()
        await late.socket.close()


async def test_the_last_worker_is_drained_only_by_force_and_keeps_its_streams() -> None:
    payload = bytes(range(256)) * 157
    async with two_workers(worker_admit_s="0.5") as (at, first, second):
        assert (await at.request("POST", f"/v1/workers/{second.target}/drain"))[0] == 200
        await eventually(lambda: workers(at), lambda found: not found[second.target]["serving"])
        client = await at.connect(key=KEY)
        await client.start()
        await speak(client, payload[:20_000])
        await client.finals(1)  # the worker has admitted the stream
        status, body, _ = await at.request("POST", f"/v1/workers/{first.target}/drain")
        assert (status, body["error"]["code"]) == (409, "no_worker")
        assert (await at.request("POST", f"/v1/workers/{first.target}/drain?force=true"))[0] == 200
        await speak(client, payload[20_000:])
        assert await spoken(client) == expected_words(payload)
        await client.send("stream_start", stream_id="new", format=PCM)
        assert (await client.get("error", stream_id="new"))["data"]["code"] in ("no_worker", "busy")
        await client.socket.close()


async def test_the_command_waits_until_the_worker_is_free(capsys: pytest.CaptureFixture[str]) -> None:
    async with two_workers() as (at, first, second):
        common = ["--http-url", at.url(""), "--key", KEY]
        client = await at.connect(key=KEY)
        await client.start()
        await speak(client, bytes(20_000))
        busy = first if first.streams else second
        draining = asyncio.create_task(cli.run(["drain", busy.target, *common], {}))
        await eventually(lambda: workers(at), lambda found: found[busy.target]["draining"])
        await speak(client, bytes(20_000))
        assert await draining == 0
        assert f"no stream is left on {busy.target}: it can be stopped" in capsys.readouterr().err
        assert await cli.run(["workers", *common], {}) == 0
        lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
        assert lines[busy.target][1:] == ["stt", "draining", "0", "of", "64", "0"]
        assert await cli.run(["resume", busy.target, *common], {}) == 0
        assert await cli.run(["drain", "127.0.0.1:1", *common], {}) == 1
        assert "no worker has this address" in capsys.readouterr().err
        assert await spoken(client) == expected_words(bytes(40_000))
        await client.socket.close()


async def test_only_operators_may_drain(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    admin = keys(["add", "ops", "--doors", "admin", "--file", str(file)]).strip()
    other = keys(["add", "backend", "--file", str(file)]).strip()
    public = {"public_url": "wss://talkup.example/ws", "api_keys": "", "api_keys_file": str(file)}
    async with two_workers_of(public) as (at, first):
        for credential, expected in ((None, 401), ("guessed", 401), (other, 403), (admin, 200)):
            for method, path in (("GET", ""), ("POST", f"/{first.target}/drain"), ("POST", f"/{first.target}/resume")):
                status, _, _ = await at.request(method, f"/v1/workers{path}", credential=credential)
                assert status == expected, (credential, path)
        assert (await at.request("POST", "/v1/sessions", credential=admin))[0] == 403


@asynccontextmanager
async def two_workers_of(values: dict[str, str]) -> AsyncIterator[tuple[Rig, Scripted]]:
    """The same for a gateway that asks for its own keys."""
    async with (
        running() as first,
        running() as second,
        rig(stt_workers=f"127.0.0.1:{first.port},127.0.0.1:{second.port}", **values) as at,
    ):
        yield at, Scripted(first)


async def test_a_worker_that_stops_sets_a_deadline_to_streams_that_an_operator_has_asked_to_move() -> None:
    async with running(drain_seconds=1.0) as worker:
        call = worker.call()
        await call.start()
        await call.read_until("started")
        for draining in (True, True, False, True):
            answer = await worker.stub.SetDraining(worker_service_pb2.SetDrainingRequest(draining=draining))
            assert answer.streams == 1
        assert [(await call.read_until("drain")).drain.deadline_ms for _ in range(2)] == [2**32 - 1] * 2
        stopping = asyncio.create_task(worker.server.drain())
        assert (await call.read_until("drain")).drain.deadline_ms == 1000
        await worker.stub.SetDraining(worker_service_pb2.SetDrainingRequest(draining=False))
        description = await worker.stub.Describe(worker_service_pb2.DescribeRequest())
        assert description.draining
        await call.end()
        await call.read_until("ended")
        await stopping


async def test_a_worker_drained_while_it_loads_does_not_serve_afterwards() -> None:
    async with running(load=False) as worker:
        await worker.stub.SetDraining(worker_service_pb2.SetDrainingRequest(draining=True))
        await worker.server.load()
        assert not worker.server._servicer.serving
        await worker.stub.SetDraining(worker_service_pb2.SetDrainingRequest(draining=False))
        assert worker.server._servicer.serving
