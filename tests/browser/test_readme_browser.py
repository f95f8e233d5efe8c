"""The browser example of the README in a real Chromium: fake microphone, real gateway, scripted engine."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from bench.harness.browsing import visiting, write_tone
from bench.harness.stack import Stack
from tests.fakes.readme import example

pytestmark = pytest.mark.browser

PAGE = (
    "<!doctype html><meta charset=utf-8><title>example</title><link rel=icon href=data:,>"
    "<body><script type=module src=example.js></script>"
)


def mint_session(stack: Stack) -> dict[str, str]:
    """Like a developer's server: POST /v1/sessions, then pass the answer on as it is."""
    request = urllib.request.Request(
        f"{stack.http_url}/v1/sessions", method="POST", headers={"Authorization": f"Bearer {stack.key}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        session: dict[str, str] = json.load(answer)
    return session


@pytest.fixture
async def site(fake_stack: Stack) -> AsyncIterator[str]:
    """A developer's site: the page, the example, and the endpoint that creates a session."""

    async def session(_: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(mint_session, fake_stack))

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def script(_: web.Request) -> web.Response:
        return web.Response(text=example("browser-example"), content_type="text/javascript")

    application = web.Application()
    application.add_routes(
        [web.get("/", page), web.get("/example.js", script), web.get("/my-backend/talkup-session", session)]
    )
    runner = web.AppRunner(application)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    yield f"http://localhost:{runner.addresses[0][1]}/"
    await runner.cleanup()


READ_TRANSCRIPT = """async ([url, token]) => {
  const answer = await fetch(url, { headers: { Authorization: `Bearer ${token}`, Prefer: "wait=0" } });
  return [answer.status, answer.headers.get("ETag"), (await answer.json()).text];
}"""


async def test_the_browser_client_of_the_readme_shows_captions_and_may_read_its_transcript(
    site: str, fake_stack: Stack, tmp_path: Path
) -> None:
    assert len(example("browser-example").splitlines()) <= 12
    microphone = tmp_path / "microphone.wav"
    write_tone(microphone)
    async with visiting(site, microphone) as visit:
        await visit.until("() => document.body.innerText.trim().length > 0")
        session = next(message["data"] for message in visit.received if message["type"] == "session")
        address = f"{fake_stack.http_url}/v1/sessions/{session['session_id']}/transcript"
        status, tag, text = await visit.page.evaluate(READ_TRANSCRIPT, [address, session["resume_token"]])
        assert (status, bool(tag), bool(text)) == (200, True, True)
        assert visit.problems == []
