"""The demo page in a real Chromium, on the real processes with the scripted engine."""

from __future__ import annotations

import datetime as dt
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faster_whisper.tokenizer import _LANGUAGE_CODES as LANGUAGES

from bench.harness.browsing import PHONE, Visit, visiting, write_tone
from bench.harness.stack import ROOT, Stack, free_port, running_stack
from deploy.dev import certs
from workers.fake.words import expected_words

pytestmark = pytest.mark.browser

PAGE_BYTES = 200_000
SMALL_PHONE = {"width": 360, "height": 740}
AXE = ROOT / "clients" / "typescript" / "node_modules" / "axe-core" / "axe.min.js"
WORDS = "count => document.getElementById('finals').innerText.split(/\\s+/).filter(Boolean).length >= count"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Gateway, speech and vision."""
    with running_stack(vision=True, folder=tmp_path_factory.mktemp("page-stack")) as stack:
        yield stack


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake microphone."""
    path = tmp_path_factory.mktemp("microphone") / "tone.wav"
    write_tone(path)
    return path


def address(stack: Stack) -> str:
    """The page's address, under a name for which browsers grant the microphone."""
    return f"http://localhost:{stack.http_port}/"


async def give_key(visit: Visit, stack: Stack) -> None:
    await visit.enter_key(stack.key)


async def until_notice(visit: Visit) -> str:
    await visit.page.wait_for_selector("#notice:not([hidden])")
    return await visit.page.inner_text("#notice-text")


async def axe(visit: Visit) -> list[str]:
    """Serious and critical findings of axe-core."""
    assert AXE.is_file(), "the npm packages are not installed: make test does it, or npm ci"
    await visit.page.evaluate(AXE.read_text())
    found = await visit.page.evaluate("axe.run()")
    return [
        f"{finding['id']}: {[node['html'] for node in finding['nodes']]}"
        for finding in found["violations"]
        if finding["impact"] in {"serious", "critical"}
    ]


