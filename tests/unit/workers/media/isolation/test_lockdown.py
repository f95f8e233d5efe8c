"""A locked process can decode and nothing else."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from workers.media.isolation import lockdown, seccomp

linux = pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() not in seccomp.ARCHITECTURES, reason="needs Linux and its filter"
)


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    probe = Path(__file__).with_name("lockdown_probe.py")
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, probe], env=environment, capture_output=True, timeout=60, check=True)
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


@linux
def test_every_measure_is_in_force(report: dict[str, Any]) -> None:
    assert report["missing"] == []


@linux
def test_the_outside_world_is_refused(report: dict[str, Any]) -> None:
    assert report["attempts"] == {
        "open": "PermissionError",
        "create": "PermissionError",
        "list": "PermissionError",
        "socket": "PermissionError",
        "pipe": "PermissionError",
        "dup": "PermissionError",
        "fork": "PermissionError",
        "exec": "PermissionError",
        "thread": "RuntimeError",
        "kill": "PermissionError",
        "trace": "PermissionError",
        "2 GB": "MemoryError",
        "code": "PermissionError",
    }


@linux
def test_every_codec_decodes_under_lock(report: dict[str, Any]) -> None:
    assert report["after"] == report["before"]
    assert report["before"] == {"opus": 2880, "mp3": 4608, "flac": 576, "aac": 3072}


def test_what_the_platform_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Other")
    monkeypatch.setattr(lockdown, "_limit_resources", lambda confinement: ["rlimit_as"])
    assert lockdown.lock(lockdown.Confinement()) == ("rlimit_as", "not_dumpable", "no_new_privs", "seccomp")


def test_a_process_whose_parent_is_gone_ends() -> None:
    script = "from workers.media.isolation import lockdown; lockdown.die_with_parent(1 << 22)"
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, timeout=30, check=False)
    assert done.returncode == 1
    assert b"the parent is gone" in done.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="this platform has no scheduling policies")
def test_a_process_leaves_real_time() -> None:
    with suppress(PermissionError):  # only a privileged user can enter it
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    lockdown.leave_real_time()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
