"""A developer's site: pages, scripts, and the endpoint that creates a session."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from bench.harness.stack import HOST, Stack

TYPES: Final = {"html": "text/html", "js": "text/javascript"}


def mint_session(stack: Stack) -> dict[str, str]:
    """Like a developer's server: POST /v1/sessions, then pass the answer on as it is."""
    request = urllib.request.Request(
        f"{stack.http_url}/v1/sessions", method="POST", headers={"Authorization": f"Bearer {stack.key}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        session: dict[str, str] = json.load(answer)
    return session


@asynccontextmanager
async def serving(stack: Stack, files: Mapping[str, str], port: int = 0) -> AsyncIterator[str]:
    """Serve the files, by name, on this machine, on any port that is free; the address ends in `/`."""

    async def session(_: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(mint_session, stack))

    async def serve(request: web.Request) -> web.Response:
        name = request.path.removeprefix("/")
        if name not in files:
            raise web.HTTPNotFound
        return web.Response(text=files[name], content_type=TYPES[name.rpartition(".")[2]])

    application = web.Application()
    application.router.add_get("/my-backend/talkup-session", session)
    application.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        yield f"http://localhost:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()
