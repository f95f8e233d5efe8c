"""The loop: mutate an input, run it, keep it if it reaches new lines, report it if it breaks a promise."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from bench.fuzz.coverage import LineCoverage
from bench.fuzz.mutation import mutated

SLOW_SECONDS = 2.0
"""CPU time that no input of `mutation.MAX_BYTES` may take."""

_MAX_KEPT = 2_000


@dataclass(frozen=True)
class Target:
    """What is fuzzed.

    `run` takes any bytes; it raises one of `refusals` for those that it refuses, and anything else is a finding.
    `modules`: whose lines guide the search.
    """

    name: str
    run: Callable[[bytes], None]
    seeds: Sequence[bytes]
    refusals: tuple[type[Exception], ...]
    modules: tuple[str, ...]


@dataclass
class Result:
    """What came of a target: inputs that were run, lines reached, and findings by the place where they were raised."""

    executions: int = 0
    lines: int = 0
    kept: int = 0
    findings: dict[str, bytes] = field(default_factory=dict)


def fuzz(target: Target, rng: Random, go_on: Callable[[int], bool]) -> Result:
    """Run the seeds, then mutations for as long as `go_on(executions)` says."""
    result = Result()
    coverage = LineCoverage(target.modules)
    kept: list[bytes] = []
    for seed in target.seeds:
        _run(target, seed, coverage, result)
        kept.append(seed)
    while go_on(result.executions):
        data = mutated(rng.choice(kept), kept, rng)
        if _run(target, data, coverage, result) and len(kept) < _MAX_KEPT:
            kept.append(data)
    result.lines, result.kept = len(coverage.reached), len(kept)
    return result


def _run(target: Target, data: bytes, coverage: LineCoverage, result: Result) -> bool:
    """Run one input; returns whether it reached new lines."""
    result.executions += 1
    before = len(coverage.reached)
    began = time.process_time()
    try:
        coverage.run(lambda: target.run(data))
    except target.refusals:
        pass
    except Exception as error:  # noqa: BLE001 - what is looked for
        place = traceback.extract_tb(error.__traceback__)[-1]
        result.findings.setdefault(f"{type(error).__name__} at {place.filename}:{place.lineno}", data)
    if time.process_time() - began > SLOW_SECONDS:
        result.findings.setdefault("slow", data)
    return len(coverage.reached) > before
