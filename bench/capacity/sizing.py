"""What a number of concurrent speakers needs, from the figures of one host. Pure.

The figures come from `make bench-host` (bench/results/host.json). Without it, those of time and CPU come from
docs/performance.md, measured on two AVX-512 cores with VNNI (speech) and on two busy AVX2 cores (gateway), and those of
memory from a run of `make bench-host` with tiny.en.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from bench.capacity.plan import Plan


@dataclass(frozen=True, slots=True)
class HostFigures:
    """One host. Memory is in MB. `streams_per_core`: of a speech worker, at which 95 % of the finals are in time.

    `gateway_us_per_chunk`: CPU of a gateway for a chunk with its result.
    """

    streams_per_core: float = 10.0
    worker_mb: float = 440.0
    stream_mb: float = 5.0
    gateway_us_per_chunk: float = 710.0
    gateway_mb: float = 60.0
    connection_kib: float = 108.0

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> HostFigures:
        """The figures in the results of `bench-host`; what it could not measure keeps its default."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: float(value) for name, value in found.items() if name in known and value is not None})


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is assumed of speakers and of the way in which it is run.

    `chunks`: that a client sends a second; `finals`: that a stream yields a second. `worker_full`: share of the slots
    that is used at most, `gateway_busy`: CPU share of a gateway process, both while every zone is there. `zones`: the
    loss of one is borne without refusing anybody. `cell`: speakers of one cell.
    """

    chunks: float = 10.0
    finals: float = 1 / 3
    kilobits: float = 256.0
    worker_full: float = 0.85
    gateway_busy: float = 0.6
    zones: int = 3
    cores: int = 16
    cell: int = 2_000
    probe_us: float = 500.0


def needs(speakers: int, host: HostFigures | None = None, assumed: Assumptions | None = None) -> dict[str, Any]:
    """Hosts, processes, memory, network and store for this many speakers at once."""
    host, assumed = host or HostFigures(), assumed or Assumptions()
    spare = assumed.zones / (assumed.zones - 1) if assumed.zones > 1 else 1.0
    streams_a_host = int(host.streams_per_core * assumed.cores)
    cells = max(1, math.ceil(speakers / assumed.cell))
    a_cell = speakers / cells
    workers = _up(max(a_cell * spare, a_cell / assumed.worker_full) / streams_a_host, assumed.zones)
    # What probing costs a gateway comes off the CPU that it has for chunks.
    budget = assumed.gateway_busy - workers * assumed.probe_us / 1e6
    gateways = _up(a_cell * assumed.chunks * host.gateway_us_per_chunk / 1e6 * spare / budget, assumed.zones)
    streams_a_gateway = a_cell / gateways
    return {
        "speakers": speakers,
        "cells": cells,
        "speech workers of a cell (one a host)": workers,
        "speech workers": workers * cells,
        "cores for speech": workers * cells * assumed.cores,
        "slots of a worker": streams_a_host,
        "memory of a worker, MB": round(host.worker_mb + streams_a_host * host.stream_mb),
        "gateway processes of a cell (a core each)": gateways,
        "gateway processes": gateways * cells,
        "speakers of a gateway process": round(streams_a_gateway),
        "the same while a zone is away": round(streams_a_gateway * spare),
        "memory of a gateway process, MB": round(
            host.gateway_mb + streams_a_gateway * spare * host.connection_kib * 1024 / 1e6
        ),
        "from clients, Mbit/s": round(speakers * assumed.kilobits / 1000),
        "gateways to workers, Mbit/s": round(speakers * assumed.kilobits / 1000),
        "finals written to the store a second": round(speakers * assumed.finals),
        "the same in a cell": round(speakers * assumed.finals / cells),
        "probes a second that a worker answers": gateways,
        "the same without cells": gateways * cells,
    }


def sized(sessions: int, **chosen: int) -> Plan:
    """A simulation of an installation for this many sessions; `chosen` replaces single numbers of it."""
    found = needs(sessions)
    calculated = {
        "sessions": sessions,
        "cells": found["cells"],
        "workers": found["speech workers of a cell (one a host)"],
        "gateways": found["gateway processes of a cell (a core each)"],
        "slots": found["slots of a worker"],
    }
    return Plan(**{**calculated, **chosen})


def autoscaling(host: HostFigures, assumed: Assumptions | None = None) -> dict[str, Any]:
    """The numbers of an autoscaler."""
    assumed = assumed or Assumptions()
    per_process = assumed.gateway_busy * 1e6 / (assumed.chunks * host.gateway_us_per_chunk)
    return {
        "workers: talkup_worker_slots_used_ratio, target": round(
            min(assumed.worker_full, (assumed.zones - 1) / assumed.zones), 2
        ),
        "workers: streams of a core": host.streams_per_core,
        "gateways: CPU of a process, target": assumed.gateway_busy,
        "gateways: speakers of a process at that target": int(per_process),
    }


def _up(count: float, zones: int) -> int:
    """Rounded up to the same number in every zone."""
    return math.ceil(math.ceil(count) / zones) * zones
