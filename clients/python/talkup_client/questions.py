"""Pending `ping` and `status` requests; the gateway answers each kind in order."""

from __future__ import annotations

import asyncio
from collections import deque

from talkup_client.errors import TalkupError
from talkup_client.events import Pong, Status

Answer = Pong | Status


class Questions:
    """The requests of this connection that still wait for an answer."""

    def __init__(self) -> None:
        self._waiting: dict[type[Answer], deque[asyncio.Future[Answer]]] = {Pong: deque(), Status: deque()}

    def put(self, kind: type[Answer]) -> asyncio.Future[Answer]:
        """Register a request that is about to be sent; return its future answer."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[kind].append(answer)
        return answer

    def answer(self, message: Answer) -> None:
        """Give an answer to the oldest request, even if its caller has given up: answers come in order."""
        waiting = self._waiting[type(message)]
        if waiting and not (first := waiting.popleft()).done():
            first.set_result(message)

    def fail(self, error: TalkupError) -> None:
        """The connection is lost: fail all pending requests."""
        for waiting in self._waiting.values():
            while waiting:
                if not (answer := waiting.popleft()).done():
                    answer.set_exception(error)
