"""What a dialect decides: values that the door performs in order. A conversation itself never waits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.protocol.errors import Code, Problem
from gateway.protocol.messages import ClientMessage, ErrorData, ServerMessage, StreamStart

# Errors of a stream that continues: they only report what went wrong.
_PASSING: Final = frozenset({Code.GAP, Code.ORPHAN_CHUNK, Code.RATE_LIMITED})


@dataclass(frozen=True, slots=True)
class ToSession:
    """Pass a message to the session."""

    message: ClientMessage


@dataclass(frozen=True, slots=True)
class ToClient:
    """Send a text message, in UTF-8, to the client."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket after everything before it; `code` as in RFC 6455 7.4."""

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CountRefusal:
    """The client's message is refused or not understood: a client that goes on like that is read more slowly."""


Step = ToSession | ToClient | Close | CountRefusal


class RefusedError(Exception):
    """A client is refused before its conversation begins; its dialect says so in its own words."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Conversation(Protocol):
    """One client's conversation in a dialect, without input and output. Every `now` is UNIX seconds, without
    jumps.

    Nothing that a client sends raises: what it should not have sent becomes the dialect's error.
    """

    @property
    def starts(self) -> Sequence[StreamStart]:
        """The streams to start before the client's handshake is answered: a refusal becomes the answer."""
        ...

    def receive_text(self, text: str, now: float) -> Iterable[Step]:
        """The client sent a text message."""
        ...

    def receive_bytes(self, payload: bytes, now: float) -> Iterable[Step]:
        """The client sent a binary message."""
        ...

    def on_message(self, message: ServerMessage, now: float) -> Iterable[Step]:
        """The session sent a message."""
        ...

    def refused(self, problem: Problem) -> Iterable[Step]:
        """The door ends the conversation: the client broke a rule that holds for every dialect."""
        ...

    def deadline(self) -> float | None:
        """When `tick` is due; None: never."""
        ...

    def tick(self, now: float) -> Iterable[Step]:
        """Do what is due."""
        ...


def problem_of(error: ErrorData) -> Problem:
    """The problem that an error message reports."""
    retry_after_ms = error.retry_after_ms if isinstance(error.retry_after_ms, int) else None
    field = error.field if isinstance(error.field, str) else None
    return Problem(
        Code(error.code), error.message, field=field, retryable=error.retryable, retry_after_ms=retry_after_ms
    )


def goes_on(problem: Problem) -> bool:
    """Whether a stream continues after this error; with `retry_after_ms`, `no_worker` means that it waits for one."""
    is_waiting = problem.code is Code.NO_WORKER and problem.retry_after_ms is not None
    return is_waiting or problem.code in _PASSING
