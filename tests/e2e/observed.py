"""A gateway and workers whose metrics are read, and a load that moves them: speech, pictures, faults and strangers."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import grpc
from prometheus_client.parser import text_string_to_metric_families
from talkup.v1 import task_pb2, worker_service_pb2_grpc

from bench.harness.cluster import PCM
from bench.harness.stack import HOST, KEY, Program, free_port, start, wait_until_ready
from gateway import key_commands
from tests.e2e.wire import Wire, open_wire

METRICS_TOKEN: Final = "metrics-token-of-the-tests"
REPLAY_BYTES: Final = 65_536
PATIENCE_S: Final = 30.0
# Enough for some finals of the scripted engine, whose words have 1,000 bytes.
_CHUNK: Final = b"0123456789" * 100
_CHUNKS: Final = 20
_LARGE: Final = _CHUNK * 30

Labels = frozenset[tuple[str, str]]
Samples = dict[str, dict[Labels, float]]


@dataclass
class Worker:
    """A worker process, its port, and the port of its metrics."""

    name: str
    arguments: tuple[str, ...]
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    program: Program | None = None
    is_frozen: bool = False

    @property
    def answers(self) -> bool:
        """Whether the process lives and runs."""
        return self.process.process.poll() is None and not self.is_frozen

    def freeze(self) -> None:
        """Stop the process."""
        self.is_frozen = True
        self.process.freeze()

    def thaw(self) -> None:
        """Let the process go on."""
        self.is_frozen = False
        self.process.thaw()

    @property
    def target(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def process(self) -> Program:
        assert self.program is not None
        return self.program

    def begin(self) -> Worker:
        ports = {"WORKER_PORT": str(self.port), "WORKER_METRICS_PORT": str(self.metrics_port)}
        settings = {"WORKER_DRAIN_SECONDS": "2", **self.settings, **ports}
        self.is_frozen = False
        self.program = start(self.name, ("-m", "workers", *self.arguments), settings, self.folder)
        return self


@dataclass
class Observed:
    """Everything that exposes metrics. `first` and `second` serve speech, `full` refuses every stream."""

    folder: Path
    gateway: Program
    http_port: int
    ws_port: int
    first: Worker
    second: Worker
    full: Worker
    vision: Worker
    limited_key: str
    # The largest sample that each name has had in any scrape.
    peaks: dict[str, float] = field(default_factory=dict)

    @property
    def ws_url(self) -> str:
        return f"ws://{HOST}:{self.ws_port}/ws"

    @property
    def http_url(self) -> str:
        return f"http://{HOST}:{self.http_port}"

    @property
    def database(self) -> Path:
        return self.folder / "gateway.db"

    async def scrape(self) -> Samples:
        """All samples of the gateway and of the workers that answer, as one."""
        found: Samples = {}
        workers = [each for each in (self.first, self.second, self.vision) if each.answers]
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {METRICS_TOKEN}"}) as http:
            await _read(http, f"{self.http_url}/metrics", found)
            for worker in workers:
                with suppress(aiohttp.ClientConnectorError):  # it has just been started
                    await _read(http, f"http://{HOST}:{worker.metrics_port}/metrics", found)
        for name, samples in found.items():
            self.peaks[name] = max(self.peaks.get(name, 0.0), *samples.values())
        return found

    async def until(self, what: Callable[[Samples], bool]) -> Samples:
        """Scrape until the samples are as expected."""
        async with asyncio.timeout(PATIENCE_S):
            while not what(samples := await self.scrape()):
                await asyncio.sleep(0.05)
        return samples


async def _read(http: aiohttp.ClientSession, url: str, found: Samples) -> None:
    async with http.get(url) as answer:
        assert answer.status == 200
        for family in text_string_to_metric_families(await answer.text()):
            for sample in family.samples:
                key = frozenset({**sample.labels, "url": url}.items())
                found.setdefault(sample.name, {})[key] = sample.value


@contextmanager
def observed(folder: Path) -> Iterator[Observed]:
    """Start everything, wait until it is ready, and stop it at the end of the block."""
    keys = folder / "keys.json"
    limited = key_commands.run(["add", "limited", "--streams", "1", "--file", str(keys)]).strip()
    http_port, ws_port = free_port(), free_port()
    with ExitStack() as exits:
        first = Worker("stt-first", ("fake",), folder)
        second = Worker("stt-second", ("fake",), folder)
        full = Worker("stt-full", ("fake", "--reject"), folder)
        vision = Worker("vision-fake", ("fake", "--service", "vision"), folder)
        for worker in (first, second, full, vision):
            worker.begin()
            exits.callback(lambda worker=worker: worker.process.stop())
        settings = {
            "GATEWAY_HTTP_PORT": str(http_port),
            "GATEWAY_WS_PORT": str(ws_port),
            "GATEWAY_API_KEYS": KEY,
            "GATEWAY_API_KEYS_FILE": str(keys),
            "GATEWAY_METRICS_TOKEN": METRICS_TOKEN,
            "GATEWAY_STORE": f"sqlite:///{folder / 'gateway.db'}",
            "GATEWAY_STT_WORKERS": ",".join(each.target for each in (first, second, full)),
            "GATEWAY_VISION_WORKERS": vision.target,
            "GATEWAY_REPLAY_BYTES": str(REPLAY_BYTES),
            "GATEWAY_WORKER_BEHIND_MS": "300",
            # By default a link comes only after several answers that say that the address leads to one worker.
            "GATEWAY_WORKER_LINKS": "always",
            "GATEWAY_DRAIN_S": "1",
        }
        gateway = start("gateway", ("-m", "gateway"), settings, folder)
        exits.callback(gateway.stop)
        wait_until_ready(gateway, http_port)
        yield Observed(folder, gateway, http_port, ws_port, first, second, full, vision, limited)


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples of a name that have these labels."""
    wanted = set(labels.items())
    return math.fsum(value for key, value in samples.get(name, {}).items() if wanted <= key)


