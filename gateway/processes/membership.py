"""A gateway process as one of several: its doors, and its side of the channel to the supervisor."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from gateway.admission import Admission
from gateway.config import GatewayConfig
from gateway.listening import ListeningSocket
from gateway.processes.control import (
    Collect,
    Counts,
    Exposition,
    Gathered,
    Message,
    ProcessFact,
    Ready,
    frame,
    read,
    read_welcome,
)
from gateway.processes.division import divided
from gateway.processes.exposition import merged
from gateway.processes.handed import HandedSocket

SUBCOMMAND: Final = "process"
# Changes of counts within this time are reported together.
_TELL_S: Final = 0.02
# The supervisor waits less than this for the other processes.
_GATHER_S: Final = 5.0


class Membership:
    """The doors (see Doors) of a process that a supervisor has started."""

    def __init__(self, channel: socket.socket) -> None:
        """Waits for the welcome. Raises OSError if there is none."""
        welcome = read_welcome(channel)
        self.index: Final = welcome.index
        self._secret = welcome.token_secret
        self._channel = channel
        self._doors = {door.name: door for door in welcome.doors}
        self._sockets: dict[str, HandedSocket] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._telling: asyncio.TimerHandle | None = None
        self._questions: dict[int, asyncio.Future[Gathered]] = {}
        self._numbers = itertools.count()

    def own_settings(self, config: GatewayConfig) -> GatewayConfig:
        """The settings of this process."""
        return divided(replace(config, token_secret=self._secret) if self._secret else config)

    async def open(
        self, name: str, address: tuple[str, int], admission: Admission, allows: Callable[[str], bool]
    ) -> list[ListeningSocket]:
        """See Doors. The supervisor has bound the address."""
        door = self._doors[name]
        handed = HandedSocket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=door.descriptor)
        handed.setblocking(False)
        handed.address = (door.host, door.port)
        handed.admission, handed.allows, handed.changed = admission, allows, self._tell_soon
        self._sockets[name] = handed
        return [handed]

    async def gather(self, exposition: bytes) -> bytes:
        """See Doors. Without an answer of the supervisor, the metrics are those of this process."""
        number = next(self._numbers)
        answer = self._questions[number] = asyncio.get_running_loop().create_future()
        self._send(Collect(number))
        gathered = Gathered(number, {}, (ProcessFact(self.index, True, 0, {}),))
        try:
            with suppress(TimeoutError):
                gathered = await asyncio.wait_for(answer, _GATHER_S)
        finally:
            del self._questions[number]
        return merged({**gathered.bodies, self.index: exposition}, gathered.facts)

    async def serve_until(self, stop: asyncio.Event, render: Callable[[], bytes]) -> None:
        """Say that this process serves, and answer the supervisor until the event is set or the supervisor is gone."""
        reader, self._writer = await asyncio.open_connection(sock=self._channel)
        self._send(Ready())
        answering = asyncio.create_task(self._answer(reader, render))
        answering.add_done_callback(lambda _: stop.set())
        await stop.wait()

    async def _answer(self, reader: asyncio.StreamReader, render: Callable[[], bytes]) -> None:
        while (message := await read(reader)) is not None:
            match message:
                case Collect(number):
                    self._send(Exposition(number, render()))
                case Gathered(number):
                    answer = self._questions.get(number)
                    if answer is not None and not answer.done():
                        answer.set_result(message)

    def _tell_soon(self) -> None:
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(_TELL_S, self._tell)

    def _tell(self) -> None:
        self._telling = None
        for name, door in self._sockets.items():
            self._send(Counts(name, door.taken, door.closed))

    def _send(self, message: Message) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frame(message))


def joined(arguments: Sequence[str]) -> tuple[Membership | None, Sequence[str]]:
    """Join the supervisor that `process N` at the beginning of the arguments names, and the arguments behind it.

    Raises OSError if there is none.
    """
    if arguments[:1] not in ([SUBCOMMAND], (SUBCOMMAND,)):
        return None, arguments
    if len(arguments) < 2 or not arguments[1].isdecimal():
        raise OSError(f"`{SUBCOMMAND}` is for the processes that `processes` starts")
    try:
        channel = socket.socket(fileno=int(arguments[1]))
    except OSError:
        raise OSError(f"`{SUBCOMMAND}` is for the processes that `processes` starts") from None
    return Membership(channel), arguments[2:]
