"""Questions to the gateway that one message answers: `ping` and `status`, each kind answered in its order."""

from __future__ import annotations

import asyncio
from collections import deque

from talkup_client.errors import TalkupError
from talkup_client.events import Pong, Status

Answer = Pong | Status


class Questions:
    """Those that wait for their answer on this connection."""

    def __init__(self) -> None:
        self._waiting: dict[type[Answer], deque[asyncio.Future[Answer]]] = {Pong: deque(), Status: deque()}

    def put(self, kind: type[Answer]) -> asyncio.Future[Answer]:
        """The answer to a question that is about to be sent."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[kind].append(answer)
        return answer

    def answer(self, message: Answer) -> None:
        """Hand an answer to whoever has waited longest; one that gave up keeps its turn."""
        waiting = self._waiting[type(message)]
        if waiting and not (first := waiting.popleft()).done():
            first.set_result(message)

    def fail(self, error: TalkupError) -> None:
        """The connection is gone: no answer comes."""
        for waiting in self._waiting.values():
            while waiting:
                if not (answer := waiting.popleft()).done():
                    answer.set_exception(error)
