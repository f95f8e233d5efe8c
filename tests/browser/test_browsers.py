"""Chromium, Firefox and WebKit: the demo page, the clients and the recorders of each show what is said."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import pytest

from bench.harness.material import pieces
from bench.harness.stack import ROOT, Stack, free_port, running_stack
from bench.scoring import word_errors
from tests.browser.drivers.browser import Browser, text_of, until
from tests.browser.drivers.chromium import chromium
from tests.browser.drivers.firefox import firefox
from tests.browser.drivers.site import mint_session, serving
from tests.browser.drivers.speaker import RATE, stand_in, until_spoken
from tests.browser.drivers.webkit import webkit
from tests.corpus.streaming import client_of, hear
from tests.fakes.doc_tables import documented
from tests.fakes.readme import example
from tests.kinds.sounds import SENTENCE, sentence

pytestmark = [pytest.mark.browsers, pytest.mark.model, pytest.mark.timeout(300)]

BROWSERS = {"chromium": chromium, "firefox": firefox, "webkit": webkit}
MAX_ERRORS = 2
"""Wrong words; live, the smallest model hears "move" for "moved"."""
OUTPUT = ROOT / "build" / "browsers"
"""Screenshots, and the columns of the table in docs/recordings.md."""
WEB = ROOT / "gateway" / "web"
START = """<!doctype html><meta charset=utf-8><title>example</title><link rel=icon href=data:,>
<body><button>Start</button><p></p>
<script type=module>document.querySelector("button").onclick = () => void import("./example.js");</script>"""
"""Like most sites, it opens the microphone when its user asks for it."""
LINES = "return [...document.querySelectorAll('#finals p')].map((line) => line.innerText);"
AT_ONCE = """<!doctype html><meta charset=utf-8><title>example</title><link rel=icon href=data:,>
<body><script type=module src=example.js></script>"""


@pytest.fixture(params=BROWSERS)
def name(request: pytest.FixtureRequest) -> str:
    """Which browser."""
    return str(request.param)


@pytest.fixture
async def browser(name: str, tmp_path: Path) -> AsyncIterator[Browser]:
    """The browser, with a blank page."""
    folder = tmp_path / name
    folder.mkdir()
    async with BROWSERS[name](folder) as started:
        yield started


def check_words(text: str) -> None:
    """The text is the sentence."""
    assert word_errors(SENTENCE, text, "en").errors <= MAX_ERRORS, text


async def keep_screenshot(browser: Browser, name: str) -> None:
    """For people to look at."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    await browser.screenshot(OUTPUT / f"{name}.png")


async def test_the_demo_page_shows_what_is_said(browser: Browser, name: str, model_stack: Stack) -> None:
    await browser.open(f"http://localhost:{model_stack.http_port}/")
    await stand_in(browser, sentence(RATE))
    await browser.run(
        "document.getElementById('key').value = given[0]; document.getElementById('language').value = 'en';"
        "document.getElementById('key').dispatchEvent(new Event('input', { bubbles: true }));"
        "document.getElementById('key').dispatchEvent(new Event('change', { bubbles: true }));",
        model_stack.key,
    )
    await browser.click("#toggle")
    await until_spoken(browser)
    await until(browser, "document.getElementById('finals').innerText.trim()")
    await keep_screenshot(browser, f"page-{name}")
    await browser.click("#toggle")
    await until(browser, "document.getElementById('connection').dataset.state === 'closed'")
    check_words(" ".join(await browser.run(LINES)))
    assert await browser.run("return document.getElementById('notice').hidden;")
    assert browser.console.problems == []


async def test_the_readme_example_shows_what_is_said(browser: Browser, model_stack: Stack) -> None:
    files = {"index.html": START, "example.js": example("browser-example")}
    async with serving(model_stack, files) as site:
        await browser.open(f"{site}index.html")
        await stand_in(browser, sentence(RATE))
        await browser.click("button")
        await until_spoken(browser)
        await until(browser, "document.body.innerText.includes(given[0])", SENTENCE.split()[-1].strip("."))
        check_words((await text_of(browser, "body")).removeprefix("Start "))
        assert browser.console.problems == []


