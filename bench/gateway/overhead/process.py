"""What a process costs, as Linux counts it, and on what machine."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

_NS = 1e9
_INSTRUCTIONS = ("avx512_vnni", "avx_vnni", "avx512f", "avx2", "avx", "asimddp", "asimd")


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads that live now, in seconds (/proc/PID/task/*/schedstat, to the nanosecond)."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:  # the thread has ended meanwhile
            continue
    return total / _NS


def resident_kib(pid: int) -> int:
    """Memory that the process has in RAM, KiB (RssAnon of /proc/PID/status: without files that it maps)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise ValueError("no RssAnon in /proc/PID/status")


def machine() -> dict[str, Any]:
    """Processor, instruction set and cores."""
    model, flags = platform.machine(), set[str]()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            model = value.strip()
        if name.strip() in ("flags", "Features"):
            flags = set(value.split())
    best = next((name for name in _INSTRUCTIONS if name in flags), "none")
    return {"processor": model, "instruction_set": best, "cores": len(os.sched_getaffinity(0))}
