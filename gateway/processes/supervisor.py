"""The parent of several gateway processes: binds the ports, starts the processes, restarts those that end, drains all.

It reads no message of a client and holds no session: a connection leaves it right after the accept.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog

from gateway.config import GatewayConfig
from gateway.listening import bind, defer_accept
from gateway.processes.control import Gathered
from gateway.processes.dispatcher import Dispatcher
from gateway.processes.member import Member

log = structlog.get_logger()

# A process that ends is started again after 0.1 s, then after twice as long each time, and at most after this.
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 10.0
# One that ran for this long was healthy.
_WELL_S: Final = 30.0
# A process that has not ended this long after its time to drain is killed.
_PATIENCE_S: Final = 15.0
_SECRET_BYTES: Final = 32


class Supervisor:
    """Several processes behind the same ports. `arguments` are those of this process, which the others get too."""

    def __init__(self, config: GatewayConfig, arguments: Sequence[str]) -> None:
        self._config = config
        self._arguments = arguments
        self._doors: list[Dispatcher] = []
        self._members: dict[int, Member] = {}
        self._restarts = dict.fromkeys(range(config.processes), 0)
        self._numbers = itertools.count()
        self._stopping = asyncio.Event()
        self._was_ready: dict[int, asyncio.Event] = {index: asyncio.Event() for index in self._restarts}
        self._has_started = False
        self._status = 0
        # Without a file next to the store, each process would make a secret of its own.
        needs_secret = config.store.startswith("redis") and not config.token_secret
        self._secret = secrets.token_hex(_SECRET_BYTES) if needs_secret else ""

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; the exit status. Raises OSError if a port cannot be bound."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        try:
            await self._bind()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._open())
                for index in self._restarts:
                    group.create_task(self._keep(index))
        finally:
            for door in self._doors:
                door.close()
        return self._status

    async def _bind(self) -> None:
        """Take every port, so that no other program can; connections come once all processes serve."""
        config = self._config
        wanted = [("http", config.http_host, config.http_port)]
        if config.ws_enabled:
            wanted.append(("ws", config.ws_host, config.ws_port))
        if config.tls_cert is not None:
            wanted.append(("wss", config.wss_host, config.wss_port))
        if config.wyoming_port:
            wanted.append(("wyoming", config.wyoming_host, config.wyoming_port))
        for name, host, port in wanted:
            listeners = await bind(host, port, socket.socket)
            if name in ("ws", "wss"):
                for listener in listeners:
                    defer_accept(listener)
            self._doors.append(Dispatcher(name, listeners))

    async def _open(self) -> None:
        """Accept connections once every process serves."""
        for ready in self._was_ready.values():
            await ready.wait()
        if self._stopping.is_set():
            return
        self._has_started = True
        for door in self._doors:
            door.listen()
        ports = {f"{door.name}_port": door.address[1] for door in self._doors}
        log.info("gateway processes listening", processes=self._config.processes, **ports)

    async def _keep(self, index: int) -> None:
        """Run a process, and another after it when it ends, until the gateway stops."""
        if index > 0:  # the first one makes the store's file, and reports once what is wrong with the settings
            await self._was_ready[0].wait()
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                code = await self._run(index)
            except OSError as error:
                log.error("gateway process not started", process=index, reason=error.strerror)
                code = 1
            if self._stopping.is_set():
                self._status = self._status or int(code not in (0, -signal.SIGTERM))
                return
            if not self._has_started:
                self._status = max(code, 1)
                self._stop()
                return
            if time.monotonic() - began > _WELL_S:
                pause_s = _FIRST_PAUSE_S
            log.warning("gateway process ended", process=index, status=code, restart_in_s=pause_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            self._restarts[index] += 1
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _run(self, index: int) -> int:
        """Run a process to its end; its exit status, or the negative number of the signal that ended it."""
        member = await Member.begin(index, self._restarts[index], self._arguments, self._doors, self._secret)
        self._members[index] = member
        if self._stopping.is_set():
            member.signal(signal.SIGTERM)
        hearing = asyncio.create_task(member.listen(lambda: self._seat(member), self._gather))
        try:
            return await self._end_of(member)
        finally:
            for door in self._doors:
                door.seats.pop(index, None)
            del self._members[index]
            member.close()
            hearing.cancel()
            with suppress(asyncio.CancelledError):
                await hearing

    async def _end_of(self, member: Member) -> int:
        ending = asyncio.ensure_future(member.process.wait())
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({ending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await asyncio.wait({ending}, timeout=self._config.drain_s + _PATIENCE_S)
        if not ending.done():
            log.error("gateway process killed: it did not end", process=member.index)
            member.signal(signal.SIGKILL)
        return await ending

    def _seat(self, member: Member) -> None:
        """A process serves: it gets connections from now on."""
        for door in self._doors:
            door.seats[member.index] = member.seats[door.name]
        self._was_ready[member.index].set()

    def _stop(self) -> None:
        """Let every process drain, and start none again."""
        if self._stopping.is_set():
            return
        log.info("gateway processes draining", processes=len(self._members))
        self._stopping.set()
        for member in self._members.values():
            member.signal(signal.SIGTERM)
        for ready in self._was_ready.values():  # wakes those that wait for it
            ready.set()

    async def _gather(self, asking: Member, number: int) -> None:
        """Tell a process the metrics of the others."""
        others = [member for member in self._members.values() if member.is_ready and member is not asking]
        bodies = await asyncio.gather(*(member.exposition(next(self._numbers)) for member in others))
        found = {other.index: body for other, body in zip(others, bodies, strict=True) if body is not None}
        facts = (self._members[index].fact for index in sorted(self._members))
        asking.send(Gathered(number, found, tuple(facts)))
