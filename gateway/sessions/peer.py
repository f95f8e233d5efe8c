"""What a session asks of the socket that is attached to it."""

from __future__ import annotations

from typing import Protocol

from gateway.outbox import Outbox
from gateway.protocol.actions import ResumeSession


class Peer(Protocol):
    """A session's socket, as the session sees it."""

    @property
    def outbox(self) -> Outbox:
        """The queue of messages to the client."""
        ...

    def authenticate(self, token: str) -> None:
        """Check a credential that was sent as a message."""
        ...

    def resume(self, request: ResumeSession) -> None:
        """Hand the socket over to another session."""
        ...
