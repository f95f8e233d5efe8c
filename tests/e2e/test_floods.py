"""A client with a key that floods the gateway with frames or unfinished messages: others do not feel it."""

from __future__ import annotations

import asyncio
import json
import struct
import time

from gateway.refusal_pace import MISTAKES, REFUSED_BURST
from tests.e2e.gateway_rig import KEY, Rig, rig
from tests.fakes.raw_websocket import BINARY, CONTINUATION, PING, TEXT, RawWebSocket, frame

AUTHORIZED = {"Authorization": f"Bearer {KEY}"}
MIB = 1024 * 1024


async def opened(at: Rig) -> RawWebSocket:
    socket = await RawWebSocket.open(at.gateway.ws_port, headers=AUTHORIZED)
    await socket.until("session")
    return socket


async def is_served(at: Rig) -> None:
    client = await at.connect(key=KEY)
    await client.get("session")
    await client.send("ping")
    await client.get("pong")
    await client.socket.close()


async def test_unfinished_messages_are_bounded_for_all_sockets_together() -> None:
    async with rig(max_inbound_bytes=str(4 * MIB), ping_interval_s="3600") as at:
        honest = await at.connect(key=KEY)
        await honest.start()
        held = []
        for size in (700_000, 700_000, 700_000, 2_800_000):
            socket = await opened(at)
            await socket.send(frame(BINARY, bytes(size), fin=False))
            held.append(socket)
        await at.until_metric("gateway_inbound_overflows_total 1.0")
        frames = await held[-1].rest()
        assert frames[0].message["data"]["code"] == "busy"
        assert frames[-1].close_code == 1013
        await honest.socket.send(b"one1")
        assert len(await honest.finals(1)) == 1
        await held[0].send(frame(CONTINUATION, b"", fin=True))
        assert (await held[0].until("error"))["data"]["code"] == "unknown_stream"
        await honest.socket.close()


async def test_half_a_frame_counts_as_well() -> None:
    async with rig(max_inbound_bytes=str(MIB), ping_interval_s="3600") as at:
        socket = await opened(at)
        await socket.send(struct.pack(">BBQ", 0x82, 0xFF, 4 * MIB) + bytes(4) + bytes(1_500_000))
        assert await socket.close_code() == 1013
        await is_served(at)


async def test_empty_fragments_do_not_fill_the_memory() -> None:
    async with rig(max_inbound_bytes=str(MIB), ping_interval_s="3600") as at:
        socket = await opened(at)
        await socket.send(frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 9000)
        assert await socket.close_code() in (1002, 1008, 1009, 1013)
        await is_served(at)


async def test_pings_whose_pongs_nobody_reads_end_the_connection() -> None:
    async with rig(outbox_bytes="100000", ping_interval_s="3600") as at:
        socket = await opened(at)
        socket.stop_reading()
        pings = frame(PING, bytes(125)) * 1000

        async def flood() -> None:
            while True:
                await socket.send(pings)
                await asyncio.sleep(0)

        flooding = asyncio.create_task(flood())
        await at.until_metric("gateway_outbox_overflows_total 1.0")
        flooding.cancel()
        await is_served(at)


async def test_a_flood_of_small_frames_is_read_slowly_and_others_are_answered() -> None:
    async with rig(ping_interval_s="3600") as at:
        socket = await opened(at)
        flood = frame(PING) * 60_000
        sending = asyncio.create_task(socket.send(flood))
        await at.until_metric("gateway_frame_pauses_total 1.0")
        await is_served(at)
        sending.cancel()
        socket.abort()


async def test_all_of_many_messages_that_arrive_at_once_are_answered() -> None:
    """More than one slice, and more than are read ahead."""
    async with rig(ping_interval_s="3600") as at:
        socket = await opened(at)
        texts = [json.dumps({"type": "ping", "payload": number, "data": "x" * 900}) for number in range(150)]
        await socket.send(b"".join(frame(TEXT, text.encode()) for text in texts))
        answers = [(await socket.until("pong"))["data"]["payload"] for _ in texts]
        assert answers == list(range(150))


async def test_new_sockets_of_a_key_bring_no_new_burst_and_a_mistake_each_makes_nobody_wait() -> None:
    """The gateway's monotonic clock stands still, so no pace earns anything."""
    now = time.monotonic()
    async with rig(monotonic=lambda: now, ping_interval_s="3600") as at:

        async def send_nonsense(count: int) -> None:
            client = await at.connect(key=KEY)
            for _ in range(count):
                await client.socket.send("nonsense")
                await client.get("error", code="bad_json")
            await client.send("ping")
            await client.get("pong")
            await client.socket.close()

        for _ in range(5):
            await send_nonsense(MISTAKES)
        await at.until_metric("gateway_refusal_pauses_total 0.0")
        await send_nonsense(MISTAKES + REFUSED_BURST)
        alone = REFUSED_BURST + MISTAKES - REFUSED_BURST
        await at.until_metric(f"gateway_refusal_pauses_total {alone:.1f}")
        for _ in range(5):
            await send_nonsense(MISTAKES)
        await at.until_metric(f"gateway_refusal_pauses_total {alone:.1f}")
        await send_nonsense(MISTAKES + 2)
        await at.until_metric(f"gateway_refusal_pauses_total {alone + 2:.1f}")


async def test_an_address_without_a_key_has_a_pace_of_its_own() -> None:
    now = time.monotonic()
    async with rig(monotonic=lambda: now, ping_interval_s="3600") as at:
        for number in range(2):
            stranger = await at.connect()
            for _ in range(REFUSED_BURST):
                await stranger.socket.send("nonsense")
                await stranger.get("error", code="bad_json")
            await stranger.socket.close()
            paused = max(0, (number + 1) * (REFUSED_BURST - MISTAKES) - REFUSED_BURST)
            await at.until_metric(f"gateway_refusal_pauses_total {paused:.1f}")
        client = await at.connect(key=KEY)
        for _ in range(REFUSED_BURST):
            await client.socket.send("nonsense")
            await client.get("error", code="bad_json")
        await client.socket.close()
        await at.until_metric(f"gateway_refusal_pauses_total {paused:.1f}")
