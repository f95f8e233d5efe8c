"""The stack of `make run` in a browser that does not know the development CA: the page still works."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.harness.browsing import visiting, write_tone
from bench.harness.stack import child_environment, free_port
from deploy.dev import run
from deploy.dev.settings import DevSettings
from workers.fake.words import expected_words

pytestmark = pytest.mark.browser

WORDS = "count => document.getElementById('finals').innerText.split(/\\s+/).filter(Boolean).length >= count"


async def test_the_page_works_at_once(tmp_path: Path) -> None:
    http, ws, wss, stt, vision = (free_port() for _ in range(5))
    settings = DevSettings(http_port=http, ws_port=ws, wss_port=wss, stt_port=stt, vision_port=vision, engine="fake")
    up = asyncio.Event()
    stack = run.Stack(settings, tmp_path, lambda _: up.set(), has_vision=True)
    running = asyncio.create_task(stack.run(child_environment({})))
    try:
        await asyncio.wait({running, asyncio.create_task(up.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert up.is_set()
        write_tone(tmp_path / "tone.wav")
        async with visiting(f"http://localhost:{http}/", tmp_path / "tone.wav") as visit:
            await visit.page.click("#toggle")  # the key is in its field already
            await visit.until(WORDS, 8)
            await visit.page.click("#toggle")
            await visit.until_state("closed")
            assert (await visit.finals()).split() == expected_words(visit.audio())
            assert visit.problems == []
    finally:
        stack.interrupt()
        await running