BOTH = """
import { PcmSource, RecorderSource, TalkupClient } from "./talkup-client.js";

const client = new TalkupClient({ session: async () => (await fetch("/my-backend/talkup-session")).json() });
const connected = client.connect();
const media = await navigator.mediaDevices.getUserMedia({ audio: true });
const streams = {};
window.heard = { recorder: [], samples: [] };
const sources = {
  recorder: new RecorderSource(media, (slice) => streams.recorder.send(slice)),
  samples: await PcmSource.open(media, (slice) => streams.samples.send(slice)),
};
for (const [name, source] of Object.entries(sources)) {
  streams[name] = client.stream({ format: source.format, language: "en" });
  streams[name].on("transcript", ({ is_final, text }) => is_final && window.heard[name].push(text));
  await source.start();
}
await connected;
window.finish = async () => {
  for (const [name, source] of Object.entries(sources)) {
    await source.stop();
    await streams[name].end();
  }
  client.close();
  return window.heard;
};
"""
"""One microphone, recorded and as samples."""


def client_site() -> dict[str, str]:
    """The files of a site with the TypeScript client."""
    return {"talkup-client.js": (WEB / "talkup-client.js").read_text(), "example.js": BOTH}


async def test_the_typescript_client_hears_what_is_said(browser: Browser, model_stack: Stack) -> None:
    async with serving(model_stack, {"index.html": START, **client_site()}) as site:
        await browser.open(f"{site}index.html")
        await stand_in(browser, sentence(RATE))
        await browser.click("button")
        await until_spoken(browser)
        heard = await browser.run("return window.finish();")
        for texts in heard.values():
            check_words(" ".join(texts))
        assert browser.console.problems == []


async def test_the_typescript_client_opens_the_browsers_own_microphone(browser: Browser, fake_stack: Stack) -> None:
    """Nobody speaks into it, but the scripted engine makes words of any bytes."""
    async with serving(fake_stack, {"index.html": START, **client_site()}) as site:
        await browser.open(f"{site}index.html")
        await browser.click("button")
        enough = "window.heard && Object.values(heard).every((texts) => texts.join(' ').split(' ').length >= 8)"
        await until(browser, enough)
        assert all((await browser.run("return window.finish();")).values())
        assert browser.console.problems == []


PICTURES = "pictures"
ASKED = (
    "",
    PICTURES,
    "audio/webm;codecs=opus",
    "audio/webm;codecs=pcm",
    "audio/ogg;codecs=opus",
    "audio/mp4",
    "audio/mp4;codecs=mp4a.40.2",
    "audio/mp4;codecs=opus",
    "video/webm",
    "video/webm;codecs=vp8,opus",
    "video/webm;codecs=vp9,opus",
    "video/webm;codecs=h264,opus",
    "video/webm;codecs=av1,opus",
    "video/mp4",
    "video/mp4;codecs=avc1.42E01E,mp4a.40.2",
    "video/mp4;codecs=vp9,opus",
    "video/x-matroska;codecs=avc1",
)
"""What pages ask MediaRecorder for. Nothing: the browser chooses, for sound alone or (`PICTURES`) with pictures."""

RECORD = """
const [asked] = given;
const canvas = Object.assign(document.createElement("canvas"), { width: 160, height: 120 });
document.body.append(canvas);
const context = canvas.getContext("2d");
const draw = setInterval(() => {
  context.fillStyle = `hsl(${performance.now() / 10} 50% 50%)`;
  context.fillRect(0, 0, 160, 120);
}, 100);
const sound = (await navigator.mediaDevices.getUserMedia({ audio: true })).getAudioTracks();
const sight = canvas.captureStream(10).getVideoTracks();
const isFree = (type) => type === "" || type === "pictures";
const kept = asked.filter((type) => isFree(type) || MediaRecorder.isTypeSupported(type)).map((type) => {
  const media = new MediaStream(type.startsWith("audio") || type === "" ? sound : [...sound, ...sight]);
  const recorder = new MediaRecorder(media, isFree(type) ? {} : { mimeType: type });
  const blobs = [];
  recorder.ondataavailable = ({ data }) => blobs.push(data);
  const stopped = new Promise((resolve, reject) => ([recorder.onstop, recorder.onerror] = [resolve, reject]));
  recorder.start(250);
  return { type, recorder, blobs, stopped };
});
while (!window.spoken) await new Promise((resolve) => setTimeout(resolve, 100));
const names = kept.map(({ recorder }) => recorder.mimeType);
for (const { recorder } of kept) recorder.stop();
clearInterval(draw);
const read = (blob) => new Promise((resolve) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.split(",")[1] ?? "");
  reader.readAsDataURL(blob);
});
return Promise.all(kept.map(async ({ type, blobs, stopped }, at) => {
  await stopped;
  return { asked: type, name: names[at], bytes: await read(new Blob(blobs)) };
}));
"""


