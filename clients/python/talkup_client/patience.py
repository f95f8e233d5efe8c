"""Retries while the gateway is busy, up to a total waiting time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from talkup_client import backoff
from talkup_client.changes import GatewayBusy, Listener
from talkup_client.errors import RefusedError, TalkupError

Result = TypeVar("Result")


class Patience:
    """Repeats an attempt that a busy gateway refuses; `total_s` bounds the total seconds of waiting."""

    def __init__(
        self,
        total_s: float,
        notify: Listener,
        sleep: Callable[[float], Awaitable[object]],
        rng: Callable[[], float],
    ) -> None:
        self._left_s = total_s
        self._notify = notify
        self._sleep = sleep
        self._rng = rng
        self._attempt = 0

    async def until_accepted(self, attempt: Callable[[], Awaitable[Result]]) -> Result:
        """Call `attempt` until the gateway accepts it; return its result. Raises as `wait` does."""
        while True:
            try:
                return await attempt()
            except RefusedError as refused:
                await self.wait(refused)

    async def wait(self, refused: TalkupError) -> None:
        """Wait before the next attempt. Raises the refusal if its code is not `busy`, or if too little time is left."""
        wait_s = self._wait_s(refused)
        if wait_s is None or wait_s > self._left_s:
            raise refused
        self._attempt += 1
        self._left_s -= wait_s
        self._notify(GatewayBusy(refused.message, wait_s))
        await self._sleep(wait_s)

    def _wait_s(self, refused: TalkupError) -> float | None:
        if refused.code != "busy":
            return None
        if refused.retry_after_ms is not None:
            return max(backoff.BASE_S, refused.retry_after_ms / 1000)
        return max(backoff.BASE_S, backoff.delay_s(self._attempt + 2, self._rng))
