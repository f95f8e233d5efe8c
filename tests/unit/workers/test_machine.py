"""The share of a machine that a worker may use, from the files of cgroups of both versions."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from workers.machine import Machine, read_machine


def root_with(folder: Path, cgroup: str, files: Mapping[str, str]) -> Path:
    """A file system with /proc/self/cgroup and the files of /sys/fs/cgroup."""
    for name, text in {"proc/self/cgroup": cgroup, **{f"sys/fs/cgroup/{n}": t for n, t in files.items()}}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return folder


def version_1(folder: str, quota: str) -> dict[str, str]:
    """The files of a cgroup of version 1."""
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": "100000\n"}


@pytest.mark.parametrize(
    ("cgroup", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 0.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/pod/container\n", {"pod/container/cpu.max": "max 100000\n", "pod/cpu.max": "150000 100000\n"}, 1.5),
        ("0::/pod/container\n", {"pod/container/cpu.max": "20000 100000\n", "pod/cpu.max": "150000 100000\n"}, 0.2),
        ("0::/of/the/host\n", {"cpu.max": "200000 100000\n"}, 2.0),
        ("0::/../outside\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("3:cpu,cpuacct:/a\n", version_1("cpu,cpuacct/a", "25000"), 0.25),
        ("3:cpu,cpuacct:/a\n", version_1("cpu/a", "25000"), 0.25),
        ("1:cpu:/\n0::/\n", version_1("cpu", "-1"), math.inf),
        ("2:cpuset:/\n", version_1("cpuset", "1000"), math.inf),
        ("0::/\n", {"cpu.max": "garbage\n"}, math.inf),
        ("", {}, math.inf),
    ],
)
def test_the_quota_is_the_lowest_of_the_cgroups(
    tmp_path: Path, cgroup: str, files: Mapping[str, str], quota: float
) -> None:
    assert read_machine(root_with(tmp_path, cgroup, files)).quota == quota


def test_without_cgroups_the_affinity_counts(tmp_path: Path) -> None:
    assert read_machine(tmp_path) == Machine(len(os.sched_getaffinity(0)))


@pytest.mark.parametrize(
    ("machine", "cores", "threads"),
    [
        (Machine(8, 0.5), 0.5, 1),
        (Machine(8, 2.0), 2.0, 2),
        (Machine(8, 2.7), 2.7, 2),
        (Machine(2, 16.0), 2.0, 2),
        (Machine(4), 4.0, 4),
    ],
)
def test_threads_fit_the_quota(machine: Machine, cores: float, threads: int) -> None:
    assert (machine.cores, machine.threads) == (cores, threads)