async def begin(wire: Wire, stream_id: str, **more: Any) -> None:
    """Start a stream on a socket and wait until it is accepted."""
    await wire.send({"type": "stream_start", "stream_id": stream_id, "format": PCM, **more})
    await wire.until("acknowledge")


async def say(wire: Wire, stream_id: str, sequence: int, payload: bytes = _CHUNK) -> None:
    """Send a numbered chunk."""
    data = base64.b64encode(payload).decode()
    await wire.send({"type": "stream_chunk", "stream_id": stream_id, "sequence": sequence, "data": data})


async def finish(wire: Wire, stream_id: str) -> dict[str, Any]:
    """End a stream and wait for its totals."""
    await wire.send({"type": "stream_end", "stream_id": stream_id})
    return (await wire.until("stream_ended"))["data"]


@asynccontextmanager
async def speakers(stack: Observed, count: int) -> AsyncIterator[list[Wire]]:
    """Sockets, each with a stream `speech` of which some text is final already."""
    async with AsyncExitStack() as sockets:
        wires = []
        for _ in range(count):
            wire = await sockets.enter_async_context(open_wire(stack.ws_url))
            await begin(wire, "speech")
            for sequence in range(_CHUNKS):
                await say(wire, "speech", sequence)
            await wire.until(lambda message: message["type"] == "transcript_update" and message["data"]["is_final"])
            wires.append(wire)
        yield wires


async def failover(stack: Observed) -> Worker:
    """Kill the worker that serves most of four streams; they go on, with one chunk missing and one sent twice.

    Returns the dead worker.
    """
    async with speakers(stack, 4) as wires:
        samples = await stack.until(lambda found: total(found, "gateway_worker_slots_used", service="stt") > 0)
        workers = (stack.first, stack.second)
        victim = max(workers, key=lambda worker: total(samples, "gateway_worker_streams", worker=worker.target))
        assert total(samples, "gateway_worker_streams", worker=victim.target)
        victim.process.kill()
        for wire in wires:
            for sequence in (_CHUNKS, _CHUNKS, _CHUNKS + 2):
                await say(wire, "speech", sequence)
            ended = await finish(wire, "speech")
            assert (ended["missing_chunks"], ended["duplicate_chunks"]) == (1, 1)
        await stack.scrape()
    return victim


