"""Delivery on the demo page in a real Chromium: the strip, the switch, the summary, and the report."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from bench.harness.browsing import DESKTOP, PHONE, Visit, visiting, write_tone, write_wav
from bench.harness.stack import Stack, running_stack
from tests.browser.test_page import SMALL_PHONE, WORDS, address, axe, until_notice
from tests.browser.test_typescript_client import node
from workers.fake.delivery import WINDOW_MS
from workers.fake.words import expected_words

pytestmark = pytest.mark.browser

RATE = 16_000
WINDOWS = 2
CODED_BYTES_PER_SECOND = 4000
"""The scripted engine's media clock of recordings."""
STOPPED = "() => document.getElementById('toggle').textContent === 'Start microphone'"
HISTORY = """addEventListener("DOMContentLoaded", () => {
  window.shown = [];
  const read = (name) => document.querySelector(`#delivery-card .${name}`).textContent;
  const note = () => read("at") && window.shown.push(["at", "pace", "pause", "level", "pitch"].map(read));
  new MutationObserver(note).observe(document.querySelector("#delivery-card .at"), { childList: true });
})"""
"""Keeps what the strip shows after each message. Each message is a task of its own, and observers run after each."""

SHIFTS = """addEventListener("DOMContentLoaded", () => {
  window.shifts = [];
  const captions = document.getElementById("captions");
  new PerformanceObserver((list) => {
    for (const { sources } of list.getEntries()) {
      for (const { node } of sources) {
        if (node && !captions.contains(node)) window.shifts.push(node.id || node.className || node.textContent);
      }
    }
  }).observe({ type: "layout-shift" });
})"""
"""Keeps what moves on the page, other than the captions themselves."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Gateway, speech and vision."""
    with running_stack(vision=True, folder=tmp_path_factory.mktemp("delivery-stack")) as stack:
        yield stack


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake microphone."""
    path = tmp_path_factory.mktemp("microphone") / "tone.wav"
    write_tone(path)
    return path


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording, in which the scripted engine finds two windows and a part of a third."""
    path = tmp_path_factory.mktemp("recording") / "talk.wav"
    length = round((WINDOWS + 0.45) * WINDOW_MS * CODED_BYTES_PER_SECOND / 1000)
    write_wav(path, bytes(index * index * 7 % 251 for index in range(length)), RATE)
    return path


async def transcribe(visit: Visit, stack: Stack, path: Path) -> None:
    """Open a recording and wait for its end."""
    await visit.enter_key(stack.key)
    await visit.page.evaluate("document.getElementById('developer').open = false")
    async with visit.page.expect_response("**/v1/sessions"):
        await visit.page.set_input_files("#file", path)
    await visit.until(STOPPED)
    assert not await visit.page.locator("#notice").is_visible(), await visit.page.inner_text("#notice-text")


def deliveries(visit: Visit) -> list[dict[str, Any]]:
    """The results of delivery that have arrived."""
    results = [message["data"] for message in visit.received if message["type"] == "analysis_result"]
    return [result for result in results if result["service_type"] == "delivery"]


def frames(visit: Visit) -> list[dict[str, Any]]:
    return [result["delivery"]["frame"] for result in deliveries(visit) if result["delivery"]["frame"]]


def summaries(visit: Visit) -> list[dict[str, Any]]:
    return [result["delivery"]["summary"] for result in deliveries(visit) if result["delivery"]["summary"]]


def as_shown(frame: dict[str, Any]) -> list[str]:
    """What the strip has to show of a second."""
    return [
        f"{frame['t1_ms'] // 60_000:02d}:{frame['t1_ms'] // 1000 % 60:02d}",
        f"{frame['words_per_minute']['value']:.0f} words a minute",
        f"{frame['pause_ms'] / 1000:.1f} s" if frame["pause_ms"] else "none",
        f"{frame['loudness_lufs']['value']:.0f} LUFS".replace("-", "−"),
        f"{frame['pitch_hz']['value']:.0f} Hz",
    ]


async def figures(page: Page) -> dict[str, str]:
    """The summary, by name."""
    pairs = (
        "[...document.querySelectorAll('#summary div')].map(({ children }) => [...children].map((e) => e.textContent))"
    )
    return dict(await page.evaluate(pairs))


def test_figures_pitch_line_and_usual_range() -> None:
    node("--test", str(Path(__file__).with_name("parts") / "delivery.test.mjs"))


