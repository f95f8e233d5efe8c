"""The states of a stream and of a session: two enums, two tables, one way to move.

A move that the table does not have raises IllegalMoveError and changes nothing. docs/protocol.md shows these tables as
`table_markdown` writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeVar


class StreamPhase(StrEnum):
    """Where a media stream stands."""

    OPEN = "open"
    ENDING = "ending"
    ENDED = "ended"


class StreamMove(StrEnum):
    """What moves a stream. `done`: the last of its services has ended or failed."""

    CHUNK = "chunk"
    FLUSH = "flush"
    END = "end"
    DONE = "done"


class SessionPhase(StrEnum):
    """Where a session stands. `detached`: without a socket, within its grace time."""

    NEW = "new"
    WAITING = "waiting"
    OPEN = "open"
    DETACHED = "detached"
    EXPIRED = "expired"


class SessionMove(StrEnum):
    """What moves a session."""

    AWAIT_AUTH = "await_auth"
    CONNECT = "connect"
    DISCONNECT = "disconnect"
    EXPIRE = "expire"


P = TypeVar("P", bound=StrEnum)
M = TypeVar("M", bound=StrEnum)

STREAM_TABLE: Final[Mapping[tuple[StreamPhase, StreamMove], StreamPhase]] = MappingProxyType(
    {
        (StreamPhase.OPEN, StreamMove.CHUNK): StreamPhase.OPEN,
        (StreamPhase.OPEN, StreamMove.FLUSH): StreamPhase.OPEN,
        (StreamPhase.OPEN, StreamMove.END): StreamPhase.ENDING,
        (StreamPhase.OPEN, StreamMove.DONE): StreamPhase.ENDED,
        (StreamPhase.ENDING, StreamMove.DONE): StreamPhase.ENDED,
    }
)

SESSION_TABLE: Final[Mapping[tuple[SessionPhase, SessionMove], SessionPhase]] = MappingProxyType(
    {
        (SessionPhase.NEW, SessionMove.AWAIT_AUTH): SessionPhase.WAITING,
        (SessionPhase.NEW, SessionMove.CONNECT): SessionPhase.OPEN,
        (SessionPhase.NEW, SessionMove.EXPIRE): SessionPhase.EXPIRED,
        (SessionPhase.WAITING, SessionMove.CONNECT): SessionPhase.OPEN,
        (SessionPhase.WAITING, SessionMove.DISCONNECT): SessionPhase.EXPIRED,
        (SessionPhase.WAITING, SessionMove.EXPIRE): SessionPhase.EXPIRED,
        (SessionPhase.OPEN, SessionMove.CONNECT): SessionPhase.OPEN,
        (SessionPhase.OPEN, SessionMove.DISCONNECT): SessionPhase.DETACHED,
        (SessionPhase.OPEN, SessionMove.EXPIRE): SessionPhase.EXPIRED,
        (SessionPhase.DETACHED, SessionMove.CONNECT): SessionPhase.OPEN,
        (SessionPhase.DETACHED, SessionMove.DISCONNECT): SessionPhase.DETACHED,
        (SessionPhase.DETACHED, SessionMove.EXPIRE): SessionPhase.EXPIRED,
    }
)


class IllegalMoveError(Exception):
    """The table has no such move from this phase."""

    def __init__(self, phase: StrEnum, move: StrEnum) -> None:
        super().__init__(f"no {move} while {phase}")
        self.phase = phase
        self.move = move


def moved(table: Mapping[tuple[P, M], P], phase: P, move: M) -> P:
    """The phase that a move leads to. Raises IllegalMoveError."""
    try:
        return table[phase, move]
    except KeyError:
        raise IllegalMoveError(phase, move) from None


def table_markdown(table: Mapping[tuple[P, M], P]) -> str:
    """A transition table as Markdown, one row a phase, one column a move; empty where the move is illegal."""
    phases = dict.fromkeys([*(phase for phase, _ in table), *table.values()])
    moves = dict.fromkeys(move for _, move in table)
    lines = [f"| | {' | '.join(f'`{move}`' for move in moves)} |", f"|---|{'---|' * len(moves)}"]
    for phase in phases:
        cells = (f"`{table[phase, move]}`" if (phase, move) in table else "" for move in moves)
        lines.append(f"| `{phase}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
