"""One row of the benchmark: clients in a Node process, while the server under test is measured."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

from bench.gateway.overhead.process import cpu_seconds
from bench.gateway.overhead.subjects import NODE, Subject
from bench.harness.stack import KEY

_US = 1e6
# A second of a stream's chunks, in all loads: what is not sent because of it counts as not delivered.
_MOST_UNANSWERED = 100
_OPEN_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Load:
    """What the clients do. `rate`: chunks a second and stream; 0: each answer triggers the next chunk.

    `only`: words of which a server's name contains one; without any, the load meets every server.
    """

    name: str
    streams: int
    rate: float
    payload_bytes: int
    warm_up_s: float = 1.5
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """What one run of a load against a server gave. Latency runs from sending a chunk to its answer."""

    us_per_chunk: float | None
    chunks_per_second: float
    delivered: float
    p50_ms: float | None
    p99_ms: float | None
    busy: float | None
    load_busy: float
    load_average: float

    def figures(self) -> dict[str, float | None]:
        """The row for the results file."""
        return {name: None if value is None else round(value, 4) for name, value in asdict(self).items()}


def _plan(subject: Subject, **values: Any) -> str:
    plan = {
        "door": subject.door,
        "url": subject.url,
        "framing": subject.framing,
        "start": subject.start,
        "ca": subject.ca,
        "key": KEY,
        "most_unanswered": _MOST_UNANSWERED,
    }
    return json.dumps({**plan, **values})


@asynccontextmanager
async def _clients(plan: str) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("node", str(NODE / "load.mjs"), plan, stdin=pipe, stdout=pipe)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            raise


async def _line(process: asyncio.subprocess.Process) -> str:
    """The next line of the clients. Raises AssertionError if they end without one."""
    assert process.stdout is not None
    async with asyncio.timeout(_OPEN_TIMEOUT_S):
        line = (await process.stdout.readline()).decode().strip()
    assert line, "the clients of the benchmark ended early; their error is above"
    return line


async def measure(subject: Subject, load: Load, seconds: float) -> Row:
    """Run a load against a server."""
    values = {"streams": load.streams, "rate": load.rate, "payload_bytes": load.payload_bytes, "seconds": seconds}
    values["warm_up"] = load.warm_up_s
    async with _clients(_plan(subject, **values)) as process:
        assert await _line(process) == "begin"
        before = 0.0 if subject.pid is None else cpu_seconds(subject.pid)
        assert await _line(process) == "end"
        cpu = None if subject.pid is None else cpu_seconds(subject.pid) - before
        found = json.loads(await _line(process))
    answered, offered = found["answered"], found["sent"] + found["refused"]
    return Row(
        us_per_chunk=None if cpu is None else _US * cpu / max(1, answered),
        chunks_per_second=answered / found["seconds"],
        delivered=answered / max(1, offered),
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
        busy=None if cpu is None else cpu / found["seconds"],
        load_busy=found["load_cpu_share"],
        load_average=os.getloadavg()[0],
    )


@asynccontextmanager
async def held_open(subject: Subject, *, streams: int, chunks: int, payload_bytes: int = 3200) -> AsyncIterator[None]:
    """Connections that stay open inside the block; `chunks` on each, all answered. 0 chunks: connections only."""
    start = subject.start if chunks else "none"
    values = {"streams": streams, "rate": 0, "payload_bytes": payload_bytes, "seconds": 0, "chunks": chunks}
    async with _clients(_plan(subject, **{**values, "start": start})) as process:
        assert await _line(process) == "open"
        yield
