"""Takes from a process everything that decoding media does not need.

Hostile media may find a hole in a codec; what it finds behind it is a process that can only compute, read and write
its one socket, and end. Limits of the kernel (setrlimit(2)), no_new_privs, not dumpable, and the system call filter of
`seccomp`. Every step is applied where the platform has it; steps that it lacks are returned by name, for the log.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass

from workers.media.isolation import seccomp

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38


@dataclass(frozen=True, slots=True)
class Confinement:
    """How tight the lock is.

    `address_space_bytes` holds the interpreter and the codecs as well: about 230 MB of address space for 55 MB of
    memory. `open_files` counts the three standard descriptors, so 3 means: not one more.
    """

    address_space_bytes: int = 768 << 20
    open_files: int = 3


def die_with_parent(parent: int) -> bool:
    """Have the kernel kill this process when the thread that started it ends; True where that is in force.

    Exits at once when process `parent` is gone already.
    """
    in_force = _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit("the parent is gone")
    return in_force


def leave_real_time() -> None:
    """Take the scheduling of an ordinary process: one that spins in real time would leave its worker no CPU at all."""
    if hasattr(os, "sched_setscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def lock(confinement: Confinement) -> tuple[str, ...]:
    """Lock this process in, for good; returns the names of the measures that are not in force.

    Call it when everything is imported and warm: afterwards no file opens and no thread starts.
    """
    steps: list[tuple[str, Callable[[], bool]]] = [
        ("not_dumpable", lambda: _prctl(_PR_SET_DUMPABLE, 0)),
        ("no_new_privs", lambda: _prctl(_PR_SET_NO_NEW_PRIVS, 1)),
        ("seccomp", _filter_system_calls),
    ]
    missing = list(_limit_resources(confinement))
    missing += [name for name, step in steps if not step()]
    return tuple(missing)


def _limit_resources(confinement: Confinement) -> list[str]:
    limits = {
        "RLIMIT_AS": confinement.address_space_bytes,
        "RLIMIT_NOFILE": confinement.open_files,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
        "RLIMIT_NPROC": 0,
        "RLIMIT_MEMLOCK": 0,
    }
    missing = []
    for name, value in limits.items():
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (AttributeError, ValueError, OSError):
            missing.append(name.lower())
    return missing


def _filter_system_calls() -> bool:
    architecture = seccomp.ARCHITECTURES.get(platform.machine())
    if platform.system() != "Linux" or architecture is None:
        return False
    try:
        seccomp.install(architecture)
    except OSError:
        return False
    return True


def _prctl(option: int, value: int) -> bool:
    if platform.system() != "Linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_ulong(word) for word in (value, 0, 0, 0)]
    return bool(libc.prctl(ctypes.c_int(option), *words) == 0)
