"""WebKit, over WebDriver, in WebKitGTK's MiniBrowser; its microphone and camera are WebKit's own mock devices.

The commands are those of https://www.w3.org/TR/webdriver2/. This protocol has no events, so what the page writes to its
console comes from the output of MiniBrowser.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from bench.harness.stack import HOST, free_port
from tests.browser.drivers.browser import Browser, BrowserError, Console, packed, stop, until, wrapped

_MINI_BROWSERS: Final = "/usr/lib/*/webkit2gtk-4*/MiniBrowser"
_ARGUMENTS: Final = (
    "--automation",
    "--enable-media-stream=true",
    "--enable-mock-capture-devices=true",
    "--enable-write-console-messages-to-stdout=true",
)
_LINE: Final = re.compile(rb"CONSOLE (?:[A-Z-]+ )?(LOG|INFO|DEBUG|WARN|ERROR) (.*)")
_START_S: Final = 30.0
_POLL_S: Final = 0.1
_SCRIPT_MS: Final = 120_000
_ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"
"""The name under which WebDriver refers to an element."""
_SCREEN: Final = "1280x900x24"
_RUN: Final = (
    "const done = arguments[1];({})(arguments[0]).then((json) => done([json]), (error) => done([null, String(error)]));"
)


class WebKit:
    """One page in MiniBrowser."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.console = Console()
        self._http = session
        self._path = ""

    async def listen(self, output: asyncio.StreamReader) -> None:
        """Read what MiniBrowser writes until it ends."""
        async for line in output:
            if found := _LINE.search(line):
                level, text = found.groups()
                (self.console.problems if level == b"ERROR" else self.console.said).append(text.decode().strip())

    async def send(self, method: str, path: str, **parameters: Any) -> Any:
        """Send a command; return its value. Raises BrowserError if WebKit refuses it."""
        body = parameters if method == "POST" else None
        async with self._http.request(method, self._path + path, json=body) as response:
            value = (await response.json())["value"]
            if response.status != 200:
                raise BrowserError(f"{path}: {value['error']}: {value['message']}")
            return value

    async def begin(self, browser: str) -> None:
        """Wait for the driver, and start the browser."""
        async with asyncio.timeout(_START_S):
            while True:
                try:
                    await self.send("GET", "/status")
                    break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(_POLL_S)
        options = {"binary": browser, "args": _ARGUMENTS}
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": options}}
        session = await self.send("POST", "/session", capabilities=wanted)
        self._path = f"/session/{session['sessionId']}"
        await self.send("POST", "/timeouts", script=_SCRIPT_MS)
        width, height, _ = map(int, _SCREEN.split("x"))
        await self.send("POST", "/window/rect", x=0, y=0, width=width, height=height)

    async def end(self) -> None:
        """Close the browser."""
        if self._path:
            await self.send("DELETE", "")

    async def open(self, url: str) -> None:
        """See `Browser`."""
        await self.send("POST", "/url", url=url)  # answers before the page's scripts have run
        await until(self, "document.readyState === 'complete' && location.href === given[0]", url)

    async def run(self, body: str, *arguments: Any) -> Any:
        """See `Browser`."""
        script = _RUN.replace("{}", wrapped(body))
        result, *error = await self.send("POST", "/execute/async", script=script, args=[packed(arguments)])
        if error:
            raise BrowserError(error[0])
        return json.loads(result)

    async def _element(self, selector: str) -> str:
        found: dict[str, str] = await self.send("POST", "/element", using="css selector", value=selector)
        return found[_ELEMENT]

    async def click(self, selector: str) -> None:
        """See `Browser`."""
        await self.send("POST", f"/element/{await self._element(selector)}/click")

    async def choose(self, selector: str, path: Path) -> None:
        """See `Browser`."""
        await self.send("POST", f"/element/{await self._element(selector)}/value", text=str(path))

    async def screenshot(self, path: Path) -> None:
        """See `Browser`."""
        path.write_bytes(base64.b64decode(await self.send("GET", "/screenshot")))


@asynccontextmanager
async def _display() -> AsyncIterator[str]:
    """A display that nobody sees: MiniBrowser has no headless mode."""
    program = shutil.which("Xvfb")
    assert program, "Xvfb is not installed: make test-browsers installs it"
    process = await asyncio.create_subprocess_exec(
        *(program, "-displayfd", "1", "-screen", "0", _SCREEN, "-nolisten", "tcp"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_START_S):
            number = (await process.stdout.readline()).decode().strip()
        yield f":{number}"
    finally:
        await stop(process)


@asynccontextmanager
async def webkit(folder: Path) -> AsyncIterator[Browser]:
    """Start MiniBrowser; `folder` is for its files."""
    browsers = sorted(Path("/").glob(_MINI_BROWSERS.removeprefix("/")))
    driver = shutil.which("WebKitWebDriver")
    assert driver, "WebKitWebDriver is not installed: make test-browsers installs it"
    assert browsers, "MiniBrowser is not installed: make test-browsers installs it"
    port = free_port()
    async with _display() as display:
        homes = {name: str(folder) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
        process = await asyncio.create_subprocess_exec(
            *(driver, f"--host={HOST}", f"--port={port}"),
            env={**os.environ, **homes, "DISPLAY": display},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        async with aiohttp.ClientSession(f"http://{HOST}:{port}") as session:
            driven = WebKit(session)
            listening = asyncio.create_task(driven.listen(process.stdout))
            try:
                await driven.begin(str(browsers[0]))
                yield driven
            finally:
                try:
                    await driven.end()
                finally:
                    await stop(process)
                    await listening
