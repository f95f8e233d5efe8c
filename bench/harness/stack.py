"""Starts the real processes on free loopback ports: fake workers and a gateway. For all end-to-end and browser tests.

with running_stack() as stack:
    stack.ws_url, stack.http_url, stack.key
"""

from __future__ import annotations

import atexit
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
KEY = "test-key"
READY_TIMEOUT_S = 60.0
POLL_S = 0.05
STOP_TIMEOUT_S = 12.0
FIRST_PORT = 12000

# Everything that this process has started, and what wants to see a program (and its log) when it has stopped.
started: list[Program] = []
observers: list[Callable[[Program], None]] = []
_claims: deque[socket.socket] = deque()
_MOST_CLAIMS = 100


class StackError(AssertionError):
    """A process ended or did not become ready; the message contains the end of its log."""


def free_port() -> int:
    """A free TCP port that neither the system nor another process with this function hands out meanwhile.

    The port lies below the range from which the system takes ports for connections and for servers that ask for any.
    A UDP socket on the same number, which no program here uses, keeps other processes from choosing it; this process
    holds its last 100 of them.
    """
    last = max(_first_system_port(), FIRST_PORT + 8000)
    for _ in range(1000):
        port = random.randrange(FIRST_PORT, last)
        claim = socket.socket(type=socket.SOCK_DGRAM)
        try:
            claim.bind((HOST, port))
            with socket.socket() as probe:
                probe.bind((HOST, port))
        except OSError:
            claim.close()
        else:
            _claims.append(claim)
            _release_claims(_MOST_CLAIMS)
            return port
    raise StackError(f"no free port from {FIRST_PORT} to {last}")


def _release_claims(kept: int) -> None:
    """Close the oldest claims on ports, all but so many."""
    while len(_claims) > kept:
        _claims.popleft().close()


# Sockets that are still open when Python ends would bring a ResourceWarning.
atexit.register(_release_claims, 0)


