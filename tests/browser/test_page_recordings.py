"""Recordings on the demo page: faster than they play, one after the other, and MP4 with its index in front."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from bench.harness.browsing import PATIENCE_MS, Visit, visiting, write_tone, write_wav
from bench.harness.stack import Stack, running_stack
from tests.browser.test_typescript_client import node
from workers.fake.words import expected_words

pytestmark = pytest.mark.browser

WORDS = "count => document.getElementById('finals').innerText.split(/\\s+/).filter(Boolean).length >= count"
STOPPED = "() => document.getElementById('toggle').textContent === 'Start microphone'"
AUDIO_RATE = 48_000
FPS = 10


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Gateway, speech and vision."""
    with running_stack(vision=True, folder=tmp_path_factory.mktemp("recordings-stack")) as stack:
        yield stack


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake microphone."""
    path = tmp_path_factory.mktemp("microphone") / "tone.wav"
    write_tone(path)
    return path


def address(stack: Stack) -> str:
    return f"http://localhost:{stack.http_port}/"


def write_video(path: Path, seconds: float, *, container: str) -> None:
    """A video as phones write it, H.264 and AAC with the index at the end, or as browsers do, without a length."""
    is_webm = container == "webm"
    with av.open(str(path), "w", format=container, options={"live": "1"} if is_webm else {}) as file:
        video = file.add_stream("libvpx" if is_webm else "h264", rate=FPS, width=64, height=64, pix_fmt="yuv420p")
        audio = file.add_stream("libopus" if is_webm else "aac", rate=AUDIO_RATE, layout="mono")
        for number in range(round(seconds * FPS)):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 20 * (number % 10), np.uint8), format="rgb24")
            frame.pts = number
            file.mux(video.encode(frame))
        samples = np.array([[9000 * math.sin(at / 20) for at in range(round(seconds * AUDIO_RATE))]], np.int16)
        for begin in range(0, samples.shape[1], 1024):
            sound = av.AudioFrame.from_ndarray(samples[:, begin : begin + 1024], format="s16", layout="mono")
            sound.sample_rate, sound.pts = AUDIO_RATE, begin
            file.mux(audio.encode(sound))
        file.mux(video.encode(None))
        file.mux(audio.encode(None))


def boxes(content: bytes) -> list[str]:
    """The kinds of the top-level boxes, in order (ISO/IEC 14496-12)."""
    kinds, at = [], 0
    while at + 8 <= len(content):
        size, kind = struct.unpack(">I4s", content[at : at + 8])
        kinds.append(kind.decode())
        at += max(size, 8)
    return kinds


def packets(content: bytes) -> list[tuple[int, int | None, bytes]]:
    """Every packet of a recording: its track, its time and its bytes."""
    with av.open(io.BytesIO(content)) as file:
        return [(packet.stream_index, packet.pts, bytes(packet)) for packet in file.demux() if packet.size]


async def transcribe(visit: Visit, path: Path) -> bytes:
    """Open a recording and wait for its end; what was sent, each word of which is on the page."""
    visit.chunks.clear()
    async with visit.page.expect_response("**/v1/sessions"):
        await visit.page.set_input_files("#file", path)
    await visit.until(STOPPED)
    assert not await visit.page.locator("#notice").is_visible(), await visit.page.inner_text("#notice-text")
    assert (await visit.finals()).split() == expected_words(visit.audio())
    assert await visit.page.inner_text("#state") == "Stopped"
    return visit.audio()


def test_the_index_of_an_mp4_is_put_in_front() -> None:
    node("--test", str(Path(__file__).with_name("parts") / "mp4.test.mjs"))


async def test_a_recording_is_captioned_faster_than_it_plays(stack: Stack, tone: Path, tmp_path: Path) -> None:
    seconds = 2 * PATIENCE_MS // 1000
    write_wav(tmp_path / "talk.wav", bytes(index * 7 % 256 for index in range(16_000 * seconds)), rate=8000)
    progress = """addEventListener("DOMContentLoaded", () => {
      window.percents = [];
      const place = document.getElementById("progress");
      new MutationObserver(() => window.percents.push(place.querySelector("progress").value))
        .observe(place, { childList: true, subtree: true });
    })"""
    async with visiting(address(stack), tone, script=progress) as visit:
        await visit.enter_key(stack.key)
        assert await transcribe(visit, tmp_path / "talk.wav") == (tmp_path / "talk.wav").read_bytes()
        percents = await visit.page.evaluate("window.percents")
        assert percents == sorted(percents)
        assert any(0 < percent < 100 for percent in percents)
        assert visit.starts[0]["mode"] == "file"
        assert visit.problems == []


async def test_a_recording_is_captioned_as_live_on_demand(stack: Stack, tone: Path, tmp_path: Path) -> None:
    write_wav(tmp_path / "talk.wav", bytes(index * 7 % 256 for index in range(16_000)), rate=8000)
    async with visiting(address(stack), tone) as visit:
        await visit.enter_key(stack.key)
        await visit.page.check("#as-live")
        await transcribe(visit, tmp_path / "talk.wav")
        await visit.page.uncheck("#as-live")
        await transcribe(visit, tmp_path / "talk.wav")
        assert [start["mode"] for start in visit.starts] == ["live", "file"]
        assert visit.problems == []


async def test_recordings_are_captioned_one_after_the_other(
    stack: Stack, tone: Path, tmp_path: Path, speech_ogg: Path
) -> None:
    for container in ("mp4", "mov", "webm"):
        write_video(tmp_path / f"clip.{container}", 2, container=container)
    async with visiting(address(stack), tone) as visit:
        await visit.enter_key(stack.key)
        assert await transcribe(visit, speech_ogg) == speech_ogg.read_bytes()
        for name in ("clip.mp4", "clip.mov"):
            original = (tmp_path / name).read_bytes()
            assert boxes(original).index("moov") > boxes(original).index("mdat")
            visit.received.clear()
            sent = await transcribe(visit, tmp_path / name)
            assert boxes(sent).index("moov") < boxes(sent).index("mdat")
            assert sorted(boxes(sent)) == sorted(boxes(original))
            assert packets(sent) == packets(original)
            assert 3 <= len(visit.face_counts()) <= 5
        visit.received.clear()
        assert await transcribe(visit, tmp_path / "clip.webm") == (tmp_path / "clip.webm").read_bytes()
        assert 3 <= len(visit.face_counts()) <= 5
        await visit.page.click("#toggle")
        await visit.until(WORDS, 4)
        assert visit.problems == []