async def test_the_strip_shows_every_second_with_its_figures(stack: Stack, tone: Path, talk: Path) -> None:
    async with visiting(address(stack), tone, script=HISTORY) as visit:
        await transcribe(visit, stack, talk)
        received = frames(visit)
        assert [frame["t1_ms"] for frame in received] == [1000 * (second + 1) for second in range(len(received))]
        assert len(received) == talk.stat().st_size // CODED_BYTES_PER_SECOND
        assert await visit.page.evaluate("window.shown") == [as_shown(frame) for frame in received]
        line = await visit.page.get_attribute("#delivery-card .line", "d")
        assert line is not None
        assert (line.count("M"), line.count("L")) == (1, 19)  # 20 seconds without a gap
        assert await visit.page.locator("#delivery-card .usual").is_visible()
        assert visit.starts[0]["services"] == ["stt", "delivery"]
        assert visit.problems == []


async def test_windows_and_events_stand_in_summary_and_timeline(stack: Stack, tone: Path, talk: Path) -> None:
    async with visiting(address(stack), tone) as visit:
        await transcribe(visit, stack, talk)
        [whole] = [summary["whole"] for summary in summaries(visit)]
        shown = await figures(visit.page)
        assert shown["words per minute"] == f"{whole['words_per_minute']['value']:.0f}"
        assert shown["pauses"] == str(whole["pauses"])
        assert shown["time speaking"] == f"{100 * whole['speech_ratio']['value']:.0f} %"
        events = {(event["type"], event["t0_ms"]) for result in deliveries(visit) for event in result["events"]}
        assert events == {("speaking_fast", 10_000)}
        await visit.page.evaluate("document.getElementById('developer').open = true")
        assert (await visit.page.inner_text("#events")).count("faster speech") == 1
        assert await visit.page.locator("#timeline .said").count() == 1
        assert await visit.page.inner_text("#delivery-card .latest") == "00:10 faster speech"
        assert visit.problems == []


async def test_seconds_come_while_people_speak_and_after_the_plug_was_pulled(stack: Stack, tone: Path) -> None:
    async with visiting(address(stack), tone, script=HISTORY) as visit:
        await visit.enter_key(stack.key)
        await visit.page.click("#toggle")
        await visit.until("() => window.shown.length >= 2")
        await visit.page.click("#plug")
        await visit.until_state("suspended")
        await visit.page.click("#plug")
        await visit.until_state("open")
        before = await visit.page.evaluate("window.shown.length")
        await visit.until("count => window.shown.length >= count + 2", before)
        await visit.page.click("#toggle")
        await visit.until(STOPPED)
        assert (await visit.finals()).split() == expected_words(visit.audio())
        assert len(summaries(visit)) == 1
        assert visit.problems == []


async def test_the_switch_is_remembered(stack: Stack, tone: Path) -> None:
    async with visiting(address(stack), tone) as visit:
        page = visit.page
        assert await page.is_checked("#delivery")
        assert await page.locator("#delivery-card").is_visible()
        await page.uncheck("#delivery")
        await page.reload()
        assert not await page.is_checked("#delivery")
        assert not await page.locator("#delivery-card").is_visible()
        await visit.enter_key(stack.key)
        await page.click("#toggle")
        assert await page.is_disabled("#delivery")
        await visit.until(WORDS, 40)  # more than a second
        await page.click("#toggle")
        await visit.until(STOPPED)
        assert visit.starts[0]["services"] == ["stt"]
        assert deliveries(visit) == []
        assert "pauses" not in await figures(page)
        await page.check("#delivery")
        await page.reload()
        assert await page.is_checked("#delivery")
        assert visit.problems == []


