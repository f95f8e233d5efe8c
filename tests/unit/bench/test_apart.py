"""Attackers have a core of their own, and honest clients fixed moments of the clock."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench.harness.cores import Cores, all_cores, cores_apart
from bench.harness.grid import next_moment


@pytest.mark.parametrize("now", [0.0, 0.024, 0.025, 7.3, 12345.678])
def test_moments_are_an_interval_apart_and_in_phase(now: float) -> None:
    due = next_moment(now, 0.1, 0.25)
    assert now < due <= now + 0.1 + 1e-9
    assert due % 0.1 == pytest.approx(0.025, abs=1e-6)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core")
def test_what_is_measured_and_what_disturbs_share_no_core() -> None:
    before = os.sched_getaffinity(0)
    with cores_apart() as cores:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        try:
            assert cores.are_apart
            assert os.sched_getaffinity(child.pid) == os.sched_getaffinity(0) == {cores.measured}
            cores.put_aside(child.pid)
            assert os.sched_getaffinity(child.pid) == cores.others == before - {cores.measured}
        finally:
            child.communicate()
    assert os.sched_getaffinity(0) == before


def test_one_core_is_said_to_be_shared() -> None:
    assert not Cores(0, frozenset({0})).are_apart


def test_where_all_cores_are_measured_those_who_disturb_get_what_is_left() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        all_cores().put_aside(child.pid)
        assert all_cores().are_apart
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == 19
    finally:
        child.communicate()