def transcript(stack: Stack, session: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{stack.http_url}/v1/sessions/{session['session_id']}/transcript",
        headers={"Authorization": f"Bearer {stack.key}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


async def test_the_page_is_small_and_asks_nobody_else(stack: Stack, tone: Path) -> None:
    async with visiting(address(stack), tone) as visit:
        await visit.page.wait_for_load_state("networkidle")
        responses = [await request.response() for request in visit.requests]
        bodies = [await response.body() for response in responses if response and response.url.startswith("http")]
        assert len(bodies) >= 5
        assert sum(len(body) for body in bodies) < PAGE_BYTES
        policy = await responses[0].header_value("content-security-policy")
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert visit.outside() == []
        assert visit.problems == []


async def test_nothing_is_lost_when_the_plug_is_pulled(stack: Stack, tone: Path) -> None:
    async with visiting(address(stack), tone) as visit:
        page = visit.page
        await give_key(visit, stack)
        async with page.expect_response("**/v1/sessions") as minted:
            await page.click("#toggle")
        session = await (await minted.value).json()
        await visit.until(WORDS, 8)
        await page.click("#plug")
        await visit.until_state("suspended")
        sent = len(visit.chunks[1])
        await visit.until("() => document.querySelectorAll('#events li').length >= 2")
        await page.wait_for_timeout(700)  # speech goes on while the network is gone
        await page.click("#plug")
        await visit.until_state("open")
        await visit.until(WORDS, 24)
        await page.click("#toggle")
        await visit.until_state("closed")
        assert visit.sockets == 2
        assert len(visit.chunks[1]) > sent
        finals = await visit.finals()
        assert finals.split() == expected_words(visit.audio())
        kept = [segment["text"] for stream in transcript(stack, session)["streams"] for segment in stream["segments"]]
        assert finals == " ".join(kept)
        assert not await page.locator("#notice").is_visible()
        assert visit.outside() == []
        assert visit.problems == []
        for name in ("txt", "srt", "vtt", "json"):
            await page.select_option("#format", name)
            async with page.expect_download() as saved:
                await page.click("#download")
            text = Path(await (await saved.value).path()).read_text()
            assert finals.split()[0] in text


async def hang_up(visit: Visit) -> list[str]:
    """End the call; return the words on the page, after checking that none is missing or doubled."""
    await visit.page.click("#toggle")
    await visit.until_state("closed")
    words = (await visit.finals()).split()
    assert words == expected_words(visit.audio())
    assert visit.problems == []
    return words


async def test_a_call_that_is_ended_unplugged_still_gets_its_last_words(stack: Stack, tone: Path) -> None:
    async with visiting(address(stack), tone) as visit:
        await give_key(visit, stack)
        await visit.page.click("#toggle")
        await visit.until(WORDS, 8)
        await visit.page.click("#plug")
        await visit.until_state("suspended")
        before = len(visit.audio())
        await visit.page.wait_for_timeout(500)  # said without a network
        assert len(visit.audio()) == before
        await hang_up(visit)
        assert len(visit.audio()) > before
        assert await visit.page.inner_text("#toggle") == "Start microphone"


SAID = """
addEventListener("DOMContentLoaded", () => {
  window.said = [];
  const state = document.getElementById("state");
  new MutationObserver(() => window.said.push(state.textContent)).observe(state, { childList: true });
});
"""
"""Keeps what the line above the captions says."""


async def test_a_call_outlives_its_worker_and_says_what_is_going_on(tone: Path, tmp_path: Path) -> None:
    with running_stack(folder=tmp_path, worker_settings={"WORKER_SLOTS": "1"}) as stack:
        stack.workers[0].kill()
        async with visiting(address(stack), tone, script=SAID) as visit:
            await give_key(visit, stack)
            assert not await visit.page.locator("#state").is_visible()
            await visit.page.click("#toggle")
            await visit.until_says("Workers are starting, your speech is being kept")
            stack.restart_worker(0)
            await visit.until_says("Listening: speak now")
            await visit.until(WORDS, 8)
            await visit.page.click("#plug")
            await visit.until_says("Connection lost, your speech is being kept")
            await visit.page.click("#plug")
            await visit.until_says("Listening: speak now")
            stack.workers[0].kill()
            await visit.until_says("Workers are starting")
            stack.restart_worker(0)
            await visit.until_says("Listening: speak now")
            await visit.until(WORDS, 24)
            assert "waiting for a worker" in await visit.page.inner_text("#events")
            browser = visit.page.context.browser
            assert browser is not None
            other = Visit(await browser.new_page(), visit.base_url)
            await other.page.goto(address(stack))
            await other.enter_key(stack.key)
            await other.page.click("#toggle")
            await other.until_says("Every worker is busy, waiting for a free one")
            await hang_up(visit)
            await other.until_says("Listening: speak now")
            await other.until(WORDS, 4)
            said = await visit.page.evaluate("window.said")
            assert "Connecting…" in said
            assert said[-1] == "Stopped"
            assert await visit.page.inner_text("#connection") == "stopped"
            assert not await visit.page.locator("#notice").is_visible()


async def test_a_second_stop_leaves_without_the_last_words(tone: Path, tmp_path: Path) -> None:
    with running_stack(folder=tmp_path) as stack:
        async with visiting(address(stack), tone) as visit:
            await give_key(visit, stack)
            await visit.page.click("#toggle")
            await visit.until(WORDS, 8)
            stack.workers[0].kill()
            await visit.until_says("Workers are starting")
            await visit.page.click("#toggle")
            await visit.until("() => document.getElementById('toggle').textContent === 'Finishing… Stop now'")
            await visit.page.click("#toggle")
            await visit.until_state("closed")
            await visit.until("() => document.getElementById('toggle').textContent === 'Start microphone'")
            await visit.until_says("Stopped")
            assert not await visit.page.locator("#notice").is_visible()
            assert visit.problems == []


async def test_captions_come_over_tls_alone(tone: Path, tmp_path: Path) -> None:
    """The browser does not know the CA of these certificates, so it ignores certificate errors."""
    made = certs.ensure(tmp_path / "tls", {"localhost": certs.LOOPBACK_NAMES}, dt.datetime.now(dt.UTC))["localhost"]
    settings = {
        "GATEWAY_TLS_CERT": str(made.certificate),
        "GATEWAY_TLS_KEY": str(made.key),
        "GATEWAY_WSS_PORT": str(free_port()),
        "GATEWAY_WS_ENABLED": "false",
    }
    with running_stack(folder=tmp_path, gateway_settings=settings) as stack:
        async with visiting(address(stack), tone, ignore_https_errors=True) as visit:
            await give_key(visit, stack)
            async with visit.page.expect_websocket() as opened:
                await visit.page.click("#toggle")
            assert (await opened.value).url.startswith("wss://")
            await visit.until(WORDS, 8)
            await hang_up(visit)


async def test_a_microphone_that_is_refused_is_reported(stack: Stack, tone: Path) -> None:
    refuse = """
    const { mediaDevices } = navigator;
    const open = mediaDevices.getUserMedia.bind(mediaDevices);
    mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError') };
    window.allow = () => { mediaDevices.getUserMedia = open; };
    """
    async with visiting(address(stack), tone, script=refuse) as visit:
        await give_key(visit, stack)
        await visit.page.click("#toggle")
        assert "does not let this page use the microphone" in await until_notice(visit)
        await visit.until("() => document.getElementById('toggle').textContent === 'Start microphone'")
        await visit.page.evaluate("window.allow()")
        await visit.page.click("#notice-action")
        await visit.until(WORDS, 4)
        assert not await visit.page.locator("#notice").is_visible()
        assert visit.problems == []


async def test_without_a_camera_the_sound_continues(stack: Stack, tone: Path) -> None:
    absent = """
    const { mediaDevices } = navigator;
    const open = mediaDevices.getUserMedia.bind(mediaDevices);
    mediaDevices.getUserMedia = async (wanted) => {
      if (wanted.video) throw new DOMException("Requested device not found", "NotFoundError");
      return open(wanted);
    };
    window.plugIn = () => { mediaDevices.getUserMedia = open; };
    """
    async with visiting(address(stack), tone, script=absent) as visit:
        await give_key(visit, stack)
        await visit.page.check("#camera")
        await visit.page.click("#toggle")
        assert await until_notice(visit) == "No camera found. Captions continue with audio only."
        await visit.until(WORDS, 4)
        await visit.page.evaluate("window.plugIn()")
        await visit.page.click("#notice-action")
        await visit.until("() => document.getElementById('overlay').dataset.faces !== undefined")
        await visit.until(WORDS, 8)
        await hang_up(visit)


HELD_BACK = """
const contexts = [];
const Context = window.AudioContext;
window.AudioContext = class extends Context {
  constructor(options) {
    super(options);
    contexts.push(this);
  }
  resume() {
    return window.held ? Promise.reject(new DOMException("no tap", "NotAllowedError")) : super.resume();
  }
};
window.holdBack = async () => {
  window.held = true;
  await Promise.all(contexts.map((context) => context.suspend()));
};
"""
"""A phone: it suspends the sound, and lets nobody resume it before a tap."""


async def test_sound_that_a_phone_holds_back_continues_with_a_tap(stack: Stack, tone: Path) -> None:
    async with visiting(address(stack), tone, script=KEEP + HELD_BACK) as visit:
        await give_key(visit, stack)
        await visit.page.click("#toggle")
        await visit.until(WORDS, 4)
        await visit.page.evaluate("window.holdBack()")
        await visit.until_says("The microphone is paused: tap anywhere to continue")
        assert await visit.page.inner_text("#speech") == "paused"
        await visit.page.evaluate("window.held = false")
        await visit.page.click("h1")
        await visit.until_says("Listening: speak now")
        # A telephone call mutes the track, without a word to the AudioContext.
        mute = """muted => {
          const [track] = window.media.getAudioTracks();
          Object.defineProperty(track, "muted", { value: muted, configurable: true });
          track.dispatchEvent(new Event(muted ? "mute" : "unmute"));
        }"""
        await visit.page.evaluate(mute, True)
        await visit.until_says("Your device has muted the microphone")
        await visit.page.evaluate(mute, False)
        await visit.until_says("Listening: speak now")
        await visit.until(WORDS, 8)
        await hang_up(visit)


KEEP = """
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => (window.media = await open(wanted));
"""


async def test_a_microphone_that_cannot_be_read_is_let_go(stack: Stack, tone: Path) -> None:
    unread = "AudioWorklet.prototype.addModule = async () => { throw new Error('no processor') };"
    async with visiting(address(stack), tone, script=KEEP + unread) as visit:
        await give_key(visit, stack)
        await visit.page.click("#toggle")
        await visit.page.wait_for_selector("#notice:not([hidden])")
        await visit.until("() => window.media.getTracks().every(({ readyState }) => readyState === 'ended')")
        assert visit.problems == []


async def test_a_microphone_that_is_unplugged_ends_the_call(stack: Stack, tone: Path) -> None:
    async with visiting(address(stack), tone, script=KEEP) as visit:
        await give_key(visit, stack)
        await visit.page.click("#toggle")
        await visit.until(WORDS, 8)
        await visit.page.evaluate("window.media.getTracks()[0].dispatchEvent(new Event('ended'))")
        await visit.until_state("closed")
        assert "The microphone was disconnected" in await until_notice(visit)
        assert (await visit.finals()).split() == expected_words(visit.audio())
        assert visit.problems == []


async def test_camera_pictures_come_back_as_overlay_and_events(stack: Stack, tone: Path) -> None:
    async with visiting(address(stack), tone) as visit:
        await give_key(visit, stack)
        await visit.page.check("#camera")
        await visit.page.click("#toggle")
        await visit.until("() => document.getElementById('overlay').dataset.faces !== undefined")
        drawn = (
            "() => document.getElementById('overlay').getContext('2d').getImageData(0, 0, 640, 480).data.some(Boolean)"
        )
        await visit.until(drawn)
        assert await visit.page.locator("#signals li").count() >= 1
        await visit.until(WORDS, 8)
        await visit.page.click("#toggle")
        await visit.until_state("closed")
        assert visit.problems == []


async def test_the_keyboard_is_enough(stack: Stack, tone: Path) -> None:
    async with visiting(address(stack), tone) as visit:
        await give_key(visit, stack)
        await visit.page.evaluate("document.activeElement.blur()")
        seen = []
        for _ in range(12):
            await visit.page.keyboard.press("Tab")
            seen.append(await visit.page.evaluate("document.activeElement.id"))
            if seen[-1] == "toggle":
                break
        assert seen[-1] == "toggle"
        await visit.page.keyboard.press("Enter")
        await visit.until(WORDS, 8)
        await visit.page.focus("#plug")
        await visit.page.keyboard.press("Space")
        await visit.until_state("suspended")
        await visit.page.keyboard.press("Space")
        await visit.until_state("open")
        await visit.page.focus("#toggle")
        await visit.page.keyboard.press("Enter")
        await visit.until_state("closed")
        log = visit.page.locator("#finals")
        assert await log.get_attribute("aria-live") == "polite"
        assert await visit.page.locator("#interim").get_attribute("aria-live") == "off"


async def test_everything_is_reached_by_keyboard(stack: Stack, tone: Path) -> None:
    async with visiting(address(stack), tone, color_scheme="light") as visit:
        page = visit.page
        await give_key(visit, stack)
        await page.click("#toggle")
        await visit.until(WORDS, 8)
        await page.click("#toggle")
        await visit.until_state("closed")
        await page.focus(".skip")
        reached: list[str | None] = []
        while None not in reached:  # the links at the end have no names
            await page.keyboard.press("Tab")
            name = await page.evaluate("document.activeElement.id || null")
            reached.append(name)
            if name == "theme":
                await page.keyboard.press("d")
            if name == "format":
                await page.keyboard.press("s")
            if name == "download":
                async with page.expect_download() as saved:
                    await page.keyboard.press("Enter")
                assert (await saved.value).suggested_filename == "transcript.srt"
        wanted = ["theme", "toggle", "microphone", "camera", "delivery", "language", "file"]
        wanted += ["captions", "copy", "clear", "format", "download", "report-language", "report", "report-json"]
        wanted += ["developer-summary", "key", "events"]
        assert [name for name in reached if name in wanted] == wanted
        assert await page.evaluate("document.documentElement.dataset.theme") == "dark"


async def test_on_a_phone_captions_and_stop_stay_in_sight(stack: Stack, tone: Path) -> None:
    async with visiting(address(stack), tone, viewport=PHONE) as visit:
        await give_key(visit, stack)
        await visit.page.click("#toggle")
        await visit.until(WORDS, 8)
        for name in ("finals", "toggle"):
            box = await visit.page.locator(f"#{name}").bounding_box()
            assert box is not None
            assert box["y"] >= 0
            assert box["y"] + min(box["height"], 100) <= PHONE["height"]


@pytest.mark.parametrize(
    ("lacking", "sound"),
    [
        (
            """
            const make = AudioContext.prototype.createMediaStreamSource;
            AudioContext.prototype.createMediaStreamSource = function (media) {
              if (this.sampleRate === 16000) throw new DOMException("other rates", "NotSupportedError");
              return make.call(this, media);
            };""",
            "audio/pcm;rate=",
        ),
        ("delete window.AudioWorkletNode", "audio/webm;codecs=opus"),
        (
            """
            const Context = window.AudioContext;
            window.AudioContext = class extends Context {
              constructor(options) {
                super({ ...options, sampleRate: 96000 });
              }
            };""",
            "audio/pcm;rate=48000;channels=1;",
        ),
    ],
    ids=["resampling", "worklet", "low rates"],
)
async def test_browsers_that_lack_something_are_captioned_too(
    stack: Stack, tone: Path, lacking: str, sound: str
) -> None:
    async with visiting(address(stack), tone, script=lacking) as visit:
        await give_key(visit, stack)
        await visit.page.click("#toggle")
        await visit.until(WORDS, 8)
        await hang_up(visit)
        [used] = visit.formats
        assert used.startswith(sound)
        assert used != "audio/pcm;rate=16000;channels=1;encoding=s16le"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [None, SMALL_PHONE], ids=["desktop", "phone"])
async def test_no_serious_finding_of_axe(
    stack: Stack, tone: Path, scheme: str, viewport: dict[str, int] | None
) -> None:
    options: dict[str, Any] = {"color_scheme": scheme, **({"viewport": viewport} if viewport else {})}
    async with visiting(address(stack), tone, **options) as visit:
        assert await visit.page.evaluate("document.documentElement.dataset.theme") == scheme
        assert await axe(visit) == []
        await give_key(visit, stack)
        await visit.page.check("#camera")
        await visit.page.click("#toggle")
        await visit.until(WORDS, 8)
        assert await axe(visit) == []
        assert await visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_a_wrong_key_is_reported(stack: Stack, tone: Path) -> None:
    async with visiting(address(stack), tone) as visit:
        await visit.enter_key("wrong")
        await visit.page.evaluate("document.getElementById('developer').open = false")
        await visit.page.click("#toggle")
        assert await until_notice(visit) == "The gateway does not accept this API key."
        assert await visit.page.inner_text("#speech") == "silence"
        assert (await visit.page.inner_text("#empty")).startswith("Start the microphone")
        assert await axe(visit) == []
        await visit.until("() => document.getElementById('toggle').textContent === 'Start microphone'")
        await visit.page.click("#notice-action")
        assert await visit.page.evaluate("document.activeElement.id") == "key"
        error = {"code": "rate_limited", "message": "too many invalid credentials", "retryable": True}
        many = {"status": 429, "headers": {"Retry-After": "17"}, "json": {"error": error}}
        await visit.page.route("**/v1/sessions", lambda route: route.fulfill(**many))
        await visit.page.click("#toggle")
        await visit.until("() => document.getElementById('notice-text').textContent.includes('wait 17 s')")


async def test_on_this_machine_nobody_needs_to_see_the_key_or_the_tools(stack: Stack, tone: Path) -> None:
    async with visiting(address(stack), tone) as visit:
        for name in ("key", "plug", "timeline", "interim-delay", "angles"):
            assert not await visit.page.locator(f"#{name}").is_visible()
        for name in ("microphone", "elapsed", "copy", "clear", "download", "theme"):
            assert await visit.page.locator(f"#{name}").is_visible()
        assert await visit.page.input_value("#key") == "dev-key"


async def test_the_transcript_is_copied_and_cleared(stack: Stack, tone: Path) -> None:
    permissions = ["microphone", "camera", "clipboard-read", "clipboard-write"]
    async with visiting(address(stack), tone, permissions=permissions) as visit:
        page = visit.page
        await give_key(visit, stack)
        await page.click("#toggle")
        await visit.until("() => document.querySelectorAll('#microphone option').length > 1")
        await visit.until(WORDS, 8)
        await visit.until("() => document.getElementById('elapsed').textContent > '00:00'")
        words = await hang_up(visit)
        assert await page.locator("#finals time").first.inner_text() == "00:00"
        await page.click("#copy")
        await visit.until("() => document.getElementById('copy').textContent === 'Copied'")
        assert (await page.evaluate("navigator.clipboard.readText()")).split() == words
        await page.click("#clear")
        assert await page.inner_text("#finals") == ""
        assert await page.locator("#empty").is_visible()


def test_every_language_of_the_model_can_be_chosen() -> None:
    tags = re.search(r"const TAGS =([^;]+);", (ROOT / "gateway" / "web" / "languages.js").read_text())
    assert tags is not None
    assert " ".join(re.findall(r'"([^"]*)"', tags[1])).split() == sorted(LANGUAGES)


async def test_languages_have_names_and_colours_follow_the_system(stack: Stack, tone: Path) -> None:
    async with visiting(address(stack), tone, color_scheme="light") as visit:
        page = visit.page
        options = await page.locator("#language option").all_inner_texts()
        assert {"Detect language", "French", "Javanese", "Cantonese"} <= set(options)
        assert not [name for name in options if len(name) < 3]
        theme = "document.documentElement.dataset.theme"
        await page.emulate_media(color_scheme="dark")
        await visit.until(f"() => {theme} === 'dark'")
        await page.select_option("#theme", "light")
        await page.reload()
        assert await page.evaluate(theme) == "light"
        await page.select_option("#theme", "system")
        assert await page.evaluate(theme) == "dark"
        assert visit.problems == []