def listen(page: Page) -> list[str]:
    """What the page's console says from now on."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    return said


async def open_report(visit: Visit, language: str) -> Page:
    """Choose the language and open the report; its tab."""
    await visit.page.select_option("#report-language", language)
    async with visit.page.expect_popup() as opened:
        await visit.page.click("#report")
    tab = await opened.value
    await tab.wait_for_selector("h1")
    return tab


async def test_the_report_opens_and_its_address_holds_no_credential(stack: Stack, tone: Path, talk: Path) -> None:
    async with visiting(address(stack), tone, locale="fr-FR") as visit:
        page = visit.page
        for name in ("report", "report-json"):
            assert await page.is_disabled(f"#{name}")
        assert await page.input_value("#report-language") == "fr"
        await transcribe(visit, stack, talk)
        for language in ("fr", "en"):
            tab = await open_report(visit, language)
            faults = listen(tab)
            assert await tab.get_attribute("html", "lang") == language
            moment = await tab.inner_text("blockquote")
            assert moment.split()
            assert set(moment.split()) <= set((await visit.finals()).split())
            # The style is there: the page's policy, which the tab inherits, knows its hash.
            assert await tab.evaluate("getComputedStyle(document.querySelector('.card')).borderTopWidth") == "1px"
            assert tab.url.startswith("blob:")
            assert await tab.evaluate("window.opener") is None
            await tab.reload()
            assert await tab.locator("h1").is_visible()
            assert faults == []
            await tab.close()
        asked = [request for request in visit.requests if "/report?" in request.url]
        assert [request.url.partition("?")[2] for request in asked] == ["format=html&lang=fr", "format=html&lang=en"]
        await page.reload()
        assert await page.input_value("#report-language") == "en"
        assert visit.problems == []


async def test_the_report_is_saved_as_json(stack: Stack, tone: Path, talk: Path) -> None:
    async with visiting(address(stack), tone) as visit:
        await transcribe(visit, stack, talk)
        async with visit.page.expect_download() as saved:
            await visit.page.click("#report-json")
        download = await saved.value
        assert download.suggested_filename == "report.json"
        report = json.loads(Path(await download.path()).read_text())
        assert [stream["stream_id"] for stream in report["streams"]] == [visit.starts[0]["stream_id"]]
        assert report["speakers"]
        assert visit.problems == []


async def test_where_no_tab_opens_the_report_is_saved(stack: Stack, tone: Path, talk: Path) -> None:
    async with visiting(address(stack), tone, script="window.open = () => null") as visit:
        await transcribe(visit, stack, talk)
        async with visit.page.expect_download() as saved:
            await visit.page.click("#report")
        download = await saved.value
        assert download.suggested_filename == "report.html"
        assert "<h1" in Path(await download.path()).read_text()


def delete(stack: Stack, session_id: str) -> None:
    request = urllib.request.Request(
        f"{stack.http_url}/v1/sessions/{session_id}", method="DELETE", headers={"Authorization": f"Bearer {stack.key}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 204


async def test_a_report_that_is_gone_is_reported(stack: Stack, tone: Path, talk: Path) -> None:
    async with visiting(address(stack), tone) as visit:
        async with visit.page.expect_response("**/v1/sessions") as minted:
            await transcribe(visit, stack, talk)
        session = await (await minted.value).json()
        await asyncio.to_thread(delete, stack, session["session_id"])
        async with visit.page.expect_popup() as opened:
            await visit.page.click("#report")
        assert await until_notice(visit) == "The session is over, because it was unused for too long."
        await visit.until("() => document.hasFocus()")
        assert (await opened.value).is_closed()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE, SMALL_PHONE], ids=["desktop", "phone", "small phone"])
async def test_with_figures_too_axe_finds_nothing_serious_and_nothing_is_too_wide(
    stack: Stack, tone: Path, talk: Path, scheme: str, viewport: dict[str, int]
) -> None:
    async with visiting(address(stack), tone, color_scheme=scheme, viewport=viewport) as visit:
        await transcribe(visit, stack, talk)
        assert await axe(visit) == []
        assert await visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert await visit.page.locator("#delivery-card [aria-live], #delivery-card [role=status]").count() == 0


async def test_nothing_moves_while_captions_arrive(stack: Stack, tone: Path) -> None:
    for viewport in (DESKTOP, PHONE):
        async with visiting(address(stack), tone, script=SHIFTS, viewport=viewport) as visit:
            await visit.enter_key(stack.key)
            await visit.page.evaluate("document.getElementById('developer').open = false")
            await visit.page.click("#toggle")
            await visit.until(WORDS, 4)
            await visit.page.mouse.move(0, 0)  # away from the words, whose label follows the pointer
            await visit.page.evaluate("window.shifts.length = 0")
            await visit.until(WORDS, 120)  # four seconds
            assert len(frames(visit)) >= 2
            assert await visit.page.evaluate("window.shifts") == []


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
async def test_who_wants_less_motion_gets_less(stack: Stack, tone: Path, motion: str) -> None:
    async with visiting(address(stack), tone, reduced_motion=motion) as visit:
        moving = """() => [...document.querySelectorAll("*")].filter((each) => {
          const { animationName, transitionDuration } = getComputedStyle(each);
          return animationName !== "none" || transitionDuration.split(", ").some((time) => parseFloat(time) > 0);
        }).map((each) => each.className)"""
        assert set(await visit.page.evaluate(moving)) == (set() if motion == "reduce" else {"mark"})
