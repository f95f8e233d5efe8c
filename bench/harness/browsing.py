"""A real Chromium for tests and benchmarks: its microphone plays a WAV file, and it reaches only this machine."""

from __future__ import annotations

import asyncio
import io
import json
import math
import shutil
import struct
import wave
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from playwright.async_api import ConsoleMessage, Page, Request, async_playwright

from bench.harness.schema_check import checked

RATE = 48_000
SPEECH_RATE = 16_000
PATIENCE_MS = 45_000
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
_HEADER_BYTES = 8


def chromium() -> str:
    """The browser's path. If there is none, the test fails; it is never skipped."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "chromium is not installed: make test installs it, or apt-get install chromium"
    return path


def write_wav(path: Path, samples: bytes, rate: int = RATE) -> None:
    """Write 16-bit mono samples."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples)


def write_samples(path: Path, samples: NDArray[np.float32], rate: int, *, silence_s: float) -> None:
    """Write samples between -1 and 1 for the fake microphone, followed by silence."""
    whole = np.concatenate([samples, np.zeros(round(silence_s * rate), np.float32)])
    write_wav(path, (np.clip(whole, -1, 1) * 32_767).astype("<i2").tobytes(), rate)


def write_tone(path: Path, seconds: int = 4) -> None:
    """Write a wavering tone for the fake microphone."""
    samples = (int(9000 * math.sin(i * (0.03 + 0.01 * math.sin(i / 9000)))) for i in range(RATE * seconds))
    write_wav(path, b"".join(struct.pack("<h", sample) for sample in samples))


def write_speech(path: Path, recording: Path, silence_s: float = 3.0) -> float:
    """Write a recording for the fake microphone, followed by silence; return its length in seconds."""
    pcm = io.BytesIO()
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(recording)) as container:
        for frame in (*container.decode(audio=0), None):
            for piece in resampler.resample(frame):
                pcm.write(bytes(piece.planes[0])[: piece.samples * 2])
    samples = pcm.getvalue()
    write_wav(path, samples + bytes(int(silence_s * RATE) * 2))
    return len(samples) / 2 / RATE


def write_camera(path: Path, pictures: Sequence[NDArray[np.uint8]], fps: int) -> None:
    """Write RGB pictures, all of one size with even sides, for the fake camera, which repeats them."""
    height, width, _ = pictures[0].shape
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
        for picture in pictures:
            planes = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p").to_ndarray()
            file.write(b"FRAME\n" + planes.tobytes())


@dataclass
class Visit:
    """A page in the browser, with a record of what it did."""

    page: Page
    base_url: str
    requests: list[Request] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    chunks: dict[int, dict[int, bytes]] = field(default_factory=dict)
    received: list[dict[str, Any]] = field(default_factory=list)
    starts: list[dict[str, Any]] = field(default_factory=list)
    sockets: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def watch(self) -> None:
        """Record requests, errors and media frames."""
        self.page.on("request", self._note_request)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._note_console)
        self.page.on("websocket", self._watch_socket)

    @property
    def formats(self) -> list[str]:
        """The format of each stream that was started."""
        return [start["format"] for start in self.starts]

    def audio(self, handle: int = 1) -> bytes:
        """The media sent on a stream, each chunk once, in order."""
        chunks = self.chunks[handle]
        assert sorted(chunks) == list(range(len(chunks)))
        return b"".join(chunks[number] for number in sorted(chunks))

    async def when(self, happened: Callable[[], bool], patience_s: float = PATIENCE_MS / 1000) -> None:
        """Wait until a condition holds; it is checked after each socket frame and each console message."""
        async with asyncio.timeout(patience_s):
            while not happened():
                self._news.clear()
                await self._news.wait()

    async def until_spoken(self, seconds: float) -> None:
        """Wait until the page has sent this many seconds of its microphone, as PCM at 16 kHz."""
        wanted = 2 * SPEECH_RATE * seconds
        sent = self.chunks.setdefault(1, {})
        await self.when(lambda: sum(map(len, sent.values())) >= wanted, seconds + PATIENCE_MS / 1000)

    def face_counts(self) -> list[int]:
        """The number of faces in each picture that was analysed."""
        results = [message["data"] for message in self.received if message["type"] == "analysis_result"]
        return [result["frame"]["face_count"] for result in results if result["frame"]]

    def outside(self) -> list[str]:
        """Requests to anything but the gateway."""
        own = (self.base_url, "blob:", "data:")
        return [request.url for request in self.requests if not request.url.startswith(own)]

    async def finals(self) -> str:
        """The final captions on the page, as one text."""
        lines = await self.page.locator("#finals p").all_inner_texts()
        return " ".join(" ".join(lines).split())

    async def until(self, condition: str, argument: Any = None) -> None:
        """Wait until a JavaScript condition holds."""
        await self.page.wait_for_function(condition, arg=argument, timeout=PATIENCE_MS, polling=50)

    async def enter_key(self, key: str) -> None:
        """Fill in the API key, in the developer drawer; leaves the drawer open."""
        await self.page.evaluate("document.getElementById('developer').open = true")
        await self.page.fill("#key", key)

    async def until_says(self, text: str) -> None:
        """Wait until the line above the captions contains the text."""
        await self.until("text => document.getElementById('state').textContent.includes(text)", text)

    async def until_state(self, state: str) -> None:
        await self.until("state => document.getElementById('connection').dataset.state === state", state)

    def _note_console(self, message: ConsoleMessage) -> None:
        (self.problems if message.type == "error" else self.said).append(message.text)
        self._news.set()

    def _note_request(self, request: Request) -> None:
        self.requests.append(request)

    def _watch_socket(self, socket: Any) -> None:
        self.sockets += 1
        socket.on("framesent", self._watch_frame)
        socket.on("framereceived", self._check_frame)

    def _check_frame(self, frame: str | bytes) -> None:
        message = json.loads(frame)
        self.received.append(message)
        self._news.set()
        try:
            checked(message)
        except AssertionError as fault:  # an exception in a callback would be lost
            self.problems.append(str(fault))

    def _watch_frame(self, frame: str | bytes) -> None:
        if isinstance(frame, str):
            if '"stream_start"' in frame:
                self.starts.append(json.loads(frame))
            return
        if frame[:2] == b"\x54\x01":
            handle, sequence = struct.unpack(">HI", frame[2:_HEADER_BYTES])
            self.chunks.setdefault(handle, {})[sequence] = frame[_HEADER_BYTES:]
            self._news.set()


@asynccontextmanager
async def visiting(
    url: str, microphone: Path, *, once: bool = False, camera: Path | None = None, script: str = "", **options: Any
) -> AsyncIterator[Visit]:
    """Open a page. The microphone repeats its file; with `once` it is silent after the end.

    `camera` is a Y4M file; without it the camera shows Chromium's test picture. `script` runs before the page's own.
    """
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(),
            args=[
                "--no-sandbox",
                "--disable-background-networking",
                "--autoplay-policy=no-user-gesture-required",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={microphone}{'%noloop' if once else ''}",
                *([f"--use-file-for-fake-video-capture={camera}"] if camera else []),
            ],
        )
        try:
            page = await browser.new_page(**{"viewport": DESKTOP, **options})
            visit = Visit(page, url.rstrip("/"))
            visit.watch()
            await page.add_init_script(script)
            await page.goto(url)
            yield visit
        finally:
            await browser.close()
