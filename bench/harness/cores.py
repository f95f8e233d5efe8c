"""One core for what is measured and another for those who disturb it, so that the gateway alone stands between them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

_LOWEST: Final = 19


@dataclass(frozen=True, slots=True)
class Cores:
    """The core of gateway, workers and honest clients, and those of the attackers; or the same one.

    Without a core of its own (`measured` is None), what is measured has all of them, and attackers the lowest priority.
    """

    measured: int | None
    others: frozenset[int]

    @property
    def are_apart(self) -> bool:
        """Whether the attackers leave the measured programs alone. If not, their own CPU shows in every figure."""
        return self.measured not in self.others

    def put_aside(self, pid: int) -> None:
        """Keep a process that disturbs out of the way. Before it starts threads: they inherit this."""
        if self.measured is None:
            os.setpriority(os.PRIO_PROCESS, pid, _LOWEST)
        elif self.are_apart:
            os.sched_setaffinity(pid, self.others)


def all_cores() -> Cores:
    """For programs that need several cores, as a speech model does."""
    return Cores(None, frozenset())


@contextmanager
def cores_apart() -> Iterator[Cores]:
    """Keep this process, and what it starts inside the block, on one core. Linux; elsewhere nothing is pinned."""
    if not hasattr(os, "sched_setaffinity"):
        yield Cores(0, frozenset({0}))
        return
    allowed = os.sched_getaffinity(0)
    measured = min(allowed)
    cores = Cores(measured, frozenset(allowed - {measured}) or frozenset(allowed))
    if not cores.are_apart:
        yield cores
        return
    os.sched_setaffinity(0, {measured})
    try:
        yield cores
    finally:
        os.sched_setaffinity(0, allowed)
