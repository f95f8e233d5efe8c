"""What every dialect's handlers share: the gateway behind them, the checks at the door, the counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from talkup.v1 import task_pb2

from gateway.doors.access import DoorAccess
from gateway.doors.steps import RefusedError
from gateway.protocol.errors import Code, Problem
from gateway.sessions.context import GatewayContext
from gateway.sessions.directory import SessionDirectory

_RETRY_MS: Final = 2_000


class RecordingPlaces:
    """Recordings that are transcribed at once, in all dialects: a part of the slots, so that live streams find one.

    In a worker they also queue behind live streams, but each holds a slot.
    """

    def __init__(self, context: GatewayContext) -> None:
        self._context = context
        self._taken = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place while a recording is transcribed. Raises RefusedError if there is none."""
        room = self._context.upstream.room(task_pb2.SERVICE_TYPE_STT)
        if room is not None:
            total, _free = room
            if self._taken >= max(1, int(total * self._context.config.recordings_share)):
                text = "as many recordings are being transcribed as may be at once"
                raise RefusedError(Problem(Code.BUSY, text, retry_after_ms=_RETRY_MS))
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


@dataclass(frozen=True, slots=True)
class Entrance:
    """The gateway as a dialect sees it."""

    context: GatewayContext
    directory: SessionDirectory
    access: DoorAccess
    recordings: RecordingPlaces

    def served(self, dialect: str) -> None:
        """A conversation has begun, or an upload was answered."""
        self.context.metrics.door_requests.labels(dialect, "served").inc()

    def refused(self, dialect: str, problem: Problem) -> None:
        """A request was refused."""
        self.context.metrics.door_requests.labels(dialect, problem.code).inc()
        self.context.metrics.errors.labels(problem.code).inc()
