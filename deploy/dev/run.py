"""`make run`: gateway and workers on loopback as child processes; ^C or SIGTERM drains them, the gateway first.

Once everything serves, it restarts a process that ends, as a container platform would; streams survive that. If a
process ends earlier, or keeps ending, everything stops, and it prints the last lines of that process's log.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import http.client
import importlib.util
import json
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

from deploy.dev import certs, plan, processes
from deploy.dev.interrupts import Interrupts
from deploy.dev.plan import Program
from deploy.dev.processes import Child
from deploy.dev.settings import DevSettings, SettingsError, from_environment

ROOT = Path(__file__).resolve().parents[2]
RUN_DIR = ROOT / ".run"
GATEWAY_GRACE_S = plan.GATEWAY_DRAIN_S + 1.5
WORKER_GRACE_S = plan.WORKER_DRAIN_S + 1.0
READY_TIMEOUT_S = 300.0  # a large model on a cold disk
READY_POLL_S = 0.2
RESTART_DELAY_S = 0.5
MAX_ENDS = 5
"""If one process ends this often within `ENDS_S` seconds, everything stops."""

ENDS_S = 60.0
_SERVICES = {"stt": "speech", "vision": "vision"}
_REMIND_S = 10.0


class StackError(Exception):
    """The stack cannot start or keep running; the message is for the terminal."""


def busy_ports(settings: DevSettings) -> list[tuple[str, int]]:
    """Ports of the stack that are already in use, with the variable that changes each."""
    return [(name, port) for name, port in settings.ports() if not _is_free(port)]


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((plan.HOST, port))
        except OSError:
            return False
    return True


def missing(port: int) -> str | None:
    """What the stack still waits for, in words; None once every configured service has a serving worker."""
    connection = http.client.HTTPConnection(plan.HOST, port, timeout=2.0)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        if response.status == http.client.OK:
            return None
        services = json.loads(response.read()).get("services", {})
        return " and ".join(_not_serving(services)) or "the gateway"
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return "the gateway"
    finally:
        connection.close()


def _not_serving(services: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    for name, counts in services.items():
        if not counts["serving"]:
            yield f"the {_SERVICES.get(name, name)} worker to load its models"


def is_ready(port: int) -> bool:
    """Whether the gateway reports a serving worker for every configured service."""
    return missing(port) is None


class Stack:
    """The running processes. `say` prints lines for the user, `report` what a start waits for."""

    def __init__(
        self,
        settings: DevSettings,
        run_dir: Path,
        say: Callable[[str], None],
        *,
        has_vision: bool,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._run_dir = run_dir
        self._say = say
        self._report = report
        self._has_vision = has_vision
        self._gateway: Child | None = None
        self._workers: list[Child] = []
        self._programs: dict[str, Program] = {}
        self._interrupted = asyncio.Event()
        self._hurry = asyncio.Event()

    def interrupt(self) -> None:
        """^C or SIGTERM: the first drains, the second kills."""
        if self._interrupted.is_set():
            self._hurry.set()
        self._interrupted.set()

    async def run(self, environment: dict[str, str]) -> None:
        """Serve until interrupted. Raises StackError when it does not start, or when a process keeps ending."""
        try:
            for program in plan.workers(self._settings, has_vision=self._has_vision):
                self._workers.append(await self._start(program, environment))
            names = {"localhost": certs.LOOPBACK_NAMES}
            identity = certs.ensure(self._run_dir / "tls", names, dt.datetime.now(dt.UTC))["localhost"]
            secret = certs.token_secret(self._run_dir / "tls")
            gateway = plan.gateway(self._settings, identity, self._run_dir, secret, has_vision=self._has_vision)
            self._gateway = await self._start(gateway, environment)
            if (ended := await self._end_before(self._until_ready())) is not None:
                raise StackError(_describe_end(ended))
            if not self._interrupted.is_set():
                talkup = str(Path(sys.executable).parent / "talkup")
                self._say(plan.banner(self._settings, identity, has_vision=self._has_vision, talkup=_short(talkup)))
                await self._restart_ended(environment)
        finally:
            await self._stop()

    async def _start(self, program: Program, environment: dict[str, str], *, again: bool = False) -> Child:
        self._programs[program.name] = program
        return await processes.start(program, self._run_dir, ROOT, environment, again=again)

    async def _restart_ended(self, environment: dict[str, str]) -> None:
        """Restart processes that end, until interrupted. Raises StackError for a process that keeps ending."""
        ends: dict[str, deque[float]] = {}
        while (ended := await self._end_before(asyncio.Event().wait())) is not None:
            times = ends.setdefault(ended.name, deque(maxlen=MAX_ENDS))
            times.append(time.monotonic())
            if len(times) == MAX_ENDS and times[-1] - times[0] < ENDS_S:
                raise StackError(f"{_describe_end(ended)}\nit ended {MAX_ENDS} times within {ENDS_S:.0f} s")
            self._say(f"{ended.name} ended with status {ended.returncode}: restarted")
            await ended.stop(0, self._hurry)  # what is left of its group
            await asyncio.sleep(RESTART_DELAY_S)
            child = await self._start(self._programs[ended.name], environment, again=True)
            if ended is self._gateway:
                self._gateway = child
            else:
                self._workers[self._workers.index(ended)] = child

    async def _until_ready(self) -> None:
        clock = asyncio.get_running_loop().time
        began = told_at = clock()
        told = ""
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while (wanted := await asyncio.to_thread(missing, self._settings.http_port)) is not None:
                    if wanted != told or clock() - told_at >= _REMIND_S:
                        self._report(
                            f"waiting for {wanted} ({clock() - began:.0f} s; logs: {_short(str(self._run_dir))})"
                        )
                        told, told_at = wanted, clock()
                    await asyncio.sleep(READY_POLL_S)
        except TimeoutError:
            raise StackError(f"not ready after {READY_TIMEOUT_S:.0f} s; logs are in {self._run_dir}") from None

    async def _end_before(self, goal: Coroutine[Any, Any, object]) -> Child | None:
        """The process that ends before `goal` is done; None if `goal` was done or this was interrupted first."""
        assert self._gateway is not None
        goal_task = asyncio.ensure_future(goal)
        interrupted = asyncio.ensure_future(self._interrupted.wait())
        ends = {asyncio.ensure_future(child.wait()): child for child in (self._gateway, *self._workers)}
        try:
            await asyncio.wait({goal_task, interrupted, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if interrupted.done():
                return None
            for end, child in ends.items():
                if end.done():
                    return child
            goal_task.result()
            return None
        finally:
            for task in (goal_task, interrupted, *ends):
                task.cancel()

    async def _stop(self) -> None:
        if self._interrupted.is_set():
            self._say("stopping: waiting for the last words of running streams (^C again stops at once) …")
        if self._gateway is not None:
            await processes.stop_all([self._gateway], GATEWAY_GRACE_S, self._hurry)
        await processes.stop_all(self._workers, WORKER_GRACE_S, self._hurry)
        if self._interrupted.is_set():
            self._say("stopped")


def _describe_end(child: Child) -> str:
    tail = processes.log_tail(child.log)
    return f"{child.name} ended with status {child.returncode}; last lines of {_short(str(child.log))}:\n{tail}"


def _short(path: str) -> str:
    return str(Path(path).relative_to(Path.cwd())) if path.startswith(f"{Path.cwd()}/") else path


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def serve(settings: DevSettings, environment: dict[str, str], interrupts: Interrupts) -> int:
    """Run the stack; exit status 0 after ^C, 1 when something failed."""
    has_vision = importlib.util.find_spec("workers.vision") is not None
    stack = Stack(settings, RUN_DIR, _say, has_vision=has_vision, report=_say)
    loop = asyncio.get_running_loop()
    # Python's own handlers survive the end of the loop. The loop still has to wake up for them: it does so for every
    # signal once it handles any.
    loop.add_signal_handler(signal.SIGWINCH, lambda: None)
    interrupts.hand_to(lambda: loop.is_closed() or loop.call_soon_threadsafe(stack.interrupt))
    try:
        await stack.run(environment)
    except StackError as error:
        sys.stderr.write(f"run: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"run: {_in_words(error)}\n")
        return 1
    return 0


def main(environment: dict[str, str], interrupts: Interrupts) -> int:
    """Check settings and ports, then serve; exit status 2 for invalid settings."""
    try:
        settings = from_environment(environment)
    except SettingsError as error:
        sys.stderr.write(f"run: {error}\n")
        return 2
    if busy := busy_ports(settings):
        listed = ", ".join(f"{port} (change it with {name})" for name, port in busy)
        sys.stderr.write(f"run: these ports are in use on {plan.HOST}: {listed}\n")
        return 2
    try:
        RUN_DIR.mkdir(exist_ok=True)
    except OSError as error:
        sys.stderr.write(f"run: {_in_words(error)}\n")
        return 2
    return asyncio.run(serve(settings, environment, interrupts))


def _in_words(error: OSError) -> str:
    return f"{_short(str(error.filename))}: {error.strerror}" if error.filename else str(error.strerror)