async def back(stack: Observed, worker: Worker) -> None:
    """Start a worker again and wait until it serves."""
    worker.begin()
    await stack.until(lambda found: total(found, "gateway_worker_serving", worker=worker.target) == 1)


async def pictures(stack: Observed) -> None:
    """Some pictures, analysed by the scripted engine."""
    async with open_wire(stack.ws_url) as wire:
        await begin(wire, "camera", format="image/jpeg")
        for _ in range(12):  # after ten, the engine says how many
            await wire.send(b"\xff\xd8\xff" + _CHUNK)
            await wire.until("analysis_result")
        await finish(wire, "camera")


async def asked(stack: Observed, method: str, path: str, key: str = KEY) -> tuple[int, str]:
    """The status of a request, and the code of its error."""
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.request(method, stack.http_url + path) as answer,
    ):
        body = json.loads(await answer.text())
        return answer.status, body["error"]["code"] if answer.status >= 400 else ""


async def strangers(stack: Observed) -> None:
    """Who is refused: a guessed key, a port scanner, an owner above its share, a caller that breaks the contract."""
    assert await asked(stack, "POST", "/v1/sessions", "guessed") == (401, "unauthenticated")
    _, writer = await asyncio.open_connection(HOST, stack.ws_port)
    writer.close()
    async with open_wire(stack.ws_url, stack.limited_key) as wire:
        await begin(wire, "a")
        await wire.send({"type": "stream_start", "stream_id": "b", "format": PCM})
        assert (await wire.until("error"))["data"]["code"] == "too_many_streams"
    async with grpc.aio.insecure_channel(stack.vision.target) as channel:
        stub = worker_service_pb2_grpc.WorkerServiceStub(channel)
        with suppress(grpc.aio.AioRpcError):
            await stub.StreamTask(iter([task_pb2.TaskRequest()])).read()


async def refused_by_a_full_worker(stack: Observed) -> None:
    """New streams until one was refused by the worker that refuses all, and went to another."""
    async with asyncio.timeout(PATIENCE_S), AsyncExitStack() as sockets:
        while not total(await stack.scrape(), "gateway_retries_total"):
            wire = await sockets.enter_async_context(open_wire(stack.ws_url))
            await begin(wire, "speech")


async def at_once() -> None:
    """The default for `seen` of `loss`."""


async def loss(stack: Observed, seen: Callable[[], Awaitable[None]] = at_once) -> None:
    """All workers freeze and one dies, with more media on its way than the gateway keeps: some is lost.

    They stay frozen until `seen` returns.
    """
    async with speakers(stack, 1) as [wire]:
        samples = await stack.scrape()
        workers = (stack.first, stack.second)
        victim, other = sorted(workers, key=lambda w: -total(samples, "gateway_worker_streams", worker=w.target))
        for worker in workers:
            worker.freeze()
        for sequence in range(_CHUNKS, _CHUNKS + 4 * REPLAY_BYTES // len(_LARGE)):
            await say(wire, "speech", sequence, _LARGE)
        await stack.until(lambda found: total(found, "gateway_streams_congested", service="stt") > 0)
        await say(wire, "speech", _CHUNKS + 4 * REPLAY_BYTES // len(_LARGE))
        await stack.until(lambda found: total(found, "gateway_read_pauses_total") > 0)
        await seen()
        victim.process.kill()
        other.thaw()
        await stack.until(lambda found: total(found, "gateway_chunks_lost_total", service="stt") > 0)
        await back(stack, victim)
        await finish(wire, "speech")


async def store_outage(stack: Observed) -> None:
    """Another program locks the store until a write and a read have failed."""
    async with speakers(stack, 1) as [wire]:
        session_id = next(m for m in wire.seen if m["type"] == "session")["data"]["session_id"]
        with closing(sqlite3.connect(stack.database, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            for sequence in range(_CHUNKS, 2 * _CHUNKS):
                await say(wire, "speech", sequence)
            await stack.until(lambda found: total(found, "gateway_store_failures_total") > 0)
            assert await asked(stack, "DELETE", "/v1/sessions/unknown") == (503, "internal")
            other.execute("ROLLBACK")
        await finish(wire, "speech")
        assert await asked(stack, "GET", f"/v1/sessions/{session_id}/transcript") == (200, "")
