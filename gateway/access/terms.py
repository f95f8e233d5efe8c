"""What the holder of an API key may do. The keys of one name are one owner: they share its sessions and its limits."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Door(StrEnum):
    """Where a credential is presented."""

    HANDSHAKE = "handshake"
    MESSAGE = "message"
    RESUME = "resume"
    HTTP = "http"
    ADMIN = "admin"
    # A door where another protocol is spoken, see `gateway.doors`.
    DIALECT = "dialect"
    # The same, with a token that only opens a session there.
    EPHEMERAL = "ephemeral"

    @property
    def group(self) -> str:
        """The name of the door in the terms of a key: the first three are one door."""
        groups = {Door.HTTP: "http", Door.ADMIN: "admin", Door.DIALECT: "dialects", Door.EPHEMERAL: "dialects"}
        return groups.get(self, "websocket")


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a key. None: no limit, or everything. `weight`: its share of the gateway, relative to other owners.

    `rate`: sockets, sessions, streams and HTTP requests that may begin per second. `sessions` and `streams`: open at
    once. `media_minutes`: per day (UTC).
    """

    owner: str = ""
    services: Collection[str] | None = None
    doors: Collection[str] | None = None
    rate: float | None = None
    sessions: int | None = None
    streams: int | None = None
    media_minutes: float | None = None
    weight: float = 1.0

    def allows_door(self, door: Door) -> bool:
        """Whether the key may be presented at a door; the one of operators has to be named."""
        if self.doors is None:
            return door is not Door.ADMIN
        return door.group in self.doors

    def allows_service(self, service: str) -> bool:
        """Whether streams may use a service."""
        return self.services is None or service in self.services


OPEN_TERMS: Final = Terms()
"""The terms of a caller without an owner: access is open, or the token is from an earlier version."""
