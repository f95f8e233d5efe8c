"""How long a program puts up with a busy gateway: as long as it is asked to come again, up to a bound."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from talkup_client import backoff
from talkup_client.changes import GatewayBusy, Listener
from talkup_client.errors import RefusedError, TalkupError

Taken = TypeVar("Taken")


class Patience:
    """For one attempt after the other at the same thing; `total_s` bounds the seconds waited in all."""

    def __init__(
        self,
        total_s: float,
        tell: Listener,
        sleep: Callable[[float], Awaitable[object]],
        rng: Callable[[], float],
    ) -> None:
        self._left_s = total_s
        self._tell = tell
        self._sleep = sleep
        self._rng = rng
        self._attempt = 0

    async def until_taken(self, attempt: Callable[[], Awaitable[Taken]]) -> Taken:
        """What `attempt` gives, made again while it is refused for want of room. Raises what `bide` does."""
        while True:
            try:
                return await attempt()
            except RefusedError as refused:
                await self.bide(refused)

    async def bide(self, refused: TalkupError) -> None:
        """Wait before the next attempt. Raises the refusal itself when it is not for want of room, or time is up."""
        wait_s = self._wait_s(refused)
        if wait_s is None or wait_s > self._left_s:
            raise refused
        self._attempt += 1
        self._left_s -= wait_s
        self._tell(GatewayBusy(refused.message, wait_s))
        await self._sleep(wait_s)

    def _wait_s(self, refused: TalkupError) -> float | None:
        if refused.code != "busy":
            return None
        if refused.retry_after_ms is not None:
            return max(backoff.BASE_S, refused.retry_after_ms / 1000)
        return max(backoff.BASE_S, backoff.delay_s(self._attempt + 2, self._rng))
