"""What the tests do with a browser, whichever it is."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

PATIENCE_S = 60.0
POLL_S = 0.1


@dataclass
class Console:
    """What the page has written: `said` to the console, `problems` as errors that nobody caught or that it logged."""

    said: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Browser(Protocol):
    """A browser with one page."""

    console: Console

    async def open(self, url: str) -> None:
        """Load a page; returns when it has loaded."""

    async def run(self, body: str, *arguments: Any) -> Any:
        """Run the body of an asynchronous JavaScript function of `given`, the arguments; return what it returns.

        Arguments and result are JSON. Raises BrowserError if the function throws.
        """

    async def click(self, selector: str) -> None:
        """Click the middle of an element as a user does."""

    async def choose(self, selector: str, path: Path) -> None:
        """Choose a file in an input element."""

    async def screenshot(self, path: Path) -> None:
        """Write the visible part of the page as PNG."""


class BrowserError(AssertionError):
    """The browser refused a command, or a script threw."""


def wrapped(body: str) -> str:
    """An asynchronous function from JSON to JSON, as source."""
    return f"async (json) => JSON.stringify(await (async (given) => {{ {body} }})(JSON.parse(json)) ?? null)"


def packed(arguments: tuple[Any, ...]) -> str:
    """The argument of a `wrapped` function."""
    return json.dumps(arguments)


async def stop(process: asyncio.subprocess.Process) -> None:
    """End a program, which may have ended already."""
    with suppress(ProcessLookupError):
        process.terminate()
    await process.wait()


async def until(browser: Browser, condition: str, *arguments: Any, patience_s: float = PATIENCE_S) -> None:
    """Wait until a JavaScript expression of `given` holds. Raises BrowserError after `patience_s`."""
    try:
        async with asyncio.timeout(patience_s):
            while not await browser.run(f"return Boolean({condition});", *arguments):
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        shown = await text_of(browser, "body")
        raise BrowserError(f"never came true: {condition}; {browser.console}; the page shows: {shown}") from None


async def text_of(browser: Browser, selector: str) -> str:
    """The visible text of an element; words are separated by single spaces."""
    text: str = await browser.run("return document.querySelector(given[0]).innerText;", selector)
    return " ".join(text.split())
