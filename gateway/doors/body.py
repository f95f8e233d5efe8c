"""Reads the body of a request, and says in our errors what aiohttp says about one that breaks off or is malformed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from aiohttp import ClientError, web

from gateway.doors.steps import RefusedError
from gateway.protocol.errors import Code, Problem


@contextmanager
def reading() -> Iterator[None]:
    """Raises RefusedError for a body that is not valid HTTP, ConnectionError for a client that is gone."""
    try:
        yield
    except web.RequestPayloadError:
        raise RefusedError(Problem(Code.BAD_MESSAGE, "the body is not valid HTTP")) from None
    except ClientError:
        raise ConnectionResetError from None


class Patience:
    """How long a body may still keep the gateway waiting.

    Waiting uses it up, and bytes give it back at `bytes_per_s`, up to `pause_s` seconds. So a body that arrives faster
    never ends it, one that trickles does, however it spreads its bytes, and no pause is longer than `pause_s`. Only
    waiting counts: while workers are behind, nobody reads and nothing is used up. `clock`: seconds.
    """

    def __init__(self, pause_s: float, bytes_per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_s = pause_s
        self.left_s = pause_s
        """Seconds that the next bytes may take."""
        self._bytes_per_s = bytes_per_s
        self._clock = clock

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Wait inside for bytes. Raises TimeoutError once the patience is used up."""
        began = self._clock()
        async with asyncio.timeout(max(0.0, self.left_s)):
            yield
        self.left_s -= self._clock() - began

    def received(self, size: int) -> None:
        """`size` more bytes have arrived."""
        self.left_s = min(self._pause_s, self.left_s + size / self._bytes_per_s)


async def whole_body(request: web.Request, patience_s: float, field: str | None = None) -> bytes:
    """A small body: at most the setting `max_http_body_bytes`, within `patience_s` seconds. Raises as `reading` does.

    `field`: the option to blame for a body that is too large.
    """
    try:
        with reading():
            async with asyncio.timeout(patience_s):
                return await request.read()
    except TimeoutError:
        raise RefusedError(Problem(Code.DEADLINE_EXCEEDED, "the body did not arrive in time")) from None
    except web.HTTPRequestEntityTooLarge:
        raise RefusedError(Problem(Code.PAYLOAD_TOO_LARGE, "the body is too large", field=field)) from None
