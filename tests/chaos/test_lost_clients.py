"""A client's socket is lost in every possible way; the session continues with nothing lost or doubled."""

import asyncio
import random
import time

import pytest

from bench.harness.actions import eventually, loads, metric, speaking
from bench.harness.fault_proxy import FaultProxy, fault_proxy
from bench.harness.speaker import Pace, Speaker
from bench.harness.stack import HOST, Stack


def through(proxy: FaultProxy) -> str:
    return f"ws://{HOST}:{proxy.port}/ws"


async def cut(proxy: FaultProxy, speaker: Speaker, how: str, away_s: float) -> None:
    """Lose the socket, stay away, come back, and wait for the next text."""
    before = proxy.accepted
    match how:
        case "reset":
            proxy.refuse()
            assert proxy.reset() == 1
        case "half-open":
            assert proxy.half_open() == 1
            await asyncio.sleep(away_s)
            proxy.reset()
        case "black hole":
            proxy.black_hole()
            await asyncio.sleep(away_s)
            proxy.reset()
    await asyncio.sleep(away_s)
    proxy.heal()
    await eventually("the client is back", lambda: proxy.connections == 1 and proxy.accepted > before)
    await speaker.until_final_after(time.monotonic())


@pytest.mark.parametrize("how", ["reset", "black hole", "half-open"])
async def test_cuts_at_random_moments_lose_nothing(fake_stack: Stack, how: str) -> None:
    rng = random.Random(3)
    async with fault_proxy(fake_stack.ws_port) as proxy:
        speaker = Speaker(through(proxy), 21)
        async with asyncio.timeout(90), speaking([speaker]) as tasks:
            for _ in range(4):
                await asyncio.sleep(rng.uniform(0.05, 0.5))
                await cut(proxy, speaker, how, rng.uniform(0.1, 1.0))
        tasks[0].result().check()
        assert proxy.accepted >= 5


async def test_an_end_said_while_away_is_said_once(fake_stack: Stack) -> None:
    async with fault_proxy(fake_stack.ws_port) as proxy:
        speaker = Speaker(through(proxy), 6)
        async with asyncio.timeout(60), speaking([speaker]) as tasks:
            await speaker.until_final_after(0)
            proxy.refuse()
            assert proxy.reset() == 1
            await asyncio.sleep(0.1)
            speaker.enough.set()
            await asyncio.sleep(0.1)
            proxy.heal()
        tasks[0].result().check()


async def test_a_slow_and_late_line_loses_nothing(fake_stack: Stack) -> None:
    async with fault_proxy(fake_stack.ws_port) as proxy:
        proxy.delay_s, proxy.bytes_per_second = 0.05, 200_000
        heard = await Speaker(through(proxy), 4).speak(60)
        heard.check()
        assert proxy.accepted == 1


async def test_hundreds_of_reconnects_at_once(fake_stack: Stack) -> None:
    """The default worker has 64 slots; 64 streams come back together with 140 sessions that have no stream."""
    async with fault_proxy(fake_stack.ws_port) as proxy:
        speakers = [Speaker(through(proxy), seed, pace=Pace(1600, 0.25)) for seed in range(60)]
        idle = [Speaker(through(proxy), 100 + seed).client for seed in range(140)]
        async with asyncio.timeout(100), speaking(speakers) as tasks:
            await asyncio.gather(*(client.__aenter__() for client in idle))
            assert proxy.reset() == 200
            cut_at = time.monotonic()
            await eventually("all are back", lambda: proxy.connections == 200)
            await asyncio.gather(*(speaker.until_final_after(cut_at) for speaker in speakers))
            assert sum(await loads(fake_stack)) == 60
            await asyncio.gather(*(client.close() for client in idle))
        for task in tasks:
            task.result().check()
        assert await metric(fake_stack, "gateway_errors_total") == 0