def _first_system_port() -> int:
    """The first port that the system chooses by itself (ip(7), ip_local_port_range)."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    except FileNotFoundError:
        return 49152  # of RFC 6335, which systems other than Linux keep to


def child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without the user's GATEWAY_* and WORKER_* settings, plus `settings`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "WORKER_"))}
    paths = [str(ROOT), str(ROOT / "generated"), str(ROOT / "clients" / "python")]
    if cache := os.environ.get("WORKER_MODEL_CACHE"):
        kept["WORKER_MODEL_CACHE"] = cache
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), **settings}


@dataclass
class Program:
    """A running `python -m …`; `log` is the file with its output."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process itself."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Send SIGSTOP: the process freezes, its sockets stay open."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Send SIGCONT."""
        self.signal(signal.SIGCONT)

    def stop(self) -> int:
        """Send SIGTERM, then SIGKILL; return the exit status. Its log is complete, so observers see it."""
        status = self._end()
        for observe in observers:
            observe(self)
        return status

    def _end(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
            self.thaw()
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def log_text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for_log(self, text: str) -> None:
        """Block until the log contains `text`. Raises StackError when the process ends first, or after a minute."""
        pause = threading.Event()
        for _ in range(int(READY_TIMEOUT_S / POLL_S)):
            if text in self.log_text():
                return
            self.check_alive()
            pause.wait(POLL_S)
        raise StackError(f"{self.name} never said {text!r}:\n{self.log_text()[-4000:]}")

    def check_alive(self) -> None:
        """Raises StackError when the process has ended."""
        if self.process.poll() is not None:
            raise StackError(f"{self.name} ended with {self.process.returncode}:\n{self.log_text()[-4000:]}")


@dataclass
class Stack:
    """A gateway and its workers."""

    gateway: Program
    workers: list[Program]
    http_port: int
    ws_port: int
    worker_ports: list[int]
    key: str = KEY
    wyoming_port: int = 0
    folder: Path = field(default_factory=Path)
    # Starts a speech worker: (name, port) -> the process; the stack stops it at the end.
    start_worker: Callable[[str, int], Program] | None = None

    def restart_worker(self, index: int) -> Program:
        """Restart speech worker `index` on its port after it has ended. Does not wait until it serves."""
        assert self.start_worker is not None
        self.workers[index] = self.start_worker(f"stt-{index + 1}", self.worker_ports[index])
        return self.workers[index]

    @property
    def ws_url(self) -> str:
        return f"ws://{HOST}:{self.ws_port}/ws"

    @property
    def stt_target(self) -> str:
        """The first speech worker's gRPC address."""
        return f"{HOST}:{self.worker_ports[0]}"

    @property
    def http_url(self) -> str:
        return f"http://{HOST}:{self.http_port}"


def start(name: str, arguments: Sequence[str], settings: Mapping[str, str], folder: Path) -> Program:
    """Start `python ARGUMENTS` with its output in `folder`/NAME.log."""
    log = folder / f"{name}.log"
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=child_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
    program = Program(name, process, log)
    started.append(program)
    return program


def wait_until_ready(program: Program, http_port: int, others: Sequence[Program] = ()) -> None:
    """Wait for 200 from /readyz. Raises StackError when a process ends first, or after a minute."""
    pause = threading.Event()
    direct = build_opener(ProxyHandler({}))  # the environment may name a proxy
    for _ in range(int(READY_TIMEOUT_S / POLL_S)):
        for each in (program, *others):
            each.check_alive()
        try:
            with direct.open(f"http://{HOST}:{http_port}/readyz", timeout=2):
                return
        except (OSError, http.client.HTTPException):
            pause.wait(POLL_S)
    raise StackError(f"{program.name} is not ready after {READY_TIMEOUT_S:.0f} s:\n{program.log_text()[-4000:]}")


@contextmanager
def running_stack(
    *,
    workers: int = 1,
    vision: bool = False,
    vision_arguments: Sequence[str] = ("fake", "--service", "vision"),
    worker_arguments: Sequence[str] = ("fake",),
    worker_settings: Mapping[str, str] | None = None,
    gateway_settings: Mapping[str, str] | None = None,
    folder: Path | None = None,
    worker_ports: Sequence[int] = (),
) -> Iterator[Stack]:
    """Run a gateway and speech workers (`python -m workers WORKER_ARGUMENTS`), and a vision worker with `vision`.

    `worker_ports` sets the speech workers' ports, and so their number.
    """
    with ExitStack() as exits:
        where = folder or Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="talkup-test-")))
        ports = list(worker_ports) or [free_port() for _ in range(workers)]

        def start_worker(name: str, port: int) -> Program:
            settings = {"WORKER_PORT": str(port), "WORKER_DRAIN_SECONDS": "2", **(worker_settings or {})}
            program = start(name, ("-m", "workers", *worker_arguments), settings, where)
            exits.callback(program.stop)
            return program

        programs = [start_worker(f"stt-{index}", port) for index, port in enumerate(ports, start=1)]
        http_port, ws_port, wyoming_port = free_port(), free_port(), free_port()
        gateway_environment = {
            "GATEWAY_HTTP_PORT": str(http_port),
            "GATEWAY_WS_PORT": str(ws_port),
            "GATEWAY_API_KEYS": KEY,
            "GATEWAY_WYOMING_PORT": str(wyoming_port),
            "GATEWAY_WYOMING_KEY": KEY,
            "GATEWAY_STORE": f"sqlite:///{where / 'gateway.db'}",
            "GATEWAY_DRAIN_S": "3",
            "GATEWAY_STT_WORKERS": ",".join(f"{HOST}:{port}" for port in ports),
        }
        if vision:
            port = free_port()
            # Set, as slots that follow a busy machine would refuse what a test sends.
            settings = {"WORKER_PORT": str(port), "WORKER_SLOTS": "64"}
            program = start("vision-1", ("-m", "workers", *vision_arguments), settings, where)
            exits.callback(program.stop)
            programs.append(program)
            ports.append(port)
            gateway_environment["GATEWAY_VISION_WORKERS"] = f"{HOST}:{port}"
        gateway = start("gateway", ("-m", "gateway"), {**gateway_environment, **(gateway_settings or {})}, where)
        exits.callback(gateway.stop)
        wait_until_ready(gateway, http_port, programs)
        yield Stack(
            gateway,
            programs,
            http_port,
            ws_port,
            ports,
            wyoming_port=wyoming_port,
            folder=where,
            start_worker=start_worker,
        )