CONTAINERS = {"mov": "MP4", "matroska": "Matroska", "webm": "WebM", "ogg": "Ogg"}


def contents(data: bytes) -> str:
    """The codecs of a recording and its container, such as `opus in WebM`."""
    if not data:
        return "no bytes"
    with av.open(io.BytesIO(data)) as file:
        codecs = [stream.codec_context.codec.canonical_name for stream in file.streams]
        container = file.format.name.split(",")[0]
        if container == "matroska" and b"webm" in data[:64]:
            container = "webm"
        return f"{', '.join(sorted(codecs))} in {CONTAINERS.get(container, container)}"


async def test_what_the_browsers_recorder_gives_is_transcribed(browser: Browser, name: str, model_stack: Stack) -> None:
    async with serving(model_stack, {"index.html": START, "example.js": ""}) as site:
        await browser.open(f"{site}index.html")
        await stand_in(browser, sentence(RATE))
        await browser.click("button")
        recordings: list[dict[str, Any]] = await browser.run(RECORD, ASKED)
    found = dict.fromkeys(ASKED, "no")
    async with client_of(model_stack) as client:
        for recording in recordings:
            data = base64.b64decode(recording["bytes"])
            found[recording["asked"]] = f"`{recording['name']}`: {contents(data)}"
            if data:
                heard = await hear(client, recording["name"], pieces(data, 4_096), "en")
                assert heard.error is None, (recording["name"], heard)
                check_words(heard.text)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / f"recorders-{name}.json").write_text(json.dumps(found, indent=2))
    column = list(BROWSERS).index(name) + 1
    listed = {cells[0]: cells[column] for cells in map(cells_of, documented("recordings.md", "recorders"))}
    assert listed == {NAMES.get(asked, f"`{asked}`"): cell for asked, cell in found.items()}


NAMES = {"": "nothing, sound alone", PICTURES: "nothing, with pictures"}


def cells_of(line: str) -> list[str]:
    """The cells of a line of a table."""
    return [cell.strip() for cell in line.strip("|").split(" | ")]


FETCH = """
const [gateway, { session_id, token }, method] = given;
const address = `${gateway}/v1/sessions/${session_id}${method === "GET" ? "/transcript" : ""}`;
try {
  const answer = await fetch(address, { method, headers: { Authorization: `Bearer ${token}` } });
  return [answer.status, Boolean(answer.headers.get("ETag"))];
} catch (error) {
  return error.name;
}
"""
CONNECT = """
const [url, token] = given;
const socket = new WebSocket(url, ["talkup.v1", `bearer.${token}`]);
return new Promise((resolve) => {
  socket.onmessage = ({ data }) => resolve(JSON.parse(data).type);
  socket.onclose = () => resolve("refused");
});
"""


async def test_firefox_lets_pages_of_configured_origins_in_and_no_others(tmp_path: Path) -> None:
    port = free_port()
    settings = {"GATEWAY_ALLOWED_ORIGINS": f"http://app.example:{port}"}
    with running_stack(folder=tmp_path, gateway_settings=settings) as stack:
        async with firefox(tmp_path) as browser, serving(stack, {"index.html": AT_ONCE, "example.js": ""}, port):
            session = mint_session(stack)
            await browser.open(f"http://app.example:{port}/index.html")
            assert await browser.run(CONNECT, stack.ws_url, session["token"]) == "session"
            assert await browser.run(FETCH, stack.http_url, session, "GET") == [200, True]
            await browser.open(f"http://localhost:{port}/index.html")
            assert await browser.run(CONNECT, stack.ws_url, session["token"]) == "refused"
            assert await browser.run(FETCH, stack.http_url, session, "GET") == "TypeError"
            await browser.open(f"http://app.example:{port}/index.html")
            assert await browser.run(FETCH, stack.http_url, session, "DELETE") == [204, False]
