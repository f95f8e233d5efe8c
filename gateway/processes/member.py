"""One process as its supervisor sees it: starts it, exchanges messages with it, ends it."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack, suppress
from typing import Final

from gateway.processes.control import (
    Collect,
    Counts,
    DoorFile,
    Exposition,
    Message,
    ProcessFact,
    Ready,
    Welcome,
    frame,
    read,
)
from gateway.processes.dispatcher import Dispatcher, Seat
from gateway.processes.membership import SUBCOMMAND

# The time in which a process gives its metrics.
_ANSWER_S: Final = 2.0


class Member:
    """A running process. Created by `begin`."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        start: ProcessFact,
        seats: dict[str, Seat],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.index = start.index
        self.process = process
        self.is_ready = False
        self.seats = seats
        self._restarts = start.restarts
        self._reader = reader
        self._writer = writer
        self._answers: dict[int, asyncio.Future[bytes]] = {}

    @classmethod
    async def begin(
        cls, index: int, restarts: int, arguments: Sequence[str], doors: Sequence[Dispatcher], token_secret: str
    ) -> Member:
        """Start a process with these arguments; `restarts` counts those before it. Raises OSError."""
        with ExitStack() as theirs, ExitStack() as on_failure:
            control, its_control = socket.socketpair()
            theirs.enter_context(its_control)
            on_failure.enter_context(control)
            seats: dict[str, Seat] = {}
            files: list[DoorFile] = []
            for door in doors:
                mine, its = socket.socketpair()
                theirs.enter_context(its)
                on_failure.enter_context(mine)
                seats[door.name] = Seat(mine, time.monotonic)
                files.append(DoorFile(door.name, *door.address, its.fileno()))
            control.sendall(frame(Welcome(index, tuple(files), token_secret)))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", SUBCOMMAND, str(its_control.fileno()), *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[its_control.fileno(), *(file.descriptor for file in files)],
                # A ^C at a terminal reaches the supervisor alone, which passes it on.
                process_group=0,
            )
            on_failure.pop_all()
        control.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=control)
        return cls(process, ProcessFact(index, False, restarts, {}), seats, reader, writer)

    @property
    def fact(self) -> ProcessFact:
        """What the supervisor knows of it."""
        loads = {name: seat.load for name, seat in self.seats.items()}
        return ProcessFact(self.index, self.is_ready, self._restarts, loads)

    async def listen(
        self, ready: Callable[[], None], gather: Callable[[Member, int], Coroutine[None, None, None]]
    ) -> None:
        """Hear what the process says until it has ended."""
        async with asyncio.TaskGroup() as group:
            while (message := await read(self._reader)) is not None:
                match message:
                    case Ready():
                        self.is_ready = True
                        ready()
                    case Counts(door, taken, closed):
                        self.seats[door].update(taken, closed)
                    case Collect(number):
                        group.create_task(gather(self, number))
                    case Exposition(number, body):
                        answer = self._answers.get(number)
                        if answer is not None and not answer.done():
                            answer.set_result(body)

    async def exposition(self, number: int) -> bytes | None:
        """Its metrics; None if it does not answer in time."""
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self.send(Collect(number))
        try:
            return await asyncio.wait_for(answer, _ANSWER_S)
        except TimeoutError:
            return None
        finally:
            del self._answers[number]

    def send(self, message: Message) -> None:
        """Tell the process something."""
        if not self._writer.is_closing():
            self._writer.write(frame(message))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if the process still runs."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def close(self) -> None:
        """Close the channels to a process that has ended."""
        self._writer.close()
        for seat in self.seats.values():
            seat.close()
