"""Wyoming at a running gateway: words, several requests, refusals, hostile clients, neighbours."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from socket import AF_INET
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from bench.harness.dialects import read_wyoming, wyoming_event
from bench.harness.stack import free_port
from gateway.doors.wyoming.framing import MAX_DATA_BYTES, MAX_LINE_BYTES, MAX_PAYLOAD_BYTES
from gateway.doors.wyoming.info import PROGRAM
from settings.network import is_loopback
from tests.e2e.gateway_rig import KEY, PATIENCE_S, Rig, eventually, rig
from tests.fakes.worker_server import Script

SOUND = {"rate": 16_000, "width": 2, "channels": 1}
SEED = 23


class Client:
    """A client that speaks bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, kind: str, data: Any = None, payload: bytes = b"") -> None:
        self.writer.write(wyoming_event(kind, data, payload))
        await self.writer.drain()

    async def get(self) -> tuple[str, dict[str, Any]] | None:
        """The next event; None at the end."""
        async with asyncio.timeout(PATIENCE_S):
            return await read_wyoming(self.reader)

    async def rest(self) -> list[str]:
        """The types of all events until the gateway closes."""
        kinds = []
        with suppress(ConnectionError):
            while (event := await self.get()) is not None:
                kinds.append(event[0])
        return kinds

    async def transcript(self) -> tuple[str, str]:
        """The whole text, and the text of all chunks before it."""
        pieces = []
        while (event := await self.get()) is not None:
            kind, data = event
            if kind == "transcript-chunk":
                pieces.append(data["text"])
            elif kind == "transcript":
                assert await self.get() == ("transcript-stop", {})
                return data["text"], "".join(pieces)
            else:
                assert kind == "transcript-start", event
        pytest.fail("the gateway closed the connection")


@asynccontextmanager
async def calling(at: Rig) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", at.gateway.wyoming_port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def served(script: Script | None = None, **values: str) -> AsyncIterator[Rig]:
    settings = {"wyoming_port": str(free_port()), "wyoming_key": KEY, **values}
    async with rig(script, **settings) as at:
        yield at


async def heard(at: Rig) -> int:
    return sum(len(request.chunk.payload) for seen in at.worker.seen for request in seen.requests)


async def test_several_requests_on_one_connection_get_their_words() -> None:
    async with served() as at, calling(at) as client:
        for count in (3, 1, 5):
            await client.say("transcribe", {"language": "en", "name": "any"})
            await client.say("audio-start", SOUND)
            for number in range(count):
                await client.say("audio-chunk", SOUND, bytes([number]) * 640)
            await client.say("audio-stop")
            text, pieces = await client.transcript()
            assert [word.partition(":")[0] for word in text.split()] == [f"w{number}" for number in range(count)]
            assert pieces == text
        await client.say("audio-stop")
        assert await client.transcript() == ("", "")
        await at.until_metric('gateway_door_requests_total{answer="served",door="wyoming"} 3.0')
        await at.until_metric("gateway_sessions 1.0")
        client.writer.close()
        await at.until_metric("gateway_sessions 0.0")


async def test_a_client_that_sends_no_more_gets_its_answer() -> None:
    async with served() as at, calling(at) as client:
        await client.say("audio-chunk", SOUND, bytes(640))  # without audio-start
        await client.say("audio-stop")
        client.writer.write_eof()
        text, _ = await client.transcript()
        assert len(text.split()) == 1
        assert await client.get() is None


async def test_the_gateway_says_what_it_is_before_any_session() -> None:
    async with served() as at, calling(at) as client:
        await client.say("describe")
        event = await client.get()
        assert event is not None
        kind, data = event
        [program] = data["asr"]
        assert (kind, program["name"], program["supports_transcript_streaming"]) == ("info", PROGRAM, True)
        assert [model["languages"] for model in program["models"]]
        await client.say("ping", {"text": "hello"})
        assert await client.get() == ("pong", {"text": "hello"})
        await at.until_metric("gateway_sessions 0.0")


