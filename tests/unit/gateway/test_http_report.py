"""The door of reports under load: what waits for its turn holds nothing of a session."""

from __future__ import annotations

import asyncio
from typing import cast

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.auth import Principal
from gateway.http_access import Caller, HttpAccess
from gateway.http_report import AT_ONCE, Reports
from gateway.store.base import Store, StoredSession

CALLERS = 5


class Anybody:
    """Access for everybody; `all_came`: all expected callers have it."""

    def __init__(self) -> None:
        self.came = 0
        self.all_came = asyncio.Event()

    async def authorized(self, request: web.Request) -> Caller:
        self.came += 1
        if self.came == CALLERS:
            self.all_came.set()
        return Caller(request.match_info["session_id"], cast("Principal", None))

    async def require_session(self, *_: object) -> None:
        return


class SlowStore:
    """A store whose answers wait for the test."""

    def __init__(self) -> None:
        self.reading = 0
        self.answers = asyncio.Event()

    async def record(self, session_id: str) -> StoredSession:
        self.reading += 1
        await self.answers.wait()
        return StoredSession(0.0, closed=True, deleted=False, streams=(), owner=session_id)


async def test_no_more_sessions_are_read_than_reports_are_made_at_once() -> None:
    access, store, app = Anybody(), SlowStore(), web.Application()
    Reports(cast("HttpAccess", access), cast("Store", store)).add_routes(app.router)
    async with TestClient(TestServer(app)) as client:
        asked = [asyncio.create_task(client.get(f"/v1/sessions/s-{n}/report?compare=c")) for n in range(CALLERS)]
        await access.all_came.wait()
        await asyncio.sleep(0)  # the last one goes on to the store, or waits
        assert store.reading == AT_ONCE
        store.answers.set()
        assert [(await each).status for each in asked] == [200] * CALLERS
    assert store.reading == 2 * CALLERS
