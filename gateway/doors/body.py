"""Reads the body of a request, and says in our errors what aiohttp says about one that breaks off or is malformed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

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


async def whole_body(request: web.Request, patience_s: float, field: str | None = None) -> bytes:
    """A small body: at most the setting `max_http_body_bytes`, within so many seconds. Raises as `reading` does.

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
