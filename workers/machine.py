"""How much of its machine a worker may use: the cores of its affinity, bounded by the CPU quota of its cgroups.

A container with `--cpus 0.5` sees every core of its host. Only its cgroup says that it gets half of one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_UNLIMITED = math.inf


@dataclass(frozen=True, slots=True)
class Machine:
    """What this process may use.

    `affinity`: the number of cores it may run on. `quota`: CPU seconds per second that its cgroups allow, or infinity.
    """

    affinity: int
    quota: float = _UNLIMITED

    @property
    def cores(self) -> float:
        """CPU seconds per second that this process can use; a fraction if its quota is one."""
        return min(float(self.affinity), self.quota)

    @property
    def threads(self) -> int:
        """Threads or processes that can compute at the same time without being throttled, at least 1."""
        return max(1, math.floor(self.cores))


def read_machine(root: Path = Path("/")) -> Machine:
    """This process's share of its machine. Files under `root` that are missing or unreadable bound nothing."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(affinity, min(_quotas(root), default=_UNLIMITED))


def _quotas(root: Path) -> Iterator[float]:
    """The quota of each cgroup that holds this process, of version 2 and of version 1."""
    mounts = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            for folder in _with_parents(mounts, path):
                yield _quota_v2(folder)
            for folder in _with_parents(mounts / "unified", path):
                yield _quota_v2(folder)
        elif "cpu" in controllers.split(","):
            for folder in _with_parents(mounts / controllers, path):
                yield _quota_v1(folder)
            for folder in _with_parents(mounts / "cpu", path):
                yield _quota_v1(folder)


def _with_parents(mount: Path, path: str) -> Iterator[Path]:
    """The cgroup's folder and those above it.

    In a container, the path may be one of the host. Then only the mount itself exists: it is the container's cgroup.
    """
    inner = PurePosixPath(path.lstrip("/"))
    if ".." not in inner.parts:
        for part in (inner, *inner.parents):
            yield mount / part


def _quota_v2(folder: Path) -> float:
    fields = _read(folder / "cpu.max").split()
    return _ratio(fields[0], fields[1]) if len(fields) == 2 else _UNLIMITED


def _quota_v1(folder: Path) -> float:
    return _ratio(_read(folder / "cpu.cfs_quota_us").strip(), _read(folder / "cpu.cfs_period_us").strip())


def _ratio(quota: str, period: str) -> float:
    if quota.isdigit() and period.isdigit() and int(quota) > 0 and int(period) > 0:
        return int(quota) / int(period)
    return _UNLIMITED


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
