"""What start-up concludes from the measured costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.stt import calibration
from workers.stt.calibration import calibrate, streams_in_real_time
from workers.stt.config import SttConfig


class Machine:
    """A model whose costs are known: it moves the clock by what its work would take."""

    def __init__(self, encode: dict[int, float], decode: dict[int, float]) -> None:
        self.now = 0.0
        self.costs = {"encode": encode, "decode": decode}
        self.batches = (0, 0)
        self.frames = 800
        self.decoded: list[int] = []

    def benchmark(self, tuning: object) -> Machine:
        return self

    def warm_up(self) -> None:
        self.now += 60.0

    def encode(self, count: int) -> None:
        self.now += self.costs["encode"][count]

    def decode(self, count: int) -> None:
        self.decoded.append(count)
        self.now += self.costs["decode"][count]

    def align(self, count: int) -> None:
        self.now += 0.01 * count

    def set_batches(self, encode: int, decode: int) -> None:
        self.batches = encode, decode


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine({1: 0.05}, {1: 0.04, 2: 0.06, 4: 0.09})
    monkeypatch.setattr(calibration.time, "process_time", lambda: made.now)
    monkeypatch.setattr(calibration.time, "monotonic", lambda: made.now)
    return made


def config(**settings: int) -> SttConfig:
    return SttConfig(model="toy", path=Path("toy"), **settings)


def test_the_cheapest_batch_sizes_are_taken(machine: Machine) -> None:
    found = calibrate(machine, config(threads=2))
    assert machine.batches == (found.encode_batch, found.decode_batch) == (1, 4)
    assert found.step_cost == pytest.approx(0.05 + 0.0225 + 0.01)
    assert found.slots == int(streams_in_real_time(found.step_cost, 2, 1.5))


def test_sizes_that_were_set_are_kept(machine: Machine) -> None:
    machine.costs["encode"] = {4: 0.24}
    calibrate(machine, config(encode_batch=4, decode_batch=1))
    assert machine.batches == (4, 1)


def test_a_larger_batch_has_to_be_worth_it(machine: Machine) -> None:
    machine.costs["decode"] = {1: 0.04, 2: 0.078, 4: 0.156}
    assert calibrate(machine, config()).decode_batch == 1


def test_streams_grow_with_the_machine() -> None:
    assert 24 <= streams_in_real_time(0.08, 2, 1.5) < 32
    assert streams_in_real_time(0.08, 8, 1.5) >= 4 * 24


def test_a_slow_machine_serves_one_stream(machine: Machine) -> None:
    machine.costs["encode"] = {1: 100.0}
    assert calibrate(machine, config(threads=1)).slots == 1


def test_a_fast_machine_is_measured_in_several_rounds(machine: Machine) -> None:
    calibrate(machine, config())
    assert machine.decoded == [1, 2, 4] * 3


def test_a_slow_machine_is_measured_once(machine: Machine) -> None:
    machine.costs["decode"] = {1: 0.2, 2: 0.3, 4: 0.4}
    calibrate(machine, config())
    assert machine.decoded == [1, 2, 4]


def test_a_quota_of_cores_bounds_the_streams() -> None:
    assert streams_in_real_time(0.08, 0.5, 1.5) == streams_in_real_time(0.16, 1, 1.5)
