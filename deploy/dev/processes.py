"""Child processes of the development stack: starting, watching, draining and killing them."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from deploy.dev.plan import Program

LOG_TAIL_LINES = 15
PR_SET_PDEATHSIG = 1  # prctl(2)


def log_tail(path: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log; empty when there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as log:
            return "".join(deque(log, maxlen=lines)).rstrip()
    except OSError:
        return ""


def _dies_with_parent() -> Callable[[], None] | None:
    """A function for a child to run before exec: the kernel then kills it when this process dies. Linux only."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def before_exec() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    return before_exec


class Child:
    """One running program, with its pid file and log."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process, run_dir: Path) -> None:
        self.name = program.name
        self.log = run_dir / f"{program.name}.log"
        self._process = process
        self._pid_file = run_dir / f"{program.name}.pid"
        self._pid_file.write_text(f"{process.pid}\n", encoding="ascii")

    @property
    def returncode(self) -> int | None:
        """Exit status; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Exit status, once it has ended."""
        return await self._process.wait()

    async def stop(self, grace_s: float, hurry: asyncio.Event) -> None:
        """SIGTERM, then SIGKILL to its whole process group after `grace_s` seconds or as soon as `hurry` is set."""
        if self.returncode is None:
            self._signal(signal.SIGTERM)
            ended = asyncio.ensure_future(self._process.wait())
            hurried = asyncio.ensure_future(hurry.wait())
            await asyncio.wait({ended, hurried}, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
            hurried.cancel()
        # The group outlives its leader while a decoder process still runs.
        self._signal_group(signal.SIGKILL)
        await self._process.wait()
        self._pid_file.unlink(missing_ok=True)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


async def start(
    program: Program, run_dir: Path, root: Path, environment: Mapping[str, str], *, again: bool = False
) -> Child:
    """Start a program in its own session, so that ^C in the terminal reaches only the parent, which then drains.

    `again`: append to its log.
    """
    log = run_dir / f"{program.name}.log"
    with log.open("ab" if again else "wb") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *program.arguments,
            cwd=root,
            env={**environment, **program.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            preexec_fn=_dies_with_parent(),
        )
    return Child(program, process, run_dir)


async def stop_all(children: Iterable[Child], grace_s: float, hurry: asyncio.Event) -> None:
    """Stop several programs at the same time."""
    await asyncio.gather(*(child.stop(grace_s, hurry) for child in children))