@pytest.mark.parametrize(
    ("values", "code"),
    [({"max_sessions": "1"}, "busy"), ({"wyoming_key": "no key of the gateway"}, "unauthenticated")],
)
async def test_a_refusal_is_an_error_and_the_end(values: dict[str, str], code: str) -> None:
    async with served(**values) as at:
        minted = await at.mint()
        client = await at.connect(key=minted["token"])
        await client.start()
        async with calling(at) as one:
            await one.say("audio-start", SOUND)
            event = await one.get()
            assert event is not None
            assert (event[0], event[1]["code"]) == ("error", code)
            await one.say("audio-chunk", SOUND, bytes(640))  # still speaks, as Home Assistant does
            assert await one.get() is None
        await at.until_metric(f'gateway_door_requests_total{{answer="{code}",door="wyoming"}} 1.0')


async def test_no_free_slot_is_an_error() -> None:
    async with served(Script(slots=1), worker_admit_s="0.3") as at, calling(at) as first, calling(at) as second:
        await first.say("audio-start", SOUND)
        await first.say("audio-chunk", SOUND, bytes(640))
        await eventually(lambda: heard(at), bool)
        await second.say("audio-start", SOUND)
        event = await second.get()
        assert event is not None
        assert (event[0], event[1]["code"]) == ("error", "busy")
        assert await second.get() is None
        await first.say("audio-stop")
        assert (await first.transcript())[0]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"x" * (MAX_LINE_BYTES + 2) + b"\n", "payload_too_large"),
        (b'{"type":"ping","data_length":%d}\n' % (MAX_DATA_BYTES + 1), "payload_too_large"),
        (b'{"type":"audio-chunk","payload_length":%d}\n' % (MAX_PAYLOAD_BYTES + 1), "payload_too_large"),
        (b'{"type":"ping","data_length":-1}\n', "bad_json"),
        (b'{"type":"ping","data":' + b"[" * 10_000 + b"}\n", "bad_json"),
        (b'{"type":"ping","data_length":9}\n[1,2,3,4]', "bad_json"),
        (wyoming_event("audio-start", {**SOUND, "width": 4}), "bad_message"),
        (wyoming_event("audio-start", {**SOUND, "rate": 10**12}), "bad_message"),
        (wyoming_event("transcribe", {"language": 5}), "bad_message"),
        (wyoming_event("audio-start", SOUND) * 2, "bad_message"),
        (wyoming_event("audio-start", SOUND) + wyoming_event("audio-chunk", {**SOUND, "rate": 8000}), "bad_message"),
        (wyoming_event("ping") * 400, "rate_limited"),
    ],
)
async def test_what_cannot_be_served_is_an_error(sent: bytes, code: str) -> None:
    async with served() as at, calling(at) as client:
        client.writer.write(sent)
        while (event := await client.get()) is not None and event[0] == "pong":
            pass
        assert event is not None
        assert (event[0], event[1]["code"]) == ("error", code)
        assert await client.get() is None


async def test_a_client_that_never_reads_its_pongs_loses_its_place() -> None:
    """More pongs than the buffers of both sides hold, so that the gateway waits for the client."""
    data = json.dumps({"text": "x" * 64_000}).encode()
    ping = b'{"type":"ping","data_length":%d}\n' % len(data) + data
    async with served(http_request_s="0.5", max_wyoming_connections="1") as at:
        with socket.socket() as deaf:
            deaf.setblocking(False)
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(deaf, ("127.0.0.1", at.gateway.wyoming_port))
            with suppress(ConnectionError):  # it is dropped while it sends
                async with asyncio.timeout(PATIENCE_S):
                    await loop.sock_sendall(deaf, ping * 190)
            await at.until_metric("gateway_connections 0.0\n")
            await at.until_metric("gateway_outbox_overflows_total 1.0\n")
            async with calling(at) as client:
                await client.say("describe")
                event = await client.get()
                assert event is not None
                assert event[0] == "info"


