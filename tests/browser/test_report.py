"""The report of a session as people meet it: in a real Chromium, on a phone, on paper, by keyboard, without scripts."""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright

from bench.harness.browsing import DESKTOP, PHONE, chromium
from gateway.report.build import build
from gateway.report.document import Report
from gateway.report.html import render
from gateway.report.texts import LANGUAGES
from gateway.transcript import StreamTranscript, Transcript
from tests.browser.test_page import AXE, SMALL_PHONE
from tests.fakes.interview import STARTED_AT, delivery, earlier_interview, event, interview, said, summary

pytestmark = pytest.mark.browser

REPORT = build(*interview(), earlier=build(*earlier_interview()))
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass
class Reading:
    """A report that is open, with what it asked for and what went wrong."""

    page: Page
    asked: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    async def axe(self) -> list[str]:
        """Serious and critical findings of axe-core, with everything unfolded."""
        assert AXE.is_file(), "the npm packages are not installed: make test does it, or npm ci"
        await self.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        await self.page.evaluate(AXE.read_text())
        found = await self.page.evaluate("axe.run()")
        return [
            f"{finding['id']}: {[node['html'] for node in finding['nodes']]}"
            for finding in found["violations"]
            if finding["impact"] in {"serious", "critical"}
        ]

    async def style(self, selector: str, name: str) -> str:
        """A computed style."""
        script = "([selector, name]) => getComputedStyle(document.querySelector(selector))[name]"
        return str(await self.page.evaluate(script, [selector, name]))

    async def focused(self) -> str:
        """The id of what has the focus, or its target if it has none."""
        return str(await self.page.evaluate("(e => e.id || e.getAttribute('href'))(document.activeElement)"))


@asynccontextmanager
async def reading(
    folder: Path, report: Report = REPORT, language: str = "en", **options: Any
) -> AsyncIterator[Reading]:
    """Open a report from a file, as somebody does who got it by mail."""
    path = folder / "report.html"
    path.write_text(render(report, language), encoding="utf-8")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            page = await browser.new_page(**{"viewport": DESKTOP, **options})
            read = Reading(page)
            page.on("request", lambda request: read.asked.append(request.url))
            page.on("console", lambda message: read.problems.append(message.text))
            page.on("pageerror", lambda error: read.problems.append(str(error)))
            await page.goto(path.as_uri())
            yield read
        finally:
            await browser.close()


def hostile() -> Report:
    """A report whose names are as long as they may be, without a place to break, and full of markup."""
    name = "<script>document.title='x'</script>" + "w" * 29
    end = delivery("delivery/summary", summary=summary([(name, 0, 500, name * 9)]), events=[event(name, 0, 400)])
    streams = tuple(StreamTranscript(name, STARTED_AT, ended=True, segments=(said(1, 0, [name]),)) for _ in "ab")
    transcript = Transcript(name, STARTED_AT, streams)
    return build(transcript, [[end], [end]], earlier=build(transcript, [[end], [end]]))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
async def test_everybody_can_read_it(tmp_path: Path, language: str, scheme: Any) -> None:
    async with reading(tmp_path, language=language, color_scheme=scheme) as read:
        assert await read.axe() == []
        assert (
            await read.page.title() == f"{'Session report' if language == 'en' else 'Rapport de session'} · talk-7f3a"
        )


async def test_it_asks_nobody_for_anything_and_its_policy_lets_its_style_in(tmp_path: Path) -> None:
    async with reading(tmp_path, color_scheme="dark") as read:
        assert read.asked == [(tmp_path / "report.html").as_uri()]
        assert read.problems == []
        assert "Palatino" in await read.style("h1", "fontFamily")
        assert await read.style("body", "backgroundColor") == "rgb(16, 19, 25)"


async def test_nothing_in_a_session_runs(tmp_path: Path) -> None:
    async with reading(tmp_path, hostile()) as read:
        assert (await read.page.title()).startswith("Session report · <script>")
        assert await read.page.locator("script").count() == 0
        assert read.problems == []


@pytest.mark.parametrize("viewport", [PHONE, SMALL_PHONE])
@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_phone_shows_it_without_scrolling_sideways(
    tmp_path: Path, language: str, viewport: dict[str, int]
) -> None:
    for report in (REPORT, hostile()):
        async with reading(tmp_path, report, language, viewport=viewport) as read:
            await read.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
            assert await read.page.evaluate(OVERFLOW) <= 0


async def test_a_keyboard_walks_from_the_timeline_to_a_moment_and_back(tmp_path: Path) -> None:
    async with reading(tmp_path) as read:
        await read.page.keyboard.press("Tab")
        assert await read.focused() == "#report"
        await read.page.keyboard.press("Enter")
        assert await read.focused() == "report"
        await read.page.keyboard.press("Tab")
        assert await read.focused() == "mark-1"
        await read.page.keyboard.press("Enter")
        assert await read.focused() == "moment-1"
        await read.page.keyboard.press("Tab")
        assert await read.focused() == "#mark-1"


async def test_it_reads_the_same_without_scripts(tmp_path: Path) -> None:
    async with reading(tmp_path, java_script_enabled=False) as read:
        assert await read.page.locator("h1").inner_text() == "Session report"
        assert await read.page.locator("#moment-2 blockquote").is_visible()
        await read.page.locator("#mark-2").click()
        assert read.page.url.endswith("#moment-2")
        table = read.page.locator("details table").first
        assert not await table.is_visible()
        await read.page.locator("summary").first.click()
        assert await table.is_visible()


async def test_paper_is_white_and_holds_no_links(tmp_path: Path) -> None:
    async with reading(tmp_path, color_scheme="dark") as read:
        await read.page.emulate_media(media="print", color_scheme="dark")
        assert await read.style("body", "backgroundColor") == "rgb(255, 255, 255)"
        assert await read.style("nav", "display") == "none"
        assert await read.page.locator("details").first.is_hidden()
        pages = re.findall(rb"/Type\s*/Page\b", await read.page.pdf(prefer_css_page_size=True))
        assert 4 <= len(pages) <= 8


async def test_marks_do_not_cover_each_other(tmp_path: Path) -> None:
    async with reading(tmp_path, viewport=SMALL_PHONE) as read:
        boxes = [await mark.bounding_box() for mark in await read.page.locator(".mark circle").all()]
        assert len(boxes) == len(REPORT.moments)
        for one, other in itertools.combinations([box for box in boxes if box], 2):
            dx = abs(one["x"] - other["x"])
            dy = abs(one["y"] - other["y"])
            assert max(dx, dy) >= one["width"]
