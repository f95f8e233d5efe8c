"""`talkup workers`, `drain` and `resume`: workers in and out of rotation, through a gateway's HTTP port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote

from talkup_client.errors import BadAnswerError
from talkup_client.http_api import Answer, HttpApi
from talkup_client.overview import workers_table

_POLL_S: Final = 0.5
_WORKERS: Final = "/v1/workers"


async def list_workers(api: HttpApi) -> str:
    """The workers of a gateway as a table. Raises TalkupError."""
    return workers_table(_workers((await api.get(_WORKERS)).checked()))


async def drain(
    api: HttpApi,
    address: str,
    say: Callable[[str], None],
    *,
    wait_s: float,
    force: bool = False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> bool:
    """Take a worker out of rotation and wait for up to `wait_s` seconds; returns whether no stream is left there.

    Raises TalkupError.
    """
    force_query = "?force=true" if force else ""
    left = _streams((await api.post(f"{_WORKERS}/{quote(address, safe='')}/drain{force_query}")).checked())
    say(f"{address} takes no new streams; {left} are running there")
    until = clock() + wait_s
    while left and clock() < until:
        await sleep(_POLL_S)
        found = [each for each in _workers((await api.get(_WORKERS)).checked()) if each.get("address") == address]
        if not found:
            say(f"the gateway does not list {address} any more: look at the worker itself")
            return False
        before, left = left, _slots_used(found[0])
        if left != before:
            say(f"streams left: {left}")
    if left:
        say("the rest move with their next final; when the worker is stopped, they move within its drain time")
    else:
        say(f"no stream is left on {address}: it can be stopped")
    return not left


async def resume(api: HttpApi, address: str) -> None:
    """Take a worker back into rotation. Raises TalkupError."""
    _streams((await api.post(f"{_WORKERS}/{quote(address, safe='')}/resume")).checked())


def _workers(answer: Answer) -> list[dict[str, Any]]:
    found = answer.body.get("workers") if isinstance(answer.body, dict) else None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BadAnswerError("the answer lists no workers")
    return found


def _slots_used(worker: dict[str, Any]) -> int:
    used = worker.get("slots_used")
    return used if isinstance(used, int) else 0  # it has gone


def _streams(answer: Answer) -> int:
    streams = answer.body.get("streams") if isinstance(answer.body, dict) else None
    if not isinstance(streams, int):
        raise BadAnswerError("the answer does not say how many streams run there")
    return streams
