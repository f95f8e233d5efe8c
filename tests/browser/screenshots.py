"""Takes the pictures of docs/screenshots: python -m tests.browser.screenshots (needs Chromium and the weights).

The microphone hears the test recording, the real model captions it; the camera shows Chromium's test picture, read by the
scripted vision engine.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.browser.browsing import PHONE, Visit, visiting, write_speech
from tests.fakes.stack import ROOT, Stack, running_stack

FOLDER = ROOT / "docs" / "screenshots"
SPEECH = ROOT / "tests" / "data" / "speech" / "interview.ogg"
MAX_BYTES = 300_000
WORDS = "count => document.getElementById('finals').innerText.split(/\\s+/).filter(Boolean).length >= count"
INTERIM = "() => document.getElementById('interim').innerText.length > 12"


async def take(visit: Visit, name: str, *, full: bool = False) -> None:
    """Save what is on the screen. Raises ValueError for a picture that is too large for the repository."""
    path = FOLDER / f"{name}.png"
    await visit.page.screenshot(path=path, full_page=full)
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{name} has {path.stat().st_size} bytes")
    sys.stdout.write(f"{name}: {path.stat().st_size} bytes\n")


async def begin(visit: Visit, stack: Stack, *, camera: bool = False) -> None:
    """Start a call in English."""
    await visit.page.fill("#key", stack.key)
    await visit.page.select_option("#language", "en")
    if camera:
        await visit.page.check("#camera")
    await visit.page.click("#toggle")


async def main(stack: Stack, microphone: Path) -> None:
    """All pictures, one after the other."""
    url = f"http://localhost:{stack.http_port}/"
    FOLDER.mkdir(exist_ok=True)
    async with visiting(url, microphone, color_scheme="light") as visit:
        await take(visit, "first-run")
        await begin(visit, stack)
        await visit.until(WORDS, 12)
        await visit.until(INTERIM)
        await visit.page.locator("#finals .word").nth(5).hover()
        await take(visit, "captions")
    async with visiting(url, microphone, color_scheme="light") as visit:
        await begin(visit, stack, camera=True)
        await visit.until("() => document.getElementById('signals').children.length > 0")
        await visit.until(WORDS, 12)
        await visit.page.click("#plug")
        await visit.page.wait_for_timeout(1500)
        await visit.page.click("#plug")
        await visit.until_state("open")
        await visit.until(INTERIM)
        await take(visit, "overlay", full=True)
    async with visiting(url, microphone, color_scheme="dark") as visit:
        await begin(visit, stack, camera=True)
        await visit.until(WORDS, 12)
        await visit.until(INTERIM)
        await take(visit, "dark")
    async with visiting(url, microphone, color_scheme="light", viewport=PHONE, device_scale_factor=2) as visit:
        await begin(visit, stack)
        await visit.until(WORDS, 12)
        await visit.page.locator("#captions-title").scroll_into_view_if_needed()
        await take(visit, "phone")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "speech.wav"
        write_speech(recording, SPEECH)
        settings = {"WORKER_MODEL": "base", "WORKER_SLOTS": "4"}
        with running_stack(vision=True, worker_arguments=("stt",), worker_settings=settings) as running:
            asyncio.run(main(running, recording))
