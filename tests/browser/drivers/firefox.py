"""Firefox, over WebDriver BiDi; its microphone and camera are Firefox's own fake ones, a tone and a moving picture.

Debian has no geckodriver, and Playwright 1.65 sends a command that Firefox 153 does not know, so this speaks the few
commands of https://www.w3.org/TR/webdriver-bidi/ that the tests need.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.browser.drivers.browser import Browser, BrowserError, Console, packed, stop, wrapped
from tests.browser.drivers.sound_server import sound_server

_ANNOUNCEMENT: Final = b"WebDriver BiDi listening on "
_START_S: Final = 60.0
_VIEWPORT: Final = {"width": 1280, "height": 900}
_PREFERENCES: Final[Mapping[str, bool | int | str]] = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    # Another host name for this machine, so that a page can have a host of its own.
    "network.dns.localDomains": "app.example",
    "app.update.auto": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "",
}


class Firefox:
    """One page in Firefox."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.console = Console()
        self._socket = socket
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._context = ""

    async def listen(self) -> None:
        """Read answers and events until the browser closes the socket."""
        async for frame in self._socket:
            message = json.loads(frame.data)
            if message["type"] == "event":
                self._note(message["params"])
            elif waiting := self._waiting.pop(message["id"], None):
                waiting.set_result(message)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(BrowserError("Firefox ended before it answered"))

    def _note(self, entry: dict[str, Any]) -> None:
        text = entry.get("text") or ""
        (self.console.problems if entry["level"] == "error" else self.console.said).append(text)

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command; return its result. Raises BrowserError if Firefox refuses it."""
        number = next(self._numbers)
        answered = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        answer = await answered
        if answer["type"] != "success":
            raise BrowserError(f"{method}: {answer['error']}: {answer['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    async def begin(self) -> None:
        """Open the session, and take the page that Firefox begins with."""
        await self.send("session.new", capabilities={})
        await self.send("session.subscribe", events=["log.entryAdded"])
        tree = await self.send("browsingContext.getTree", maxDepth=0)
        self._context = tree["contexts"][0]["context"]
        await self.send("browsingContext.setViewport", context=self._context, viewport=_VIEWPORT)

    async def open(self, url: str) -> None:
        """See `Browser`."""
        await self.send("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def run(self, body: str, *arguments: Any) -> Any:
        """See `Browser`."""
        answer = await self.send(
            "script.callFunction",
            functionDeclaration=wrapped(body),
            arguments=[{"type": "string", "value": packed(arguments)}],
            target={"context": self._context},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise BrowserError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    async def _element(self, selector: str) -> dict[str, str]:
        locator = {"type": "css", "value": selector}
        found = await self.send("browsingContext.locateNodes", context=self._context, locator=locator, maxNodeCount=1)
        [node] = found["nodes"]
        return {"sharedId": node["sharedId"]}

    async def click(self, selector: str) -> None:
        """See `Browser`."""
        await self.run("document.querySelector(given[0]).scrollIntoView({ block: 'nearest' });", selector)
        origin = {"type": "element", "element": await self._element(selector)}
        steps = [
            {"type": "pointerMove", "x": 0, "y": 0, "origin": origin},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        mouse = {"type": "pointer", "id": "mouse", "actions": steps}
        await self.send("input.performActions", context=self._context, actions=[mouse])

    async def choose(self, selector: str, path: Path) -> None:
        """See `Browser`."""
        element = await self._element(selector)
        await self.send("input.setFiles", context=self._context, element=element, files=[str(path)])

    async def screenshot(self, path: Path) -> None:
        """See `Browser`."""
        shot = await self.send("browsingContext.captureScreenshot", context=self._context)
        path.write_bytes(base64.b64decode(shot["data"]))


async def _address(process: asyncio.subprocess.Process) -> str:
    """The URL that Firefox announces for WebDriver BiDi. Raises BrowserError if it ends before."""
    assert process.stderr is not None
    async with asyncio.timeout(_START_S):
        async for line in process.stderr:
            if line.startswith(_ANNOUNCEMENT):
                return line.removeprefix(_ANNOUNCEMENT).decode().strip() + "/session"
    raise BrowserError("Firefox ended before it could be driven")


async def _drain(stream: asyncio.StreamReader) -> None:
    async for _ in stream:
        pass


@asynccontextmanager
async def firefox(folder: Path) -> AsyncIterator[Browser]:
    """Start Firefox; `folder` is for its profile."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    assert program, "Firefox is not installed: make test-browsers installs it"
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in _PREFERENCES.items())
    (folder / "user.js").write_text("\n".join(lines))
    async with sound_server(folder) as environment:
        process = await asyncio.create_subprocess_exec(
            *(program, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", "0"),
            env={**os.environ, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with _driving(process) as driven:
                yield driven
        finally:
            await stop(process)


@asynccontextmanager
async def _driving(process: asyncio.subprocess.Process) -> AsyncIterator[Firefox]:
    """A session with a Firefox that starts."""
    url = await _address(process)
    assert process.stderr is not None
    async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as socket:
        driven = Firefox(socket)
        tasks = [asyncio.create_task(driven.listen()), asyncio.create_task(_drain(process.stderr))]
        try:
            await driven.begin()
            yield driven
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
