"""Speech into the demo page's microphone, with the real model: the page shows what was said."""

from __future__ import annotations

import asyncio
from pathlib import Path

import av
import pytest

from bench.corpus import OWN_CLIPS, SAMPLE_RATE, Clip, load
from bench.harness.browsing import SPEECH_RATE, Visit, visiting, write_samples, write_tone, write_wav
from bench.harness.material import pieces
from bench.harness.stack import Stack
from bench.scoring import total, word_errors
from bench.stt.bench import Bench
from tests.corpus.streaming import client_of, hear

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.timeout(240)]

MAX_POINTS = 5.0
"""Word errors that the way through the browser may add to those of offline transcription."""
SILENCE_S = 2.0
PCM = "audio/pcm;rate=16000;channels=1;encoding=s16le"
CORPUS_CLIPS = 4
MIN_SECONDS = 5.0


def offline(clips: list[Clip]) -> list[str]:
    """The transcripts of the same audio as files by faster-whisper."""
    return Bench(OWN_CLIPS, 1.0, lambda _: None).offline("tiny.en").texts(clips)


@pytest.fixture(scope="module")
def bound() -> float:
    """The word errors that the page may make on the project's own clip."""
    [clip] = load(OWN_CLIPS, "speech")
    [reference] = offline([clip])
    return word_errors(clip.text, reference, "en").percent + MAX_POINTS


async def begin(visit: Visit, stack: Stack) -> None:
    await visit.enter_key(stack.key)
    await visit.page.select_option("#language", "en")
    await visit.page.click("#toggle")


async def finish(visit: Visit, clip: Clip) -> str:
    """Wait for the end of the clip and stop the call; return the page's text."""
    await visit.until_spoken(clip.seconds + SILENCE_S)
    await visit.page.click("#toggle")
    await visit.until_state("closed")
    assert await visit.page.inner_text("#interim") == ""
    assert not await visit.page.locator("#notice").is_visible()
    assert visit.problems == []
    return await visit.finals()


def microphone_of(clip: Clip, folder: Path) -> Path:
    path = folder / "microphone.wav"
    write_samples(path, clip.audio, SAMPLE_RATE, silence_s=60)
    return path


def address(stack: Stack) -> str:
    return f"http://localhost:{stack.http_port}/"


async def test_what_is_said_is_read(model_stack: Stack, bound: float, tmp_path: Path) -> None:
    [clip] = load(OWN_CLIPS, "speech")
    async with visiting(address(model_stack), microphone_of(clip, tmp_path), once=True) as visit:
        await begin(visit, model_stack)
        text = await finish(visit, clip)
    assert word_errors(clip.text, text, "en").percent <= bound


async def test_a_pulled_plug_changes_no_word(model_stack: Stack, tmp_path: Path) -> None:
    """The page's text equals that of an undisturbed stream of the same microphone samples."""
    [clip] = load(OWN_CLIPS, "speech")
    async with visiting(address(model_stack), microphone_of(clip, tmp_path), once=True) as visit:
        await begin(visit, model_stack)
        await visit.until("() => document.getElementById('interim').innerText.length > 0")
        await visit.page.click("#plug")
        await visit.until_state("suspended")
        await visit.page.wait_for_timeout(2000)  # two seconds of speech without a network
        await visit.page.click("#plug")
        await visit.until_state("open")
        text = await finish(visit, clip)
        samples = visit.audio()
    assert visit.sockets == 2
    assert len(samples) >= 2 * SPEECH_RATE * clip.seconds
    async with client_of(model_stack) as client:
        undisturbed = await hear(client, PCM, pieces(samples, 3_200), "en")
    assert text.split() == undisturbed.text.split()


async def test_a_phones_recording_is_read(model_stack: Stack, bound: float, tmp_path: Path) -> None:
    """An M4A has its index behind the sound."""
    [clip] = load(OWN_CLIPS, "speech")
    with av.open(str(tmp_path / "clip.m4a"), "w", format="mp4") as file:
        aac = file.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        assert isinstance(aac, av.AudioStream)
        aac.bit_rate = 128_000  # at the default rate, coding changes a word
        sound = av.AudioFrame.from_ndarray(clip.audio[None, :], format="fltp", layout="mono")
        sound.sample_rate = SAMPLE_RATE
        file.mux(aac.encode(sound))
        file.mux(aac.encode(None))
    content = (tmp_path / "clip.m4a").read_bytes()
    assert content.index(b"mdat") < content.index(b"moov")
    async with visiting(address(model_stack), microphone_of(clip, tmp_path), once=True) as visit:
        await visit.enter_key(model_stack.key)
        await visit.page.select_option("#language", "en")
        await visit.page.set_input_files("#file", tmp_path / "clip.m4a")
        await visit.until_says("Stopped")
        assert not await visit.page.locator("#notice").is_visible(), await visit.page.inner_text("#notice-text")
        assert word_errors(clip.text, await visit.finals(), "en").percent <= bound
        assert visit.problems == []


async def test_a_recording_that_breaks_off_is_read_as_far_as_it_goes_and_called_so(
    model_stack: Stack, tmp_path: Path
) -> None:
    [clip] = load(OWN_CLIPS, "speech")
    samples = (clip.audio * 32_767).astype("<i2").tobytes()
    write_wav(tmp_path / "whole.wav", samples, rate=SAMPLE_RATE)
    (tmp_path / "part.wav").write_bytes((tmp_path / "whole.wav").read_bytes()[: -len(samples) // 2])
    async with visiting(address(model_stack), tmp_path / "whole.wav") as visit:
        await visit.enter_key(model_stack.key)
        await visit.page.select_option("#language", "en")
        await visit.page.set_input_files("#file", tmp_path / "part.wav")
        await visit.until_says("Stopped")
        assert 0 < len((await visit.finals()).split()) < len(clip.text.split())
        missing = len(samples) // 2
        told = f"The recording is damaged or breaks off ({missing} bytes): words may be missing."
        assert await visit.page.inner_text("#notice-text") == told
        assert visit.starts[0]["mode"] == "file"
        assert visit.problems == []


async def test_a_file_that_is_no_recording_is_named_so(model_stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "notes.mp3").write_text("these are words already " * 1000)
    write_tone(tmp_path / "tone.wav")
    async with visiting(address(model_stack), tmp_path / "tone.wav") as visit:
        await visit.enter_key(model_stack.key)
        await visit.page.set_input_files("#file", tmp_path / "notes.mp3")
        await visit.until_says("Stopped")
        assert (await visit.page.inner_text("#notice-text")).startswith("The recording cannot be read: ")


@pytest.mark.corpus
async def test_people_are_read(model_stack: Stack, corpus: Path, tmp_path: Path) -> None:
    clips = [clip for clip in load(corpus, "speech", "en") if MIN_SECONDS <= clip.seconds < 2 * MIN_SECONDS]
    clips = clips[:: len(clips) // CORPUS_CLIPS][:CORPUS_CLIPS]
    texts = []
    for clip in clips:
        async with visiting(address(model_stack), microphone_of(clip, tmp_path), once=True) as visit:
            await begin(visit, model_stack)
            texts.append(await finish(visit, clip))
    references = await asyncio.to_thread(offline, clips)
    bound = total(word_errors(clip.text, text, "en") for clip, text in zip(clips, references, strict=True)).percent
    found = total(word_errors(clip.text, text, "en") for clip, text in zip(clips, texts, strict=True)).percent
    assert found <= bound + MAX_POINTS
