"""Fair shares over real sockets: a flood or a hoard by one key costs another key neither a stream nor a word."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from websockets.exceptions import InvalidStatus

from bench.harness.schema_check import checked
from gateway import key_commands
from tests.e2e.gateway_rig import PCM, Client, Rig, eventually, rig
from tests.fakes.worker_server import Script

RATE = 4.0


def key_of(path: Path, *arguments: str) -> str:
    return key_commands.run(["add", "--file", str(path), *arguments]).strip()


@asynccontextmanager
async def two_keys(tmp_path: Path, *terms: str, slots: int = 8, **values: str) -> AsyncIterator[tuple[Rig, str, str]]:
    """A gateway with two keys: the first one has these terms."""
    path = tmp_path / "keys.json"
    first, second = key_of(path, "first", *terms), key_of(path, "second")
    async with rig(Script(slots=slots), api_keys="", api_keys_file=str(path), **values) as at:
        yield at, first, second


async def test_a_flood_far_above_its_rate_keeps_nobody_else_out(tmp_path: Path) -> None:
    """Sockets, streams and requests of one key at once; the other key opens its streams one after the other."""
    outcomes: Counter[str] = Counter()
    waits: set[str] = set()
    async with two_keys(tmp_path, "--rate", f"{RATE:g}") as (at, first, second):
        began = time.monotonic()

        async def flood() -> None:
            """One of several clients that try again at once, whatever the answer."""
            while True:
                try:
                    client = await at.connect(key=first)
                except InvalidStatus as refused:
                    outcomes[str(refused.response.status_code)] += 1
                    waits.add(refused.response.headers["Retry-After"])
                else:
                    outcomes["connected"] += 1
                    await client.socket.close()
                status, _, _ = await at.request("POST", "/v1/sessions", credential=first)
                outcomes[str(status)] += 1

        attackers = [asyncio.create_task(flood()) for _ in range(8)]
        await eventually(lambda: asyncio.sleep(0, outcomes["429"]), lambda count: count >= 50)
        for number in range(5):
            client = await at.connect(key=second)
            await client.start()
            payload = f"words {number}".encode()
            await client.socket.send(payload)
            assert await client.finals(1) == [f"w0:{zlib.crc32(payload):08x}"]
            await client.send("stream_end", stream_id="abc")
            await client.get("stream_ended")
            assert not [each for each in client.seen if each["type"] == "error"]
            await client.socket.close()
        for attacker in attackers:
            attacker.cancel()
        await asyncio.gather(*attackers, return_exceptions=True)
        elapsed = time.monotonic() - began
        admitted = outcomes["connected"] + outcomes["201"]
        assert admitted <= RATE * (elapsed + 2) + 1
        assert outcomes["429"] > admitted
        assert waits
        assert all(int(wait) >= 1 for wait in waits)


async def asks_for_a_stream(client: Client, stream_id: str) -> bool:
    """Ask for a stream; returns whether it was accepted rather than refused as `busy`."""
    await client.send("stream_start", stream_id=stream_id, format=PCM)
    while True:
        message = checked(json.loads(await client.socket.recv()))
        if message.get("stream_id") == stream_id and message["type"] in ("acknowledge", "error"):
            assert message["type"] == "acknowledge" or message["data"]["code"] == "busy"
            return message["type"] == "acknowledge"


async def test_slots_hoarded_by_one_key_come_back_to_the_other(tmp_path: Path) -> None:
    async with two_keys(tmp_path, slots=4, idle_stream_s="1") as (at, first, second):
        hoarder = await at.connect(key=first)
        for number in range(4):
            await hoarder.send("stream_start", stream_id=f"silent-{number}", format=PCM)
        for _ in range(3):  # one slot is kept free for another key
            await hoarder.get("acknowledge", accepted=True)
        assert (await hoarder.get("error"))["data"]["code"] == "busy"
        client = await at.connect(key=second)

        async with asyncio.timeout(60):
            for stream_id in ("one", "two"):  # the slot that was kept free, and one that comes back
                while not await asks_for_a_stream(client, stream_id):
                    await asyncio.sleep(0.2)
        ended = await hoarder.get("stream_ended")
        reasons = [m["data"] for m in hoarder.seen if m["type"] == "error" and "stream_id" in m["data"]]
        assert (ended["stream_id"], "busy") in {(each["stream_id"], each["code"]) for each in reasons}
        await hoarder.send("ping")
        await hoarder.get("pong")
        for each in (hoarder, client):
            await each.socket.close()


async def test_the_terms_of_a_key_are_enforced_with_typed_errors(tmp_path: Path) -> None:
    terms = ("--services", "stt", "--streams", "1", "--sessions", "2")
    async with two_keys(tmp_path, *terms) as (at, first, second):
        client = await at.connect(key=first)
        await client.send("stream_start", stream_id="a", format=PCM, services=["stt", "vision"])
        error = (await client.get("error"))["data"]
        assert (error["code"], error["field"]) in (("permission_denied", "services"), ("bad_message", "services"))
        await client.send("stream_start", stream_id="b", format="video/webm", services=["vision"])
        error = (await client.get("error"))["data"]
        assert (error["code"], error["field"], error["stream_id"]) == ("permission_denied", "services", "b")
        await client.start("c")
        await client.send("stream_start", stream_id="d", format=PCM)
        error = (await client.get("error"))["data"]
        assert (error["code"], error["stream_id"]) == ("too_many_streams", "d")
        assert error["retry_after_ms"] > 0
        another = await at.connect(key=first)
        await another.get("session")
        third = await at.connect(key=first)
        assert await third.closed() == 1013
        assert third.seen[0]["data"]["code"] == "busy"
        other = await at.connect(key=second)
        await other.get("session")
        for each in (client, another, other):
            await each.socket.close()
        await at.until_metric('gateway_share_refusals_total{reason="streams"} 1.0')


async def test_sessions_of_one_key_displace_no_waiting_session_of_another(tmp_path: Path) -> None:
    async with two_keys(tmp_path, max_sessions="4") as (at, first, second):
        lost = await at.connect(key=second)
        session = (await lost.get("session"))["data"]
        lost.socket.transport.abort()
        await at.until_metric("gateway_connections 0.0")
        flood = [await at.connect(key=first) for _ in range(6)]
        answers = [
            await each.get("session") if number < 3 else await each.closed() for number, each in enumerate(flood)
        ]
        assert answers[3:] == [1013] * 3
        back = await at.connect()
        token = session["resume_token"]
        await back.send("session_resume", session_id=session["session_id"], token=token, streams={})
        assert (await back.get("session"))["data"]["resumed"] is True
        for each in (*flood[:3], back):
            await each.socket.close()
