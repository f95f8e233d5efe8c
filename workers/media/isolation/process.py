"""One decoder child as its worker sees it: it is started, sent requests, watched and reaped.

Requests go out in order and are answered in order, so the oldest unanswered one is what the child works on: when the
child dies, the stream of that request is the suspect. The watchdog runs only while an answer is outstanding and
starts again with every answer. It counts the child's CPU time, so that a busy machine makes no child look hung; a child
that gets none at all is given up after a longer time.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from workers.media.isolation import ipc

_REAP_SECONDS = 5.0
_READ_BYTES = 256 << 10
_ALLOWANCE_BYTES = 1 << 20
_MAX_IDLE_ALARMS = 5
_CPU_CLOCK = 2
"""CPUCLOCK_SCHED, the lowest bits of a process's CPU clock (clock_getcpuclockid(3), linux/posix-timers.h)."""

_LATE_SECONDS = 0.1
_MAX_LATE_ALARMS = 3


@dataclass(frozen=True, slots=True)
class ChildConfig:
    """How a child is started, and what it may take.

    `decoder` and `warm_up` are dotted names, `package.module:name`. `watchdog_seconds` is the CPU time that a child may
    take for an answer; a chunk adds as much again per MiB.
    """

    decoder: str
    warm_up: str
    watchdog_seconds: float
    startup_seconds: float
    address_space_bytes: int
    max_frame_bytes: int
    max_streams: int
    max_output_samples: int
    max_output_frames: int
    max_output_pixels: int


class Ending(StrEnum):
    """Why a child ended."""

    DIED = "died"
    HUNG = "hung"
    BROKE_PROTOCOL = "broke protocol"


@dataclass(frozen=True, slots=True)
class Death:
    """How a child ended. `suspect` is the stream that it was working for, None when it was idle."""

    returncode: int
    ending: Ending
    suspect: int | None

    @property
    def self_inflicted(self) -> bool:
        """Whether the child ended by its own work: it hung, broke the protocol, crashed or exited."""
        return self.ending is not Ending.DIED or self.returncode != -signal.SIGKILL


class ChildGoneError(Exception):
    """The child ended before it answered."""

    def __init__(self, death: Death) -> None:
        super().__init__("a decoder child ended")
        self.death = death


class ChildStartError(Exception):
    """A child did not start."""


@dataclass(frozen=True, slots=True)
class _Outstanding:
    stream: int
    allowance: float
    answer: asyncio.Future[ipc.Answer]


