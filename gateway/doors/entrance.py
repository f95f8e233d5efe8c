"""What every dialect's handlers share: the gateway behind them, the checks at the door, the counts."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.doors.access import DoorAccess
from gateway.protocol.errors import Problem
from gateway.sessions.context import GatewayContext
from gateway.sessions.directory import SessionDirectory


@dataclass(frozen=True, slots=True)
class Entrance:
    """The gateway as a dialect sees it."""

    context: GatewayContext
    directory: SessionDirectory
    access: DoorAccess

    def served(self, dialect: str) -> None:
        """A conversation has begun, or an upload was answered."""
        self.context.metrics.door_requests.labels(dialect, "served").inc()

    def refused(self, dialect: str, problem: Problem) -> None:
        """A request was refused."""
        self.context.metrics.door_requests.labels(dialect, problem.code).inc()
        self.context.metrics.errors.labels(problem.code).inc()
