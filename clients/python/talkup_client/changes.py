"""What a client tells its program about its connection, so that a person does not wait without knowing why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionBroken:
    """The connection is gone and is being made again, for at most `retry_s` seconds. `reason` is for a person."""

    reason: str
    retry_s: float


@dataclass(frozen=True, slots=True)
class ConnectionRestored:
    """The session was taken up where it stood, `away_s` seconds after the connection had gone."""

    away_s: float


@dataclass(frozen=True, slots=True)
class GatewayBusy:
    """The gateway takes nothing new at the moment (`reason`); the client retries in `wait_s` seconds."""

    reason: str
    wait_s: float


Change = ConnectionBroken | ConnectionRestored | GatewayBusy
Listener = Callable[[Change], None]


def ignore(_change: Change) -> None:
    """For programs that do not want to know."""
