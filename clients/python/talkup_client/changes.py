"""Changes of the connection that a client reports to its program, so that users know why they are waiting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionBroken:
    """The connection broke; the client tries to reconnect for at most `retry_s` seconds. `reason` is for the user."""

    reason: str
    retry_s: float


@dataclass(frozen=True, slots=True)
class ConnectionRestored:
    """The client has reconnected and resumed the session, `away_s` seconds after the connection broke."""

    away_s: float


@dataclass(frozen=True, slots=True)
class GatewayBusy:
    """The gateway has no room at the moment (`reason`); the client retries in `wait_s` seconds."""

    reason: str
    wait_s: float


@dataclass(frozen=True, slots=True)
class SpeakerAwaited:
    """The gateway does not know the session yet, or no more; `watch` asks again for at most `retry_s` seconds."""

    retry_s: float


@dataclass(frozen=True, slots=True)
class CredentialNotRenewed:
    """The credential expires soon and could not be renewed: the callback raised an error, or the gateway refused it."""

    reason: str


Change = ConnectionBroken | ConnectionRestored | GatewayBusy | SpeakerAwaited | CredentialNotRenewed
Listener = Callable[[Change], None]


def ignore(_change: Change) -> None:
    """The default listener: does nothing."""
