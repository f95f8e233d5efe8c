"""Chromium, over Playwright; its microphone plays a wavering tone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.harness.browsing import Visit, visiting, write_tone
from tests.browser.drivers.browser import Browser, Console, packed, wrapped


class Chromium:
    """One page in Chromium."""

    def __init__(self, visit: Visit) -> None:
        self._page = visit.page
        self.console = Console(visit.said, visit.problems)

    async def open(self, url: str) -> None:
        """See `Browser`."""
        await self._page.goto(url)

    async def run(self, body: str, *arguments: Any) -> Any:
        """See `Browser`."""
        return json.loads(await self._page.evaluate(wrapped(body), packed(arguments)))

    async def click(self, selector: str) -> None:
        """See `Browser`."""
        await self._page.click(selector)

    async def choose(self, selector: str, path: Path) -> None:
        """See `Browser`."""
        await self._page.set_input_files(selector, path)

    async def screenshot(self, path: Path) -> None:
        """See `Browser`."""
        await self._page.screenshot(path=path)


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Browser]:
    """Start Chromium; `folder` is for its files."""
    write_tone(folder / "tone.wav")
    async with visiting("about:blank", folder / "tone.wav") as visit:
        yield Chromium(visit)
