"""The way to one client's socket: bounded, in order, and never a stale interim before a newer one.

A message goes to the socket at once if nothing waits before it; only a busy socket has a queue.

A newer message with the same slot (`gateway.protocol.missed`) replaces an unsent older one. If a client does not
read, the queue reaches its bound and the socket is closed (1008).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from gateway.protocol.codec import encode
from gateway.protocol.errors import CloseCode
from gateway.protocol.messages import ServerMessage
from gateway.protocol.missed import slot_of


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One encoded message. It is sent only once `after`, the write that the client relies on, is done."""

    message: ServerMessage
    payload: bytes
    after: Future[None] | None


@dataclass(frozen=True, slots=True)
class Closing:
    """The last entry: close the socket."""

    code: int
    reason: str


class Sender(Protocol):
    """What empties an outbox into a socket."""

    def transmit(self, payload: bytes) -> bool:
        """Hand a message to the socket; False if the socket does not take it now."""
        ...

    def wake(self) -> None:
        """Messages wait, or the socket has to be closed: take them with `next_entry`."""
        ...


class Outbox:
    """The queue between a session, which puts messages and never waits, and a socket, which may be slow.

    Beyond `max_messages` or `max_bytes`, every waiting message is dropped and the socket is closed.
    """

    def __init__(self, max_messages: int, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives UNIX seconds, with which messages are stamped."""
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._clock = clock
        self._waiting: dict[Hashable, Outgoing] = {}
        self._handed_out: Outgoing | None = None
        self._bytes = 0
        self._serial = 0
        self._closing: Closing | None = None
        self._sender: Sender | None = None
        self.replaced = 0
        self.overflowed = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def closing(self) -> Closing | None:
        """How the socket will be closed; None: it stays open for now."""
        return self._closing

    def attach(self, sender: Sender) -> None:
        """Send through this from now on, beginning with what waits already."""
        self._sender = sender
        if self._waiting or self._closing is not None:
            sender.wake()

    def put(self, message: ServerMessage, after: Future[None] | None = None) -> None:
        """Send a message, or append it if the socket is busy; ignored once the socket is being closed."""
        if self._closing is not None:
            return
        payload = encode(message, self._clock())
        if self._sent_at_once(payload, after):
            return
        slot = slot_of(message)
        place: Hashable
        if slot is not None:
            self._remove(slot.key)
        if slot is None or slot.is_last:
            self._serial += 1
            place = self._serial
        else:
            place = slot.key
        entry = Outgoing(message, payload, after)
        self._waiting[place] = entry
        self._bytes += len(entry.payload)
        if len(self._waiting) > self._max_messages or self._bytes > self._max_bytes:
            self._waiting.clear()
            self._bytes = 0
            self.overflowed = True
            self.close(CloseCode.POLICY, "the client does not read its messages")
        self._wake()

    def close(self, code: int, reason: str) -> None:
        """Close the socket after the waiting messages; only the first call counts."""
        if self._closing is None:
            self._closing = Closing(code, reason)
            self._wake()

    def unsent(self) -> list[ServerMessage]:
        """The waiting messages in order, preceded by the latest one handed out: sending it may have failed."""
        taken = [] if self._handed_out is None else [self._handed_out.message]
        return taken + [entry.message for entry in self._waiting.values()]

    def next_entry(self) -> Outgoing | Closing | None:
        """Take the next entry; None if there is none. `Closing` is the last one.

        Call this only after you have sent the previous entry: until then that entry counts as unsent.
        """
        self._handed_out = None
        return self._pop() if self._waiting else self._closing

    def _pop(self) -> Outgoing:
        entry = self._waiting.pop(next(iter(self._waiting)))
        self._bytes -= len(entry.payload)
        self._handed_out = entry
        return entry

    def _sent_at_once(self, payload: bytes, after: Future[None] | None) -> bool:
        """Hand a message to an idle socket, unless it has to wait for a write or for other messages."""
        if self._sender is None or self._waiting or self._handed_out is not None:
            return False
        return (after is None or after.done()) and self._sender.transmit(payload)

    def _wake(self) -> None:
        if self._sender is not None:
            self._sender.wake()

    def _remove(self, slot: Hashable) -> None:
        stale = self._waiting.pop(slot, None)
        if stale is not None:
            self._bytes -= len(stale.payload)
            self.replaced += 1
