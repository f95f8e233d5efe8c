"""A client that simply closes loses nothing: all received audio is transcribed and can be read."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import av
import pytest
import soundfile
from av.audio.resampler import AudioResampler

from bench.harness.stack import Stack
from bench.scoring import word_errors
from tests.e2e.wire import open_wire
from tests.fakes.talkup import at, run
from workers.fake.engine import expected_words


async def read_transcript(stack: Stack, session_id: str, last_word: str) -> str:
    """Poll the transcript until it contains `last_word` (recognition continues after the socket has closed)."""
    headers = {"Authorization": f"Bearer {stack.key}"}
    url = f"{stack.http_url}/v1/sessions/{session_id}/transcript?format=txt"
    text = ""
    async with asyncio.timeout(60), aiohttp.ClientSession(headers=headers) as http:
        while last_word not in text:
            async with http.get(url) as response:
                assert response.status in (200, 404)
                text = await response.text() if response.status == 200 else ""
            await asyncio.sleep(0.1)
    return text


async def test_close_1000_without_stream_end(fake_stack: Stack) -> None:
    media = bytes(range(256)) * 150
    async with open_wire(fake_stack.ws_url) as wire:
        session = await wire.until("session")
        await wire.send({"type": "stream_start", "stream_id": "s", "format": "audio/pcm", "sample_rate": 16000})
        await wire.send(media)
        await wire.socket.close(1000)
    words = expected_words(media)
    text = await read_transcript(fake_stack, session["data"]["session_id"], words[-1])
    assert text.split() == words


@pytest.mark.model
async def test_close_1000_with_the_real_model(model_stack: Stack, speech_ogg: Path, speech_text: str) -> None:
    async with open_wire(model_stack.ws_url) as wire:
        session = await wire.until("session")
        await wire.send({"type": "stream_start", "stream_id": "s", "format": "audio/ogg;codecs=opus"})
        await wire.send(speech_ogg.read_bytes())
        await wire.socket.close(1000)
    last = speech_text.rsplit(maxsplit=1)[-1].strip(".,").lower()
    text = await read_transcript(model_stack, session["data"]["session_id"], last)
    assert last in text.lower()


@pytest.mark.model
async def test_words_become_final_when_the_audio_just_stops(model_stack: Stack, speech_ogg: Path) -> None:
    """A muted microphone sends nothing more, not even silence; what comes later is a segment of its own."""
    audio, _ = soundfile.read(speech_ogg, dtype="int16")
    async with open_wire(model_stack.ws_url) as wire:
        await wire.send({"type": "stream_start", "stream_id": "s", "format": "audio/pcm", "language": "en"})
        for first in range(0, 4 * 16_000, 8_000):
            await wire.send(audio[first : first + 8_000].tobytes())
        ended = await wire.until(lambda message: message.get("data", {}).get("event") == "speech_ended")
        assert 3_500 <= ended["data"]["media_time_ms"] <= 4_000
        await wire.until(lambda message: message["type"] == "transcript_update" and message["data"]["is_final"])
        said = wire.finals()
        await wire.send(audio[4 * 16_000 : 7 * 16_000].tobytes())
        await wire.send({"type": "stream_end", "stream_id": "s"})
        done = await wire.until("stream_ended")
    assert said[-1]["end_ms"] > 3_300
    later = wire.finals()[len(said) :]
    assert later
    assert later[0]["start_ms"] >= said[-1]["end_ms"]
    assert done["data"]["media_seconds"] == 7.0


@pytest.mark.model
async def test_a_recording_is_transcribed_as_one(model_stack: Stack, speech_ogg: Path, speech_text: str) -> None:
    status, said, errors = await run("transcribe", *at(model_stack), "--format", "json", speech_ogg)
    assert status == 0, errors
    found = json.loads(said)
    assert word_errors(speech_text, found["text"], "en").errors <= 3
    assert len(found["segments"]) >= 3
    assert sum(len(segment["words"]) for segment in found["segments"]) == len(found["text"].split())


@pytest.mark.model
async def test_recordings_as_phones_and_old_programs_write_them_are_transcribed(
    model_stack: Stack, speech_ogg: Path, speech_text: str, tmp_path: Path
) -> None:
    """A voice memo has its index behind the sound; an AVI is decoded by the command."""
    memo = convert(speech_ogg, tmp_path / "memo.m4a", "mp4", "aac", 48_000)
    old = convert(speech_ogg, tmp_path / "old.avi", "avi", "pcm_s16le", 16_000)
    assert memo.read_bytes().index(b"mdat") < memo.read_bytes().index(b"moov")
    status, out, said = await run("transcribe", *at(model_stack), "--format", "json", memo, old)
    assert (status, said) == (0, "")
    last = speech_text.rsplit(maxsplit=1)[-1].strip(".,").lower()
    assert [last in each["text"].lower() for each in json.loads(out)] == [True, True]


def convert(source: Path, target: Path, container: str, codec: str, rate: int) -> Path:
    """The sound of a recording in another container and codec, as FFmpeg writes it."""
    with av.open(str(source)) as recording, av.open(str(target), "w", format=container) as file:
        sound = file.add_stream(codec, rate=rate, layout="mono")
        shape = sound.codec_context.format.name
        fit = AudioResampler(shape, "mono", rate, sound.codec_context.frame_size or 1_024)
        for frame in (*recording.decode(audio=0), None):
            for piece in fit.resample(frame):
                file.mux(sound.encode(piece))
        file.mux(sound.encode(None))
    return target
