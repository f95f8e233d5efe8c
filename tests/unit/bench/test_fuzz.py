"""The fuzzer finds what is there to be found, and in what it is meant for it finds nothing."""

from __future__ import annotations

import sys
from random import Random

import pytest

from bench.fuzz.loop import Target, fuzz
from bench.fuzz.mutation import MAX_BYTES, mutated
from bench.fuzz.targets import targets

_EXECUTIONS = {"demuxers": 250, "decoder state": 250}
TARGETS = {target.name: target for target in targets()}


def gate(data: bytes) -> None:
    """Fails behind two conditions that a random input meets together once in 65,536 times."""
    if data[0:1] != b"F":
        raise ValueError("not the magic")
    if data[1:2] == b"!":
        raise KeyError("found")


@pytest.mark.parametrize("name", list(TARGETS))
def test_mutated_inputs_break_no_promise(name: str) -> None:
    most = _EXECUTIONS.get(name, 500)
    result = fuzz(TARGETS[name], Random(f"7 {name}"), lambda executions: executions < most)
    assert result.findings == {}
    assert result.executions >= most
    assert result.lines > 3


def test_coverage_leads_to_what_chance_does_not_find() -> None:
    target = Target("gate", gate, [b"??"], (ValueError,), (gate.__module__,))
    result = fuzz(target, Random(1), lambda executions: executions < 25_000)
    assert [what.partition(" at ")[0] for what in result.findings] == ["KeyError"]
    assert next(iter(result.findings.values()))[:2] == b"F!"


def test_what_is_slow_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["bench.fuzz.loop"], "SLOW_SECONDS", -1.0)
    target = Target("gate", gate, [b"F"], (ValueError,), (gate.__module__,))
    assert list(fuzz(target, Random(1), lambda executions: False).findings) == ["slow"]


def test_a_seed_gives_the_same_mutations_on_every_run() -> None:
    made = [[mutated(bytes(100), [b"other"], rng) for _ in range(50)] for rng in (Random(3), Random(3), Random(4))]
    assert made[0] == made[1] != made[2]
    assert max(len(mutated(bytes(MAX_BYTES), [bytes(999)], Random(seed))) for seed in range(200)) <= MAX_BYTES
