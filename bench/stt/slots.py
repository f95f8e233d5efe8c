"""Slots of a worker on a machine that changes: started under other load, loaded later, and held to a quota.

Only on request (`--only slots`): it takes nine minutes, and the machine must be idle otherwise. The quotas need root
and a cgroup file system of version 1; without these they count as not measured.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
from talkup.v1 import worker_service_pb2, worker_service_pb2_grpc

from bench.checks import Findings
from bench.harness.stack import ROOT, free_port
from bench.stt.bench import ENGLISH, Bench

_HOG_SECONDS = 60.0
_AFTER_SECONDS = 120.0
_SETTLED_SECONDS = 45.0
"""Until an idle worker has measured itself twice and may have changed its slots."""
_LOOK_EVERY = 5.0
_START_SECONDS = 120.0
_CGROUPS = Path("/sys/fs/cgroup/cpu")
_PERIOD_US = 100_000
_WITHIN = 0.2


@dataclass(slots=True)
class Watched:
    """A worker process and what it says about itself."""

    process: subprocess.Popen[bytes]
    log: Path
    stub: Any

    def slots(self) -> int:
        """Slots in all, as a gateway asks for them; 0 while it loads or does not answer."""
        try:
            return int(self.stub.Describe(worker_service_pb2.DescribeRequest(), timeout=5).slots.total)
        except grpc.RpcError:
            return 0

    def wait_for_slots(self) -> int:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            if found := self.slots():
                return found
            time.sleep(0.2)
        raise RuntimeError(f"the worker did not come up: {self.log.read_text(encoding='utf-8')[-2000:]}")

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Its log lines of an event."""
        entries = (json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines() if line[:1] == "{")
        return [entry for entry in entries if entry.get("event") == event]

    def children(self) -> int:
        return len(psutil.Process(self.process.pid).children())


def slots(bench: Bench) -> Findings:
    """Idle, with a hog that ends, with a hog that comes later, and in two quotas."""
    found = Findings()
    with _worker() as worker:
        found.figures["idle_at_start"] = worker.wait_for_slots()
        time.sleep(_SETTLED_SECONDS)
        idle = worker.slots()
        found.figures["idle"] = idle
        with _hog(bench.threads):
            found.figures["hog_comes_later"] = _watched(bench, worker, _HOG_SECONDS)
        found.figures["hog_came_and_went"] = after = _watched(bench, worker, _AFTER_SECONDS)
    found.check("slots 120 s after a hog that came later, share of idle, least", after[-1] / idle, ">=", 1 - _WITHIN)
    with _hog(bench.threads) as hog, _worker() as worker:
        found.figures["beside_hog_at_start"] = worker.wait_for_slots()
        found.figures["beside_hog"] = _watched(bench, worker, _HOG_SECONDS)
        hog.stop()
        found.figures["hog_ended"] = after = _watched(bench, worker, _AFTER_SECONDS)
        found.figures["log_after_hog"] = _changes(worker)
    found.check(
        "slots 120 s after the hog of the start ended, share of idle, least", after[-1] / idle, ">=", 1 - _WITHIN
    )
    found.check(
        "slots 120 s after the hog of the start ended, share of idle, most", after[-1] / idle, "<=", 1 + _WITHIN
    )
    for cores in (0.5, 2.0):
        _in_quota(found, cores, bench.threads, idle)
    return found


def _in_quota(found: Findings, cores: float, machine: int, idle: int) -> None:
    """Threads, decoders and slots in a cgroup, as its log line says and as they are."""
    threads = max(1, int(min(cores, machine)))
    name = f"quota of {cores:g} cores"
    if not _CGROUPS.is_dir() or os.geteuid() != 0:
        found.check(f"{name}: slots", math.nan, ">=", 1)
        return
    with _cgroup(cores) as cgroup, _worker(cgroup) as worker:
        at_start = worker.wait_for_slots()
        [said] = worker.lines("machine measured")
        decoders = worker.children()
        time.sleep(_SETTLED_SECONDS)
        settled = worker.slots()
    whole = max(1, int(min(cores, machine) / machine * idle))  # slots are whole: of 2.75, two
    found.figures[name] = {
        "said": {key: said[key] for key in ("cores", "threads", "decoders")},
        "decoder_processes": decoders,
        "slots_at_start": at_start,
        "slots_settled": settled,
    }
    found.check(f"{name}: cores in the log line", said["cores"], "==", min(cores, machine))
    found.check(f"{name}: threads in the log line", said["threads"], "==", threads)
    found.check(f"{name}: decoder processes", decoders, "==", threads)
    found.check(
        f"{name}: settled slots, distance from its share of idle",
        abs(settled - whole) / whole,
        "<=",
        _WITHIN,
    )


def _watched(bench: Bench, worker: Watched, seconds: float) -> list[int]:
    """The slots every five seconds."""
    until, seen = time.monotonic() + seconds, []
    while time.monotonic() < until:
        time.sleep(_LOOK_EVERY)
        seen.append(worker.slots())
    bench.say(f"slots: {' '.join(map(str, seen))}")
    return seen


def _changes(worker: Watched) -> list[str]:
    wanted = ("before", "slots", "measured", "step_ms_before", "step_ms")
    return [" ".join(f"{key}={line[key]}" for key in wanted) for line in worker.lines("slots changed")]


@contextmanager
def _worker(cgroup: Path | None = None) -> Iterator[Watched]:
    """`python -m workers stt` on a free port, in a cgroup if one is given."""
    with tempfile.TemporaryDirectory(prefix="talkup-slots-") as folder:
        log, port = Path(folder) / "log", free_port()
        command: Sequence[str] = (sys.executable, "-m", "workers", "stt", "--model", ENGLISH, "--port", str(port))
        if cgroup is not None:  # a shell enters the cgroup, then becomes the worker
            command = ("sh", "-c", 'echo $$ > "$0" && exec "$@"', str(cgroup / "cgroup.procs"), *command)
        with log.open("wb") as sink, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            environment = dict(os.environ) | {"WORKER_LOG_FORMAT": "json", "WORKER_DRAIN_SECONDS": "1"}
            process = subprocess.Popen(command, stdout=sink, stderr=sink, cwd=ROOT, env=environment)
            try:
                yield Watched(process, log, worker_service_pb2_grpc.WorkerServiceStub(channel))  # type: ignore[no-untyped-call]
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


class Hog:
    """Processes that use every core."""

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._processes = [context.Process(target=_burn, daemon=True) for _ in range(count)]
        for process in self._processes:
            process.start()

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.join()


@contextmanager
def _hog(count: int) -> Iterator[Hog]:
    hog = Hog(count)
    try:
        yield hog
    finally:
        hog.stop()


def _burn() -> None:
    while True:
        sum(range(10_000))


@contextmanager
def _cgroup(cores: float) -> Iterator[Path]:
    """A cgroup with a CPU quota; processes in it must have ended before it is removed."""
    folder = _CGROUPS / f"talkup-slots-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (folder / "cpu.cfs_quota_us").write_text(str(round(cores * _PERIOD_US)))
        yield folder
    finally:
        until = time.monotonic() + 10
        while (folder / "cgroup.procs").read_text() and time.monotonic() < until:
            time.sleep(0.1)  # decoder processes end with their worker
        folder.rmdir()
