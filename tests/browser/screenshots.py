"""Takes the screenshots in docs/screenshots: python -m tests.browser.screenshots (needs Chromium and the weights).

The microphone plays the test recording, the camera shows a drawing of a person, and the real models process both.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from bench.harness.browsing import PHONE, Visit, visiting, write_camera, write_speech
from bench.harness.stack import ROOT, Stack, running_stack
from gateway.report.build import build
from gateway.report.html import render
from tests.fakes.interview import interview

FOLDER = ROOT / "docs" / "screenshots"
SPEECH = ROOT / "tests" / "data" / "speech" / "interview.ogg"
MAX_BYTES = 300_000
WORDS = "count => document.getElementById('finals').innerText.split(/\\s+/).filter(Boolean).length >= count"
MEASURED = "() => document.getElementById('signals').innerText.includes('Facing the camera')"
INTERIM = "() => document.getElementById('interim').innerText.length > 12"
PACED = "() => document.querySelector('#delivery-card .pace').innerText.includes('words a minute')"


def draw_camera(path: Path) -> None:
    """Draw a person in front of a wall, 640x480, as a looping Y4M file."""
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[:] = (np.linspace(205, 150, 640)[None, :, None] * np.array([1.0, 0.96, 0.9])).astype(np.uint8)
    shapes: list[tuple[tuple[int, int], tuple[int, int], tuple[int, int, int]]] = [
        ((320, 500), (170, 150), (120, 70, 50)),  # shoulders; colours are BGR
        ((320, 190), (98, 120), (45, 55, 75)),  # hair
        ((320, 350), (34, 60), (150, 185, 225)),  # neck
        ((320, 225), (80, 105), (165, 200, 240)),  # face
        ((290, 205), (9, 6), (60, 50, 45)),
        ((350, 205), (9, 6), (60, 50, 45)),
        ((320, 238), (7, 12), (140, 175, 218)),
    ]
    for centre, axes, colour in shapes:
        cv2.ellipse(picture, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)
    cv2.ellipse(picture, (320, 268), (26, 13), 0, 10, 170, (85, 85, 190), 5, cv2.LINE_AA)
    write_camera(path, [cv2.cvtColor(cv2.GaussianBlur(picture, (3, 3), 0), cv2.COLOR_BGR2RGB)] * 20, fps=20)


async def save_screenshot(visit: Visit, name: str, *, full: bool = False) -> None:
    """Save a screenshot. Raises ValueError if it is too large for the repository."""
    path = FOLDER / f"{name}.png"
    await visit.page.screenshot(path=path, full_page=full)
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{name} has {path.stat().st_size} bytes")
    sys.stdout.write(f"{name}: {path.stat().st_size} bytes\n")


async def begin(visit: Visit, stack: Stack, *, camera: bool = False) -> None:
    """Start a call in English."""
    await visit.enter_key(stack.key)
    await visit.page.evaluate("document.getElementById('developer').open = false")
    await visit.page.select_option("#language", "en")
    if camera:
        await visit.page.check("#camera")
    await visit.page.click("#toggle")


async def report(folder: Path, microphone: Path) -> None:
    """Take a screenshot of the report of a constructed session."""
    page = folder / "report.html"
    page.write_text(render(build(*interview())), encoding="utf-8")
    async with visiting(page.as_uri(), microphone, color_scheme="light") as visit:
        await save_screenshot(visit, "report")


async def until_captioned(visit: Visit) -> None:
    """Wait until the page shows final words with their pace, and interim ones."""
    await visit.until(WORDS, 26)
    await visit.until(PACED)
    await visit.until(INTERIM)


async def main(stack: Stack, microphone: Path, drawing: Path) -> None:
    """Take all screenshots, one after the other."""
    url = f"http://localhost:{stack.http_port}/"
    FOLDER.mkdir(exist_ok=True)
    async with visiting(url, microphone, color_scheme="light") as visit:
        await save_screenshot(visit, "first-run")
        await begin(visit, stack)
        await until_captioned(visit)
        await visit.page.locator("#finals .word").nth(5).hover()
        await save_screenshot(visit, "captions")
    async with visiting(url, microphone, camera=drawing, color_scheme="light") as visit:
        await begin(visit, stack, camera=True)
        await visit.until(MEASURED)
        await until_captioned(visit)
        await save_screenshot(visit, "overlay", full=True)
    async with visiting(url, microphone, camera=drawing, color_scheme="dark") as visit:
        await begin(visit, stack, camera=True)
        await visit.until(MEASURED)
        await until_captioned(visit)
        await save_screenshot(visit, "dark")
    async with visiting(url, microphone, color_scheme="light", viewport=PHONE, device_scale_factor=2) as visit:
        await begin(visit, stack)
        await until_captioned(visit)
        await visit.page.mouse.move(0, 0)  # away from the words
        await visit.page.locator("#captions-title").scroll_into_view_if_needed()
        await save_screenshot(visit, "phone")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "speech.wav"
        write_speech(recording, SPEECH)
        drawn = Path(folder) / "camera.y4m"
        draw_camera(drawn)
        asyncio.run(report(Path(folder), recording))
        settings = {"WORKER_MODEL": "base", "WORKER_SLOTS": "4"}
        with running_stack(
            vision=True, vision_arguments=("vision",), worker_arguments=("stt",), worker_settings=settings
        ) as running:
            asyncio.run(main(running, recording, drawn))
