"""Many streams on several workers: even spread, also after a worker is lost or returns, and no leaks."""

import asyncio
import itertools
import random
import time
from functools import partial

import pytest

from bench.harness.actions import eventually, footprint, loads, metric, settled, speaking, until_serving
from bench.harness.fault_proxy import fault_proxy
from bench.harness.speaker import Pace, Speaker
from bench.harness.stack import HOST, Stack, running_stack

MIB = 1024 * 1024
CHURN_S = 90.0
LEAST_LAPS = 24  # on a busy machine: memory levels off with use and not with time


def quiet(stack: Stack, seeds: range) -> list[Speaker]:
    """Speakers at half of real time, so that thirty of them leave CPU for the scenario."""
    return [Speaker(stack.ws_url, seed, pace=Pace(3200, 0.2)) for seed in seeds]


async def test_thirty_streams_spread_over_three_workers_and_over_a_returned_one() -> None:
    with running_stack(workers=3) as stack:
        first = quiet(stack, range(30))
        async with asyncio.timeout(100), speaking(first) as tasks:
            for speaker in first:
                await speaker.until_final_after(0)
            served = await loads(stack)
            assert sum(served) == 30
            assert max(served) - min(served) <= 2
            stack.workers[1].kill()
            killed = time.monotonic()
            for speaker in first:
                await speaker.until_final_after(killed)
            await eventually("all moved", lambda: sum(bool(s.heard.failovers) for s in first) == served[1])
            left, gone, right = await loads(stack)
            assert (left + right, gone) == (30, 0)
            assert abs(left - right) <= 2
            await until_serving(stack, first[0], 2)
            stack.restart_worker(1)
            await until_serving(stack, first[0], 3)
            later = quiet(stack, range(30, 40))
            async with speaking(later) as later_tasks:
                for speaker in later:
                    await speaker.until_final_after(0)
                assert (await loads(stack))[1] == 10
        for task in [*tasks, *later_tasks]:
            task.result().check()
        assert sum(await loads(stack)) == 0


@pytest.mark.timeout(CHURN_S + 180)
async def test_churn_leaves_nothing_behind() -> None:
    """For 90 s, streams start, lose their socket or their worker, and end; then no resources have leaked.

    The gateway keeps sessions for only 5 s, so that their number soon levels off.
    """
    with running_stack(workers=2, gateway_settings={"GATEWAY_SESSION_GRACE_S": "5"}) as stack:
        rng = random.Random(8)
        async with fault_proxy(stack.ws_port) as proxy:
            url = f"ws://{HOST}:{proxy.port}/ws"
            for lap in itertools.count():  # until both workers' streams share their link, which has tasks of its own
                await asyncio.gather(*(Speaker(url, 8 * lap + seed).speak(20) for seed in range(8)))
                if stack.gateway.log_text().count("link to a worker opened") == 2:
                    break
            warm, at_work = footprint(stack.gateway), await metric(stack, "gateway_event_loop_tasks")
            until = time.monotonic() + CHURN_S
            half_way = warm
            for lap in itertools.takewhile(lambda n: n < LEAST_LAPS or time.monotonic() < until, itertools.count()):
                if lap <= LEAST_LAPS // 2 or time.monotonic() < until - CHURN_S / 2:
                    half_way = footprint(stack.gateway)
                speakers = [Speaker(url, 1000 + 100 * lap + seed) for seed in range(8)]
                async with asyncio.timeout(60), speaking(speakers) as tasks:
                    await asyncio.sleep(rng.uniform(0.2, 0.6))
                    proxy.reset()
                    if lap % 3 == 2:
                        victim = lap % 2
                        stack.workers[victim].kill()
                        struck = time.monotonic()
                        for speaker in speakers:
                            await speaker.until_final_after(struck)
                        await until_serving(stack, speakers[0], 1)
                        stack.restart_worker(victim)
                        await until_serving(stack, speakers[0], 2)
                for task in tasks:
                    task.result().check()
            await eventually("sockets are gone", lambda: footprint(stack.gateway).descriptors <= warm.descriptors + 2)
        # Each comes to rest by itself, on a busy machine somewhat later than the last socket.
        for name, most in {
            "gateway_connections": 0,
            "gateway_streams": 0,
            "gateway_event_loop_tasks": at_work + 2,
        }.items():
            await settled(name, partial(metric, stack, name), lambda found, most=most: found <= most)
        await settled("streams at workers", partial(loads, stack), lambda found: found == [0, 0])
        # The threads that write checkpoints and that examine lost workers begin when they are first needed; those of
        # gRPC become more under load, and fewer when idle.
        await eventually("threads are gone", lambda: footprint(stack.gateway).threads <= warm.threads + 2)
        after = footprint(stack.gateway)
        assert after.rss - warm.rss < 40 * MIB  # cycles wait for a rarer collection
        assert after.rss - half_way.rss < 12 * MIB
