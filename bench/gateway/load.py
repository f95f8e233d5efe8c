"""Many clients and long runs: every client recovers, and no resources leak."""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path

from talkup_client import Client
from talkup_client.errors import ConnectionLostError

from bench.gateway.figures import MIB, Figures, rounded, slope, words
from bench.harness.actions import eventually, footprint, loads, metric, percentile, speaking, until_serving
from bench.harness.cluster import cluster
from bench.harness.fault_proxy import FaultProxy, fault_proxy
from bench.harness.speaker import Heard, Pace, Speaker
from bench.harness.stack import HOST, Stack, running_stack


async def storm(arguments: argparse.Namespace) -> Figures:
    """g. Every client loses its socket at once; 60 of them hold streams."""
    count = arguments.reconnects
    with running_stack(workers=2, worker_settings={"WORKER_SLOTS": "40"}) as stack:
        async with fault_proxy(stack.ws_port) as proxy:
            url = f"ws://{HOST}:{proxy.port}/ws"
            speakers = [Speaker(url, seed, pace=Pace(1600, 0.25)) for seed in range(60)]
            idle = [Speaker(url, 10_000 + seed).client for seed in range(count - len(speakers))]
            async with speaking(speakers) as tasks:
                for first in range(0, len(idle), 50):
                    await asyncio.gather(*(client.__aenter__() for client in idle[first : first + 50]))
                dropped, cut = proxy.reset(), time.monotonic()
                await eventually("all are back", lambda: proxy.connections == count)
                connected = time.monotonic() - cut
                await asyncio.gather(*(_until_answered(client) for client in idle))
                back = time.monotonic() - cut
                again = [await speaker.until_final_after(cut) - cut for speaker in speakers]
                served = await loads(stack)
                await asyncio.gather(*(client.close() for client in idle))
        return {
            "reconnects": dropped,
            "connected_after_s": rounded(connected),
            "all_served_after_s": rounded(back),
            "text_again_p95_s": rounded(percentile(again, 0.95)),
            "streams_on_workers": served,
            "slots_a_worker": 40,
            **words(task.result() for task in tasks),
        }


async def restart(arguments: argparse.Namespace) -> Figures:
    """g. The gateway of as many clients is killed and restarted on its file; 60 of them hold streams."""
    count = arguments.reconnects
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster(Path(folder), f"sqlite:///{folder}/own.db", workers=2) as found,
    ):
        [seat] = found.seats
        speakers = [Speaker(seat.ws_url, seed, pace=Pace(1600, 0.25)) for seed in range(60)]
        idle = [Speaker(seat.ws_url, 10_000 + seed).client for seed in range(count - len(speakers))]
        async with speaking(speakers) as tasks:
            for first in range(0, len(idle), 50):
                await asyncio.gather(*(client.__aenter__() for client in idle[first : first + 50]))
            names = {client.session_id for client in idle}
            seat.kill()
            killed = time.monotonic()
            seat.begin()
            await asyncio.gather(*(_until_answered(client) for client in idle))
            back = time.monotonic() - killed
            again = [await speaker.until_final_after(killed) - killed for speaker in speakers]
            same = len(names & {client.session_id for client in idle})
            await asyncio.gather(*(client.close() for client in idle))
        return {
            "clients": count,
            "all_served_after_s": rounded(back),
            "sessions_kept": same + sum(task.result().ended is not None for task in tasks),
            "text_again_p95_s": rounded(percentile(again, 0.95)),
            **words(task.result() for task in tasks),
        }


async def _until_answered(client: Client) -> None:
    """Ping until the gateway answers, since a session may still be resuming."""
    while True:
        try:
            await client.ping()
        except ConnectionLostError:
            await asyncio.sleep(0.2)
        else:
            return


async def soak(arguments: argparse.Namespace) -> Figures:
    """g. For minutes, streams start, lose their socket or their worker, and end."""
    rng = random.Random(4)
    seconds = 60 * arguments.soak_minutes
    samples: list[tuple[float, int]] = []
    heard: list[Heard] = []
    with running_stack(workers=2, gateway_settings={"GATEWAY_SESSION_GRACE_S": "5"}) as stack:
        async with fault_proxy(stack.ws_port) as proxy:
            url = f"ws://{HOST}:{proxy.port}/ws"
            await asyncio.gather(*(Speaker(url, seed).speak(50) for seed in range(8)))
            await _until_sessions_are_over(stack)
            tasks = await metric(stack, "gateway_event_loop_tasks")
            warm, began, lap = footprint(stack.gateway), time.monotonic(), 0
            while time.monotonic() - began < seconds:
                lap += 1
                heard += await _soak_lap(stack, proxy, lap, rng)
                samples.append((time.monotonic() - began, footprint(stack.gateway).rss))
            await _until_sessions_are_over(stack)
            await eventually("sockets gone", lambda: footprint(stack.gateway).descriptors <= warm.descriptors + 2)
        after = footprint(stack.gateway)
        tasks_after = await metric(stack, "gateway_event_loop_tasks")
        left = [await metric(stack, name) for name in ("gateway_connections", "gateway_streams")]
    half = samples[len(samples) // 2 :]
    return {
        "minutes": arguments.soak_minutes,
        "laps": lap,
        **words(heard),
        "rss_start_mib": rounded(warm.rss / MIB),
        "rss_end_mib": rounded(after.rss / MIB),
        "rss_slope_second_half_mib_per_hour": rounded(slope(half) * 3600 / MIB),
        "descriptors": [warm.descriptors, after.descriptors],
        "tasks": [tasks, tasks_after],
        "threads": [warm.threads, after.threads],
        "connections_and_streams_left": left,
    }


async def _until_sessions_are_over(stack: Stack) -> None:
    """Wait until the grace time of every session is over."""
    while await metric(stack, "gateway_sessions"):
        await asyncio.sleep(0.2)


async def _soak_lap(stack: Stack, proxy: FaultProxy, lap: int, rng: random.Random) -> list[Heard]:
    url = f"ws://{HOST}:{proxy.port}/ws"
    speakers = [Speaker(url, 1000 * lap + seed) for seed in range(8)]
    async with speaking(speakers) as tasks:
        await asyncio.sleep(rng.uniform(0.2, 1.5))
        proxy.reset()
        if lap % 5 == 0:
            victim = rng.randrange(2)
            stack.workers[victim].kill()
            struck = time.monotonic()
            for speaker in speakers:
                await speaker.until_final_after(struck)
            await until_serving(stack, speakers[0], 1)
            stack.restart_worker(victim)
            await until_serving(stack, speakers[0], 2)
        await asyncio.sleep(rng.uniform(0.2, 1.5))
    return [task.result() for task in tasks]
