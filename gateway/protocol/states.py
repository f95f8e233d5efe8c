"""The states of a stream and of a session: enums of phases and moves, one transition table each.

A move that the table does not list raises IllegalMoveError and changes nothing. docs/protocol.md shows both tables as
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
    """Where a session stands."""

    # Not connected yet.
    NEW = "new"
    # A socket is connected and has shown no credential yet.
    WAITING = "waiting"
    OPEN = "open"
    # No socket, within the grace time.
    DETACHED = "detached"
    # The grace time is over; the last finals of its streams are still to come and to be stored.
    ENDING = "ending"
    ENDED = "ended"

    @property
    def is_joinable(self) -> bool:
        """Whether a socket may be attached by the session's id; else the client is refused with session_expired."""
        return self in _JOINABLE

    @property
    def is_stored(self) -> bool:
        """Whether the store lists the session as live, so that its end has to be recorded there."""
        return self in _STORED


class SessionMove(StrEnum):
    """What moves a session."""

    AWAIT_AUTH = "await_auth"
    # Another process held the session; this one restored it from the store.
    RESTORE = "restore"
    CONNECT = "connect"
    # The socket broke, or a newer one replaced it.
    LOSE = "lose"
    # The client closed the socket.
    CLOSE = "close"
    GRACE_OVER = "grace_over"
    LAST_STREAM_OVER = "last_stream_over"
    DELETE = "delete"
    # Another gateway claimed the session.
    TAKE_OVER = "take_over"
    # The gateway shuts down.
    DRAIN = "drain"


class StoreRelease(StrEnum):
    """What becomes of a session in the store when it ends here."""

    # The session is over: nobody may resume it.
    CLOSED = "closed"
    # Another process may resume it.
    RESUMABLE = "resumable"
    # Nothing is written: the store never listed the session as live here, or no longer does.
    UNTOUCHED = "untouched"


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
        (SessionPhase.NEW, SessionMove.RESTORE): SessionPhase.DETACHED,
        (SessionPhase.NEW, SessionMove.CONNECT): SessionPhase.OPEN,
        (SessionPhase.NEW, SessionMove.DELETE): SessionPhase.ENDED,
        (SessionPhase.NEW, SessionMove.TAKE_OVER): SessionPhase.ENDED,
        (SessionPhase.NEW, SessionMove.DRAIN): SessionPhase.ENDED,
        (SessionPhase.WAITING, SessionMove.CONNECT): SessionPhase.OPEN,
        (SessionPhase.WAITING, SessionMove.LOSE): SessionPhase.ENDED,
        (SessionPhase.WAITING, SessionMove.CLOSE): SessionPhase.ENDED,
        (SessionPhase.WAITING, SessionMove.DRAIN): SessionPhase.ENDED,
        (SessionPhase.OPEN, SessionMove.CONNECT): SessionPhase.OPEN,
        (SessionPhase.OPEN, SessionMove.LOSE): SessionPhase.DETACHED,
        (SessionPhase.OPEN, SessionMove.CLOSE): SessionPhase.DETACHED,
        (SessionPhase.OPEN, SessionMove.LAST_STREAM_OVER): SessionPhase.OPEN,
        (SessionPhase.OPEN, SessionMove.DELETE): SessionPhase.ENDED,
        (SessionPhase.OPEN, SessionMove.TAKE_OVER): SessionPhase.ENDED,
        (SessionPhase.OPEN, SessionMove.DRAIN): SessionPhase.ENDED,
        (SessionPhase.DETACHED, SessionMove.CONNECT): SessionPhase.OPEN,
        (SessionPhase.DETACHED, SessionMove.GRACE_OVER): SessionPhase.ENDING,
        (SessionPhase.DETACHED, SessionMove.LAST_STREAM_OVER): SessionPhase.DETACHED,
        (SessionPhase.DETACHED, SessionMove.DELETE): SessionPhase.ENDED,
        (SessionPhase.DETACHED, SessionMove.TAKE_OVER): SessionPhase.ENDED,
        (SessionPhase.DETACHED, SessionMove.DRAIN): SessionPhase.ENDED,
        (SessionPhase.ENDING, SessionMove.LAST_STREAM_OVER): SessionPhase.ENDED,
        (SessionPhase.ENDING, SessionMove.DELETE): SessionPhase.ENDED,
        (SessionPhase.ENDING, SessionMove.TAKE_OVER): SessionPhase.ENDED,
        (SessionPhase.ENDING, SessionMove.DRAIN): SessionPhase.ENDED,
    }
)

# An ending session is not joined: its streams have ended, and its grace time, which the client knows of, is over.
_JOINABLE: Final = frozenset({SessionPhase.NEW, SessionPhase.OPEN, SessionPhase.DETACHED})
_STORED: Final = frozenset({SessionPhase.OPEN, SessionPhase.DETACHED, SessionPhase.ENDING})

# What a move to `ended` means for a session that the store lists. A deleted session, or one that another gateway
# claimed, is no longer this gateway's to write.
_RELEASES: Final[Mapping[SessionMove, StoreRelease]] = MappingProxyType(
    {
        SessionMove.LAST_STREAM_OVER: StoreRelease.CLOSED,
        SessionMove.DELETE: StoreRelease.UNTOUCHED,
        SessionMove.TAKE_OVER: StoreRelease.UNTOUCHED,
        SessionMove.DRAIN: StoreRelease.RESUMABLE,
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


def store_release(phase: SessionPhase, move: SessionMove) -> StoreRelease:
    """What to write to the store when `move` ends a session that stands in `phase`."""
    return _RELEASES[move] if phase.is_stored else StoreRelease.UNTOUCHED


def table_markdown(table: Mapping[tuple[P, M], P]) -> str:
    """A transition table as Markdown: one row per phase, one column per move, empty where the move is illegal."""
    phases = dict.fromkeys([*(phase for phase, _ in table), *table.values()])
    moves = dict.fromkeys(move for _, move in table)
    lines = [f"| | {' | '.join(f'`{move}`' for move in moves)} |", f"|---|{'---|' * len(moves)}"]
    for phase in phases:
        cells = (f"`{table[phase, move]}`" if (phase, move) in table else "" for move in moves)
        lines.append(f"| `{phase}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
