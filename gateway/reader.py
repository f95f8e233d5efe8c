"""Passes a socket's messages to its connection: at once while nothing waits, else by a task that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias

# After so many messages that had arrived already, others have their turn: asyncio itself would read them all first.
FAIR_SHARE: Final = 8

# What has to be done before the next message is read.
Work: TypeAlias = Callable[[], Awaitable[object]]
# Handles a message.
Handler: TypeAlias = Callable[[str | bytes], Work | None]


class Source(Protocol):
    """A socket that keeps whole messages until they are read."""

    @property
    def has_message(self) -> bool:
        """Whether a whole message waits."""
        ...

    async def take_message(self) -> str | bytes | None:
        """The message that has waited longest; None: the socket is closed, because of this message or before it."""
        ...


class SocketReader:
    """The only reader of a socket. It has a task only while a message waits, or something has to be waited for."""

    __slots__ = ("_end", "_handle", "_is_lost", "_is_stopped", "_socket", "_task")

    def __init__(self, socket: Source, handle: Handler, end: Callable[[Exception | None], None]) -> None:
        """`end` is called once the socket is lost and all its messages are handled, or with what `handle` raised."""
        self._socket = socket
        self._handle = handle
        self._end = end
        self._task: asyncio.Task[None] | None = None
        self._is_lost = False
        self._is_stopped = False

    @property
    def is_free(self) -> bool:
        """Whether a message may be passed on at once."""
        return self._task is None and not self._is_stopped

    def pass_on(self, message: str | bytes) -> None:
        """Pass on a message before which none waits."""
        try:
            work = self._handle(message)
        except Exception as error:  # noqa: BLE001 (the edge of a callback: the connection reports it and closes the socket)
            self._fail(error)
        else:
            if work is not None:
                self._begin(work)

    def wake(self) -> None:
        """Pass on what waits."""
        if self._task is None and not self._is_stopped:
            self._begin(None)

    def lost(self) -> None:
        """The socket is lost; what waits is still passed on."""
        self._is_lost = True
        if self._task is None:
            self._end(None)

    async def stop(self) -> None:
        """Pass on nothing more."""
        self._is_stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _begin(self, work: Work | None) -> None:
        self._task = asyncio.get_running_loop().create_task(self._catch_up(work))

    async def _catch_up(self, work: Work | None) -> None:
        """Wait for `work`, then pass on messages until none waits."""
        passed = 0
        try:
            if work is not None:
                await work()
            while self._socket.has_message and (message := await self._socket.take_message()) is not None:
                passed += 1
                if passed % FAIR_SHARE == 0:
                    await asyncio.sleep(0)
                if (work := self._handle(message)) is not None:
                    await work()
        except Exception as error:  # noqa: BLE001 (the edge of a task, as above)
            self._fail(error)
        finally:
            self._task = None
        if self._is_lost:
            self._end(None)

    def _fail(self, error: Exception) -> None:
        self._is_stopped = True
        self._end(error)
