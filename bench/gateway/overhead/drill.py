"""What a chunk costs the gateway, and what the gateway adds to latency: the servers run alternately, in rounds.

All loads against all servers take 15 minutes; `--overhead-short` takes four, for the bounds on CPU alone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.gateway.figures import Figures
from bench.gateway.overhead.load import Load, Row, held_open, measure
from bench.gateway.overhead.process import machine, resident_kib
from bench.gateway.overhead.subjects import Subject, running_subjects
from bench.gateway.overhead.summary import bounds, ratios, report, summary

_CHUNK_BYTES = 3200  # 100 ms of PCM at 16 kHz
_OTHERS = ("echo", "bridge", "direct", "other")
LOADS = {
    load.name: load
    for load in (
        Load("live", streams=100, rate=10, payload_bytes=_CHUNK_BYTES),
        Load("talkup", streams=100, rate=1, payload_bytes=16_000),
        Load("half", streams=50, rate=10, payload_bytes=_CHUNK_BYTES, only=(*_OTHERS, "ours json", "ours binary")),
        Load("saturated", streams=100, rate=0, payload_bytes=_CHUNK_BYTES),
        # Until as much waits as the clients let wait, a server reads more than it answers.
        Load("offered_5000", streams=100, rate=50, payload_bytes=_CHUNK_BYTES, warm_up_s=8.0, only=("ours json",)),
    )
}
_SETTLE_S = 0.5
# Until a gateway has seen that its worker's address leads to one worker, so that streams may share an RPC.
_EVIDENCE_S = 5.0
# Memory: connections without and with a stream. Chunks are small, and all are committed by the 20th: no replay buffer.
_IDLE, _OPEN, _COMMITTED_CHUNKS = 1000, 600, 20

# What the bounds on CPU compare.
_SHORT_LOADS = ("live", "saturated")
_SHORT_SERVERS = ("echo", "node bridge", "ours json", "ours binary", "other json", "other binary")

Rows = dict[str, dict[str, list[Row]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this part."""
    parser.add_argument("--overhead-rounds", type=int, default=3)
    parser.add_argument("--overhead-seconds", type=float, default=3.0, help="measured time of a row")
    parser.add_argument("--overhead-short", action="store_true", help="only what the bounds on CPU need, in 4 minutes")
    parser.add_argument("--overhead-loads", help="loads, comma-separated")
    parser.add_argument("--overhead-servers", help="only servers whose name contains one of these words")
    parser.add_argument("--other-checkout", type=Path, help="a checkout whose gateway is measured as well, as `other`")


def _words(given: str | None, usual: Sequence[str]) -> Sequence[str]:
    return usual if given is None else [word for word in given.split(",") if word]


def _chosen(subjects: Sequence[Subject], words: Sequence[str]) -> list[Subject]:
    return [each for each in subjects if not words or any(word in each.name for word in words)]


async def overhead(arguments: argparse.Namespace) -> Figures:
    """e. CPU per chunk, latency and memory of the gateway, against raw echoes and plain bridges."""
    is_short = arguments.overhead_short
    loads = _words(arguments.overhead_loads, _SHORT_LOADS if is_short else (*LOADS, "memory"))
    words = _words(arguments.overhead_servers, _SHORT_SERVERS if is_short else ())
    figures: Figures = {**machine(), "load_average_before": os.getloadavg()[0]}
    with running_subjects(arguments.other_checkout) as everyone:
        await asyncio.sleep(_EVIDENCE_S)
        subjects = _chosen(everyone, words)
        if "memory" in loads:
            figures["memory_kib"] = await memory(subjects)
        chosen = [LOADS[name] for name in loads if name != "memory"]
        rows = await _rounds(subjects, chosen, arguments.overhead_rounds, arguments.overhead_seconds)
    for name, by_server in rows.items():
        figures[name] = {server: summary(LOADS[name], each) for server, each in by_server.items()}
        figures[f"{name}_ratios"] = ratios(figures[name])
    figures["load_average_after"] = os.getloadavg()[0]
    figures["bounds"] = [" ".join(check.row()) for check in bounds(figures)]
    print(report(figures, list(rows)))
    return figures


async def _rounds(subjects: Sequence[Subject], loads: Sequence[Load], rounds: int, seconds: float) -> Rows:
    """Measure each load against its servers, once in every round; another server comes first each time."""
    rows: Rows = {}
    for turn in range(rounds):
        for load in loads:
            servers = _chosen(subjects, load.only)
            shift = turn % max(1, len(servers))
            for subject in [*servers[shift:], *servers[:shift]]:
                row = await measure(subject, load, seconds)
                rows.setdefault(load.name, {}).setdefault(subject.name, []).append(row)
                cost = "-" if row.us_per_chunk is None else f"{row.us_per_chunk:.0f} µs a chunk"
                print(f"round {turn + 1} of {rounds}, {load.name}, {subject.name}: {cost}", file=sys.stderr, flush=True)
                await asyncio.sleep(_SETTLE_S)
    return rows


async def memory(subjects: Sequence[Subject]) -> dict[str, Any]:
    """KiB per idle connection, and per connection with an open stream; of each process once, while it is fresh."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for subject in subjects:
        if subject.pid is None or subject.door != "ws" or subject.pid in seen:
            continue
        seen.add(subject.pid)
        before = resident_kib(subject.pid)
        async with held_open(subject, streams=_IDLE, chunks=0):
            await asyncio.sleep(_SETTLE_S)
            idle = resident_kib(subject.pid)
            if subject.start == "none":
                found[subject.name] = {"idle": round((idle - before) / _IDLE, 1)}
                continue
            async with held_open(subject, streams=_OPEN, chunks=_COMMITTED_CHUNKS, payload_bytes=160):
                await asyncio.sleep(_SETTLE_S)
                with_streams = resident_kib(subject.pid)
        found[subject.name] = {
            "idle": round((idle - before) / _IDLE, 1),
            "with_stream": round((with_streams - idle) / _OPEN, 1),
        }
    return found