class ChildProcess(asyncio.Protocol):
    """A running child; made by `spawn`, used from the event loop that made it."""

    def __init__(self, config: ChildConfig) -> None:
        loop = asyncio.get_running_loop()
        self._config = config
        self._clock: Callable[[], float] = loop.time
        self._reader = ipc.FrameReader(config.max_frame_bytes)
        self._outstanding: deque[_Outstanding] = deque()
        self._ready: asyncio.Future[ipc.Ready] = loop.create_future()
        self._gone: asyncio.Future[Death] = loop.create_future()
        self._transport: asyncio.WriteTransport | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._reaping: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._cpu_due = 0.0
        self._idle_alarms = 0
        self._late_alarms = 0
        self._ending = Ending.DIED

    @classmethod
    async def spawn(cls, config: ChildConfig) -> ChildProcess:
        """Start a child and wait until it is warm and locked. Raises ChildStartError."""
        child = cls(config)
        try:
            await child._connect()
            async with asyncio.timeout(config.startup_seconds):
                await asyncio.wait((child._ready, child._gone), return_when=asyncio.FIRST_COMPLETED)
        except OSError as error:
            await child.close()
            late = isinstance(error, TimeoutError)
            raise ChildStartError(
                "no decoder child was ready in time" if late else "no decoder child starts"
            ) from error
        except asyncio.CancelledError:
            await child.close()
            raise
        if not child._ready.done():
            death = await child.wait()
            raise ChildStartError(f"a decoder child ended with code {death.returncode} before it was ready")
        return child

    async def _connect(self) -> None:
        worker_end, child_end = socket.socketpair()
        try:
            with child_end:
                self._process = _start(self._config, child_end)
            self._socket = worker_end
            await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=worker_end)
        except BaseException:
            worker_end.close()
            raise

    @property
    def pid(self) -> int:
        """The child's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether requests still reach it."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def ready(self) -> ipc.Ready:
        """What the child reported about itself at its start."""
        return self._ready.result()

    async def ask(self, request: ipc.Request) -> ipc.Answer:
        """Send a request and wait for its answer. Raises ChildGoneError.

        A cancelled wait leaves the request with the child; its answer is dropped.
        """
        if not self.alive:
            raise ChildGoneError(await self.wait())
        assert self._transport is not None
        allowance = self._config.watchdog_seconds
        if isinstance(request, ipc.Decode):
            allowance *= 1 + len(request.chunk.payload) / _ALLOWANCE_BYTES
        answer: asyncio.Future[ipc.Answer] = asyncio.get_running_loop().create_future()
        self._outstanding.append(_Outstanding(request.stream, allowance, answer))
        if len(self._outstanding) == 1:
            self._set_alarm()
        self._transport.write(ipc.frame(request))
        return await answer

    def tell(self, request: ipc.Close) -> None:
        """Send a request that is not answered; does nothing when the child is gone."""
        if self.alive:
            assert self._transport is not None
            self._transport.write(ipc.frame(request))

    async def wait(self) -> Death:
        """Until the child is dead and reaped."""
        return await asyncio.shield(self._gone)

    async def close(self) -> None:
        """End the child at once and reap it; pending requests raise ChildGoneError."""
        self._end(Ending.DIED)
        if self._transport is None and self._reaping is None:
            self._reaping = asyncio.get_running_loop().create_task(self._reap())
        await self.wait()

    def disown(self) -> None:
        """End a child that does not keep to the rules; as `close`, without waiting."""
        self._end(Ending.BROKE_PROTOCOL)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes from the child; anything but the answers that are due ends it."""
        try:
            for body in self._reader.push_bytes(data):
                self._receive(ipc.parse_reply(body))
        except ipc.FrameError:
            self._end(Ending.BROKE_PROTOCOL)

    def connection_lost(self, exc: Exception | None) -> None:
        """The child has ended or has closed its socket: end it for certain, and reap it."""
        if self._ending is Ending.DIED:
            self._read_on()
        self._clear_alarm()
        self._reaping = asyncio.get_running_loop().create_task(self._reap())

    def _read_on(self) -> None:
        """Read the answers that the child wrote before it ended: a stream that was answered is no suspect.

        The event loop discards them when a request that it cannot write is its first sign of the end.
        """
        while self._socket is not None:
            try:
                data = self._socket.recv(_READ_BYTES)
            except OSError:  # none left
                return
            if not data:
                return
            self.data_received(data)

    def _receive(self, reply: ipc.Reply) -> None:
        if isinstance(reply, ipc.Ready):
            if self._ready.done():
                raise ipc.FrameError("ready twice")
            self._ready.set_result(reply)
            return
        if not self._outstanding or self._outstanding[0].stream != reply.stream:
            raise ipc.FrameError("an answer that nobody waits for")
        answer = self._outstanding.popleft().answer
        self._set_alarm()
        if not answer.done():
            answer.set_result(reply)

    def _set_alarm(self) -> None:
        self._clear_alarm()
        if self._outstanding:
            self._cpu_due = self._cpu_seconds() + self._outstanding[0].allowance
            due = self._clock() + self._outstanding[0].allowance
            self._alarm = asyncio.get_running_loop().call_at(due, self._ring, due)

    def _clear_alarm(self) -> None:
        self._late_alarms = self._idle_alarms = 0
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _ring(self, due: float) -> None:
        """The child has been silent too long, unless the alarm is late: then the worker itself was held up.

        Or unless the child had no time to work: then the machine is busy.
        """
        now = self._clock()
        if now - due > _LATE_SECONDS and self._late_alarms < _MAX_LATE_ALARMS:
            self._late_alarms += 1
        elif self._cpu_seconds() < self._cpu_due and self._idle_alarms < _MAX_IDLE_ALARMS:
            self._idle_alarms += 1
        else:
            self._end(Ending.HUNG)
            return
        again = now + self._outstanding[0].allowance
        self._alarm = asyncio.get_running_loop().call_at(again, self._ring, again)

    def _cpu_seconds(self) -> float:
        """The CPU time that the child has used; endless where the platform does not tell."""
        if sys.platform != "linux" or self._process is None:
            return math.inf
        try:
            return time.clock_gettime(~self._process.pid << 3 | _CPU_CLOCK)
        except OSError:  # it has ended
            return math.inf

    def _end(self, ending: Ending) -> None:
        if self.alive:
            self._ending = ending
        if self._process is not None:
            self._process.kill()
        if self._transport is not None:
            self._transport.abort()

    async def _reap(self) -> None:
        returncode = -int(signal.SIGKILL)
        if self._process is not None:
            self._process.kill()  # a child that ended by itself keeps its own code
            with suppress(subprocess.TimeoutExpired):  # killed, and held by the kernel
                returncode = await asyncio.to_thread(self._process.wait, _REAP_SECONDS)
        death = Death(returncode, self._ending, self._outstanding[0].stream if self._outstanding else None)
        self._gone.set_result(death)
        while self._outstanding:
            answer = self._outstanding.popleft().answer
            if not answer.done():
                answer.set_exception(ChildGoneError(death))


def _start(config: ChildConfig, end: socket.socket) -> subprocess.Popen[bytes]:
    """Start the process: a fresh interpreter, never a fork of this one, with nothing of its environment.

    Runs in the thread of the event loop, since the kernel ends the child together with the thread that started it.
    """
    arguments = {
        "--decoder": config.decoder,
        "--warm-up": config.warm_up,
        "--parent": os.getpid(),
        "--address-space-bytes": config.address_space_bytes,
        "--max-frame-bytes": config.max_frame_bytes,
        "--max-streams": config.max_streams,
        "--max-output-samples": config.max_output_samples,
        "--max-output-frames": config.max_output_frames,
        "--max-output-pixels": config.max_output_pixels,
    }
    command = [sys.executable, "-P", "-s", "-m", "workers.media.isolation.child"]
    command += [str(word) for pair in arguments.items() for word in pair]
    environment = {
        "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path),  # noqa: PTH100 - '' is the folder
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "LANG": "C.UTF-8",
    }
    return subprocess.Popen(  # noqa: S603 - this interpreter and this module, arguments from the configuration
        command,
        stdin=end.fileno(),
        stdout=subprocess.DEVNULL,
        env=environment,
        cwd="/",
        start_new_session=True,  # ^C in a terminal reaches the worker only, which drains
    )
