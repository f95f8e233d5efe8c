"""What a frame costs: its CPU time by the benchmark, and how far the machine stretches it."""

from __future__ import annotations

from itertools import count

import pytest

from workers.vision import frame_meter
from workers.vision.frame_meter import FrameMeter

COST = 0.01


class Machine:
    """A machine with a clock that stands still but for work: each piece takes `stretch` times its CPU time."""

    def __init__(self) -> None:
        self.now = self.cpu = 0.0
        self.stretch = 1.0

    def monotonic(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return self.cpu

    def work(self, cpu: float = 0.02) -> None:
        self.cpu += cpu
        self.now += cpu * self.stretch


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(frame_meter, "time", made)
    return made


def analyse(meter: FrameMeter, machine: Machine, seconds: float, frames: int) -> None:
    """This many frames each second, and a review."""
    for _ in range(int(seconds)):
        until = machine.now + 1.0
        for _ in range(frames):
            meter.run(machine.work)
        machine.now = max(until, machine.now)
        meter.review()


def test_frames_on_an_unchanged_machine_keep_the_slots(machine: Machine) -> None:
    meter = FrameMeter(COST, 2, 2.0, 10)
    assert meter.capacity.slots == 15
    analyse(meter, machine, 90, frames=5)
    assert meter.capacity.slots == 15


def test_a_busy_machine_halves_the_slots_and_an_idle_one_restores_them(machine: Machine) -> None:
    meter = FrameMeter(COST, 2, 2.0, 10)
    machine.stretch = 2.0
    analyse(meter, machine, 90, frames=2)
    assert meter.capacity.slots in (7, 8)
    machine.stretch = 1.0
    analyse(meter, machine, 90, frames=2)
    assert meter.capacity.slots == 15


def test_a_start_on_a_busy_machine_is_forgotten_once_the_idle_worker_measures(machine: Machine) -> None:
    meter = FrameMeter(4 * COST, 2, 2.0, 10)
    assert meter.capacity.slots == 3
    meter.measured([(COST, COST), (1.1 * COST, 1.1 * COST)])
    for _ in range(30):
        machine.now += 1
        meter.review()
    assert meter.capacity.slots == 15


def test_a_quota_bounds_the_slots(machine: Machine) -> None:
    assert FrameMeter(COST, 1, 0.5, 10).capacity.slots == 3


def test_measurements_of_an_idle_worker_become_rare(machine: Machine) -> None:
    meter = FrameMeter(COST, 2, 2.0, 10)
    measured = []
    for second in count():
        machine.now = float(second)
        if second > 200:
            break
        if meter.measurement_due():
            measured.append(second)
            meter.measured([(COST, COST)] * 2)
    assert measured == [10, 30, 70, 130, 190]
