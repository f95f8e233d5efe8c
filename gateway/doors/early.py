"""What is read of a socket before its conversation begins."""

from __future__ import annotations

import asyncio

from gateway.auth import Principal
from gateway.refusal_pace import SocketPace, pace_owner
from gateway.sessions.context import GatewayContext


class Early:
    """Such messages of one socket.

    `refusals`: the socket's pace, `messages`: how many of its messages count there, `texts`: those to hand on.
    """

    def __init__(self, context: GatewayContext, address: str, principal: Principal | None) -> None:
        self._context = context
        self._owner = pace_owner("" if principal is None else principal.terms.owner, address)
        self.refusals = SocketPace(context.paces)
        self.messages = 0
        self.texts: list[str] = []

    async def slow_down(self) -> None:
        """A message counts as refused: wait if too many do."""
        self.messages += 1
        pause_s = self.refusals.pause_s(self._owner, self.messages, self._context.monotonic())
        if pause_s:
            self._context.metrics.refusal_pauses.inc()
            await asyncio.sleep(pause_s)