def hostile_events(rng: random.Random) -> bytes:
    """An event, mutated."""
    kinds = (
        "describe",
        "transcribe",
        "audio-start",
        "audio-chunk",
        "audio-stop",
        "ping",
        "select-program",
        "x" * 70,
        "",
    )
    odd = (None, True, -1, 2**64, 0.5, "", "\u0000", "é" * 300, [], {}, [[[]]], [1] * 500, {"a": {"b": None}})
    data: dict[str, Any] = {**SOUND}
    for _ in range(rng.randrange(3)):
        data[rng.choice(("rate", "width", "channels", "language", "name", "text", "transcript_names"))] = rng.choice(
            odd
        )
    payload = rng.randbytes(rng.choice((0, 1, 640)))
    header: dict[str, Any] = {"type": rng.choice(kinds), "data": data, "payload_length": len(payload)}
    if rng.random() < 0.2:
        header[rng.choice(("type", "data", "data_length", "payload_length"))] = rng.choice(odd)
    event = bytearray(json.dumps(header).encode() + b"\n" + payload)
    if rng.random() < 0.2:
        event[rng.randrange(len(event))] = rng.randrange(256)
    return rng.randbytes(200) if rng.random() < 0.05 else bytes(event)


async def test_hostile_events_disturb_no_neighbour() -> None:
    rng = random.Random(SEED)
    with capture_logs() as lines:
        await _flood(rng)
    events = {line["event"] for line in lines}
    assert "session ended" in events
    assert "connection failed" not in events


async def _flood(rng: random.Random) -> None:
    sent = 0
    async with served(Script(slots=64)) as at, calling(at) as neighbour:
        await neighbour.say("audio-start", SOUND)
        while sent < 2000:
            async with calling(at) as client:
                for _ in range(10):
                    client.writer.write(hostile_events(rng))
                    sent += 1
                client.writer.write_eof()
                kinds = await client.rest()
                assert "error" not in kinds[:-1]
        await neighbour.say("audio-chunk", SOUND, bytes(640))
        await neighbour.say("audio-stop")
        assert len((await neighbour.transcript())[0].split()) == 1
        await at.until_metric('gateway_errors_total{code="internal"} 0.0')


def own_address() -> str:
    """An address of this machine that is not on loopback."""
    found = [
        each.address for addresses in psutil.net_if_addrs().values() for each in addresses if each.family == AF_INET
    ]
    found = [address for address in found if not is_loopback(address)]
    if not found:
        pytest.skip("this machine has no network")
    return found[0]


@pytest.mark.parametrize(("is_listed", "answer"), [(True, ("pong", {"text": None})), (False, None)])
async def test_other_machines_must_be_listed(is_listed: bool, answer: Any) -> None:
    address = own_address()
    clients = address if is_listed else "203.0.113.1"
    async with served(wyoming_host="0.0.0.0", wyoming_clients=clients) as at:
        reader, writer = await asyncio.open_connection(address, at.gateway.wyoming_port)
        client, event = Client(reader, writer), None
        with suppress(ConnectionError):
            await client.say("ping")
            event = await client.get()
        writer.transport.abort()
        assert event == answer
        if not is_listed:
            await at.until_metric('gateway_connections_refused_total{port="wyoming",reason="plaintext"} 1.0')


async def test_the_oldest_silent_connection_is_closed() -> None:
    async with served(max_wyoming_connections="2") as at, calling(at) as busy, calling(at) as mute:
        await busy.say("ping")
        assert await busy.get() is not None
        async with calling(at) as late:
            assert await mute.rest() == []
            await late.say("ping")
            assert await late.get() is not None
        await busy.say("ping")
        assert await busy.get() is not None


async def test_a_silent_client_is_closed() -> None:
    async with served(http_request_s="0.2", http_idle_s="0.3") as at, calling(at) as mute, calling(at) as idle:
        await idle.say("audio-start", SOUND)
        assert await mute.rest() == []
        assert await idle.rest() == ["error"]


async def test_a_shutdown_says_so() -> None:
    async with served() as at, calling(at) as speaking, calling(at) as waiting:
        await speaking.say("audio-chunk", SOUND, bytes(640))
        await waiting.say("ping")
        assert await waiting.get() == ("pong", {"text": None})
        await eventually(lambda: heard(at), bool)
        await at.gateway.drain()
        assert (await speaking.rest())[-1] == "error"
        await waiting.say("audio-start", SOUND)
        assert await waiting.rest() == ["error"]
