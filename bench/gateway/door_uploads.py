"""What a recording costs the gateway: uploads in other dialects, compared with the one of `talkup transcribe`."""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import wave
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
from talkup_client import Client
from talkup_client.media_file import identify
from talkup_client.terminal import Silent
from talkup_client.transcribe import Transcript, transcribe

from bench.gateway.figures import Figures, rounded
from bench.harness.stack import KEY, Stack, running_stack
from workers.fake.engine import expected_words

_MINUTES = 4
_AT_ONCE = 8
_RATE = 16_000
_WORD_BYTES = 12_000
"""160 words a minute, as somebody speaks; the scripted engine has twelve times as many by itself."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file, its bytes, and the words that the scripted engine hears in them."""

    path: Path
    data: bytes
    words: int


Upload = Callable[[Stack, Recording], Awaitable[int]]
"""Uploads a recording; returns how many words came back."""


async def uploads(rounds: int) -> Figures:
    """CPU of the gateway for a minute of sound: our own upload, then those of other dialects, in turns."""
    found: dict[str, list[float]] = {name: [] for name in _UPLOADS}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_stack(worker_settings={"WORKER_WORD_BYTES": str(_WORD_BYTES)}) as stack,
    ):
        recording = _recording(Path(folder) / "recording.wav")
        for name in found:
            await _cpu_per_minute(stack, name, recording)
        for number in range(rounds):
            for name in list(found) if number % 2 == 0 else list(reversed(found)):
                found[name].append(await _cpu_per_minute(stack, name, recording))
    medians = {name: statistics.median(values) for name, values in found.items()}
    return {
        "ms_per_minute": {name: rounded(value) for name, value in medians.items()},
        "ratios": {name: rounded(value / medians["own"]) for name, value in medians.items() if name != "own"},
        "rounds": {name: [rounded(value) for value in values] for name, values in found.items()},
        "uploads_at_once": _AT_ONCE,
    }


async def _cpu_per_minute(stack: Stack, name: str, recording: Recording) -> float:
    """Milliseconds of CPU of the gateway's process per minute of sound, of some recordings uploaded at once."""
    process = psutil.Process(stack.gateway.pid)
    before = process.cpu_times()
    heard = await asyncio.gather(*(_UPLOADS[name](stack, recording) for _ in range(_AT_ONCE)))
    after = process.cpu_times()
    assert heard == [recording.words] * _AT_ONCE, (name, recording.words, heard)
    return 1000 * (after.user + after.system - before.user - before.system) / (_AT_ONCE * _MINUTES)


async def _own(stack: Stack, recording: Recording) -> int:
    transcript = Transcript()
    async with Client(stack.ws_url, key=KEY) as client:
        await transcribe(client, identify(recording.path), transcript, Silent(), language="en")
    return sum(len(segment.text.split()) for segment in transcript.segments)


async def _deepgram(stack: Stack, recording: Recording) -> int:
    headers = {"Authorization": f"Token {KEY}", "Content-Type": "audio/wav"}
    url = f"{stack.http_url}/v1/listen?language=en"
    async with aiohttp.ClientSession() as http, http.post(url, headers=headers, data=recording.data) as answer:
        body = await answer.json()
        assert answer.status == 200, body
    return len(body["results"]["channels"][0]["alternatives"][0]["transcript"].split())


async def _openai(stack: Stack, recording: Recording) -> int:
    form = aiohttp.FormData([("model", "whisper-1"), ("language", "en")])
    form.add_field("file", recording.data, filename=recording.path.name, content_type="audio/wav")
    url, headers = f"{stack.http_url}/v1/audio/transcriptions", {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession() as http, http.post(url, headers=headers, data=form) as answer:
        body = await answer.json()
        assert answer.status == 200, body
    return len(body["text"].split())


_UPLOADS: dict[str, Upload] = {"own": _own, "deepgram": _deepgram, "openai": _openai}


def _recording(path: Path) -> Recording:
    """Noise, as WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(random.Random(1).randbytes(60 * _MINUTES * _RATE * 2))
    data = path.read_bytes()
    return Recording(path, data, len(expected_words(data, word_bytes=_WORD_BYTES)))
