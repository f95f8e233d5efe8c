"""Where a benchmark ran: the processor, its instruction set, its cores, the load, and what else used the CPU."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

_CPUINFO = Path("/proc/cpuinfo")
_KINDS = (
    ("avx512-vnni", {"avx512_vnni"}),
    ("avx2-vnni", {"avx_vnni"}),
    ("avx512", {"avx512f"}),
    ("avx2", {"avx2"}),
    ("neon-dot", {"asimddp"}),
    ("neon", {"asimd"}),
)
"""Kinds of processors by what int8 arithmetic costs on them, the best first, with the flags that tell them."""
LIMIT = "ONEDNN_MAX_CPU_ISA"
"""Keeps oneDNN, which does the int8 arithmetic, to an instruction set: `AVX2` shows what processors without VNNI do."""
_SHOWN = 6
_GPU_MODEL = ("name", "driver_version", "memory.total")
_LEAST_SECONDS = 0.5
_NAME_LENGTH = 40


def describe() -> dict[str, Any]:
    """The machine, for a results file: `kind` is the widest instruction set for int8."""
    text = _CPUINFO.read_text(encoding="utf-8", errors="replace") if _CPUINFO.exists() else ""
    fields = _fields(text)
    return {
        "processor": fields.get("model name") or platform.processor() or platform.machine(),
        "kind": kind((fields.get("flags") or fields.get("features") or "").split(), os.environ.get(LIMIT)),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def gpu(*fields: str) -> dict[str, str]:
    """What the driver says of the first GPU, by default its name, driver and memory; empty without its program."""
    program, asked = shutil.which("nvidia-smi"), fields or _GPU_MODEL
    if program is None:
        return {}
    command = [program, f"--query-gpu={','.join(asked)}", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout
    values = answer.splitlines()[:1] or [""]
    return dict(zip(asked, (value.strip() for value in values[0].split(",")), strict=False))


def kind(flags: list[str], limit: str | None = None) -> str:
    """The kind of processor that has these flags, as Linux names them; "other" if none of the known ones is there.

    `limit`: see LIMIT. A processor that is kept to a narrower set is a kind of its own.
    """
    present = set(flags)
    if limit is not None and limit.upper() == "AVX2" and "avx2" in present:
        return "avx2-limited"
    return next((name for name, needed in _KINDS if needed <= present), "other")


def _fields(cpuinfo: str) -> dict[str, str]:
    """What /proc/cpuinfo says of the first processor, names in lower case."""
    lines = (line.partition(":") for line in cpuinfo.split("\n\n", maxsplit=1)[0].splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in lines}


@contextmanager
def surroundings() -> Iterator[dict[str, Any]]:
    """Fill the yielded dictionary when the block ends: the load, and CPU seconds of other programs by name.

    This process, its children and short-lived programs are not among them: `others` is what could be seen.
    """
    found: dict[str, Any] = {}
    before, load = _cpu_by_process(), os.getloadavg()[0]
    try:
        yield found
    finally:
        found["load_average_before"] = round(load, 2)
        found["load_average_after"] = round(os.getloadavg()[0], 2)
        found["others_cpu_seconds"] = others(before, _cpu_by_process())


Seen = Mapping[tuple[int, float], tuple[str, float]]
"""CPU seconds by process id and start time, with the program's name."""


def others(before: Seen, after: Seen) -> dict[str, float]:
    """The programs that used most CPU in between, with seconds; those of little use are left out."""
    used: Counter[str] = Counter()
    for key, (name, seconds) in after.items():
        used[name] += seconds - before.get(key, (name, 0.0))[1]
    return {name: round(seconds, 1) for name, seconds in used.most_common(_SHOWN) if seconds >= _LEAST_SECONDS}


def _cpu_by_process() -> dict[tuple[int, float], tuple[str, float]]:
    own = psutil.Process()
    mine = {own.pid, *(child.pid for child in own.children(recursive=True))}
    found = {}
    for process in psutil.process_iter(["name", "cpu_times", "create_time"]):
        times = process.info["cpu_times"]
        if process.pid not in mine and times is not None:
            key = process.pid, process.info["create_time"]
            found[key] = (str(process.info["name"])[:_NAME_LENGTH], times.user + times.system)
    return found
