"""Long polling of a growing transcript: the answer comes as soon as it changes, and is 304 if it does not."""

from __future__ import annotations

import asyncio

from gateway.long_poll import MAX_WAIT_S, preferred_wait_s
from tests.e2e.gateway_rig import KEY, PATIENCE_S, Rig, rig


async def ask(found: Rig, session_id: str, tag: str, wait_s: int) -> tuple[int, str]:
    """Status and entity tag."""
    headers = {"Authorization": f"Bearer {KEY}", "If-None-Match": tag, "Prefer": f"wait={wait_s}"}
    url = found.url(f"/v1/sessions/{session_id}/transcript?format=json")
    async with asyncio.timeout(PATIENCE_S), found.http.get(url, headers=headers) as response:
        return response.status, response.headers["ETag"]


async def test_a_waiting_request_is_answered_by_the_next_final() -> None:
    async with rig() as found:
        client = await found.connect(key=KEY)
        session_id = (await client.get("session"))["data"]["session_id"]
        await client.start()
        status, tag = await ask(found, session_id, '"other"', 0)
        assert status == 200
        assert await ask(found, session_id, tag, 0) == (304, tag)
        assert await ask(found, session_id, "*", MAX_WAIT_S) == (304, tag)
        assert await ask(found, session_id, tag, 1) == (304, tag)
        waiting = asyncio.create_task(ask(found, session_id, tag, MAX_WAIT_S))
        await client.socket.send(b"one1")
        await client.finals(1)
        status, newer = await waiting
        assert status == 200
        assert newer != tag


async def test_a_session_that_is_deleted_meanwhile_is_unknown() -> None:
    async with rig() as found:
        client = await found.connect(key=KEY)
        session_id = (await client.get("session"))["data"]["session_id"]
        await client.start()
        await found.request("DELETE", f"/v1/sessions/{session_id}")
        status, body, _ = await found.request("GET", f"/v1/sessions/{session_id}/transcript")
        assert (status, body["error"]["code"]) == (404, "session_expired")
        assert "unknown or expired" in body["error"]["message"]


def test_preferences_are_read_as_the_norm_has_them() -> None:
    assert preferred_wait_s(["respond-async, wait=7; x=1"]) == 7
    assert preferred_wait_s(["return=minimal", "Wait = 3"]) == 3
    assert preferred_wait_s(["wait=100000000000000000000"]) == MAX_WAIT_S
    assert preferred_wait_s(["wait=-1, wait=x, wait="]) == preferred_wait_s([]) == 0
