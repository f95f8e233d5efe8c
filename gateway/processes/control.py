"""What the supervisor and its processes tell each other, over a pair of sockets: a length, then a msgpack map."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

import msgspec

_LENGTH_BYTES: Final = 4
# The largest message holds the metrics of all processes: 2 MiB for each of 256.
_MAX_BYTES: Final = 512 << 20


class DoorFile(msgspec.Struct, frozen=True):
    """A door of a process: where its clients connect to, and the descriptor through which it gets connections."""

    name: str
    host: str
    port: int
    descriptor: int


class Welcome(msgspec.Struct, frozen=True, tag=True):
    """To a process, first: its number, its doors, and a secret for tokens if the settings have none."""

    index: int
    doors: tuple[DoorFile, ...]
    token_secret: str = ""

    def __repr__(self) -> str:
        return f"Welcome(index={self.index})"


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From a process: it serves."""


class Counts(msgspec.Struct, frozen=True, tag=True):
    """From a process: connections of a door that it has taken and that have been closed since, from its start on."""

    door: str
    taken: int
    closed: int


class Collect(msgspec.Struct, frozen=True, tag=True):
    """From a process: it wants the metrics of all others. To a process: its own are wanted."""

    number: int


class Exposition(msgspec.Struct, frozen=True, tag=True):
    """From a process: its metrics, as Prometheus text."""

    number: int
    body: bytes


class ProcessFact(msgspec.Struct, frozen=True):
    """What the supervisor knows of a process. `connections`: open ones, by door."""

    index: int
    is_up: bool
    restarts: int
    connections: dict[str, int]


class Gathered(msgspec.Struct, frozen=True, tag=True):
    """To a process: the metrics of the others, by their number; without those that did not answer in time."""

    number: int
    bodies: dict[int, bytes]
    facts: tuple[ProcessFact, ...]


Message = Welcome | Ready | Counts | Collect | Exposition | Gathered
_decoder = msgspec.msgpack.Decoder(Message)


def frame(message: Message) -> bytes:
    """A message as it travels."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


async def read(reader: asyncio.StreamReader) -> Message | None:
    """The next message; None when the other side is gone, or sends something else."""
    try:
        length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
        message: Message = _decoder.decode(await reader.readexactly(min(length, _MAX_BYTES)))
    except (asyncio.IncompleteReadError, msgspec.DecodeError, OSError):
        return None
    return message


def read_welcome(channel: socket.socket) -> Welcome:
    """The first message, before there is an event loop. Raises OSError if there is none."""
    length = channel.recv(_LENGTH_BYTES, socket.MSG_WAITALL)
    body = channel.recv(min(int.from_bytes(length, "big"), _MAX_BYTES), socket.MSG_WAITALL)
    try:
        message = _decoder.decode(body)
    except msgspec.DecodeError:
        message = None
    if not isinstance(message, Welcome):
        raise OSError("the supervisor of this process is gone")
    return message
