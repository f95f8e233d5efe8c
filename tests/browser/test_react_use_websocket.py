"""TalkUp's web app, unchanged: the real react-use-websocket in Chromium, over a network that breaks."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from bench.harness.browsing import Visit, visiting, write_tone
from bench.harness.stack import HOST, ROOT, Stack
from tests.browser.test_typescript_client import node
from tests.fakes.line import Line
from workers.fake.script import WORDS_PER_FINAL
from workers.fake.words import expected_words

pytestmark = pytest.mark.browser

APP = ROOT / "tests" / "browser" / "talkup_app.js"
PAGE = (
    "<!doctype html><meta charset=utf-8><title>call</title>"
    "<body><div id=root></div><script type=module src=app.js></script>"
)
EBML = b"\x1a\x45\xdf\xa3"
PACKETS = 3


def initialize(stack: Stack, port: int) -> str:
    """Like TalkUp's backend: one POST, a URL in the answer; here with the port of the test's network."""
    body = json.dumps({"key": stack.key, "type": "initialization", "format": "text", "data": ""}).encode()
    request = urllib.request.Request(f"{stack.http_url}/process/initialization", data=body, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        url = urlsplit(json.load(answer)["data"])
    return url._replace(netloc=f"{HOST}:{port}").geturl()


@asynccontextmanager
async def website(url: str) -> AsyncIterator[str]:
    """TalkUp's site: the page, the app, and the call that returns the WebSocket URL."""
    bundle = node("scripts/bundle.mjs", str(APP))
    bodies = {"/": (PAGE, "text/html"), "/app.js": (bundle, "text/javascript")}

    async def serve(request: web.Request) -> web.Response:
        if request.path == "/my-backend/initialization":
            return web.json_response({"url": url})
        text, kind = bodies.get(request.path, ("", "text/plain"))
        return web.Response(text=text, content_type=kind)

    application = web.Application()
    application.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        yield f"http://localhost:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def kept(stack: Stack, url: str, form: str) -> Any:
    query = dict(part.split("=", 1) for part in urlsplit(url).query.split("&"))
    request = urllib.request.Request(
        f"{stack.http_url}/v1/sessions/{query['session_id']}/transcript?format={form}",
        headers={"Authorization": f"Bearer {stack.key}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


async def until_ended(stack: Stack, url: str) -> Any:
    """The transcript once its stream has ended."""
    async with asyncio.timeout(30):
        while True:
            found = await asyncio.to_thread(kept, stack, url, "json")
            if found["streams"] and all(stream["ended"] for stream in found["streams"]):
                return found
            await asyncio.sleep(0.1)


async def packets(visit: Visit, count: int) -> None:
    await visit.until("count => window.talkup.sent.length >= count", count)


async def caught_up(visit: Visit) -> None:
    """Wait until the page shows every final of what it sent: this app does not report what it has when it returns."""
    async with asyncio.timeout(30):
        while True:
            state = await visit.page.evaluate("window.talkup")
            words = expected_words(b"".join(base64.b64decode(packet) for packet in state["sent"]))
            if len(state["text"].split()) >= len(words) // WORDS_PER_FINAL * WORDS_PER_FINAL:
                return
            await asyncio.sleep(0.05)


async def test_the_whole_call_is_transcribed_over_a_reconnect(fake_stack: Stack, tmp_path: Path) -> None:
    write_tone(tmp_path / "tone.wav")
    async with Line(fake_stack.ws_port).open() as line:
        url = initialize(fake_stack, line.port)
        async with website(url) as address, visiting(address, tmp_path / "tone.wav") as visit:
            await packets(visit, PACKETS)
            await caught_up(visit)
            line.cut()
            await visit.until("() => window.talkup.opens === 2")
            await packets(visit, 3 * PACKETS)
            await visit.page.evaluate("window.talkup.hangUp()")
            state = await visit.page.evaluate("window.talkup")
    found = await until_ended(fake_stack, url)
    sent = [base64.b64decode(packet) for packet in state["sent"]]
    ends = [sum(map(len, sent[:index])) for index in range(len(sent))]
    breaks = [end for end, packet in zip(ends, sent, strict=True) if packet.startswith(EBML)]
    words = [word for stream in found["streams"] for segment in stream["segments"] for word in segment["text"].split()]
    assert len(breaks) == 2
    assert words == expected_words(b"".join(sent), breaks=breaks)
    assert words[: len(state["text"].split())] == state["text"].split()
    assert {"pong", "acknowledge", "transcript_update"} <= set(state["received"])
    assert state["closes"][0] == 1006
    talkup = await asyncio.to_thread(kept, fake_stack, url, "talkup")
    assert " ".join(part["content"] for part in talkup["transcripts"]).split() == words
    assert {part["who_stated"] for part in talkup["transcripts"]} == {"user"}
