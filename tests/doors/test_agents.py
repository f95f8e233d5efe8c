"""Frameworks for voice agents with their own plugins for Deepgram and OpenAI, and a real model: they hear every word.

`make test-doors` installs them (minutes) and runs these tests.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import av
import pytest
from talkup_client import Client

from bench.harness.stack import KEY, Stack
from tests.doors.conftest import SDK, run_sdk
from workers.fake.engine import expected_words

pytestmark = [pytest.mark.doors, pytest.mark.agents]


@pytest.mark.parametrize("plugin", ["deepgram", "openai"])
@pytest.mark.parametrize("framework", ["livekit", "pipecat"])
def test_an_agent_hears_every_word(
    fake_stack: Stack, agents_python: Path, tmp_path: Path, framework: str, plugin: str
) -> None:
    recording = tmp_path / "talk.s16le"
    recording.write_bytes(random.Random(7).randbytes(64_000))
    finals = run_sdk(agents_python, SDK / f"{framework}_{plugin}.py", fake_stack.http_url, KEY, recording)
    assert " ".join(finals).split() == expected_words(recording.read_bytes())


@pytest.mark.model
async def test_text_is_that_of_our_own_protocol(model_stack: Stack, sdk_python: Path, speech_ogg: Path) -> None:
    async with (
        Client(model_stack.ws_url, key=KEY) as client,
        client.stream(format="audio", mode="file", language="en") as stream,
    ):
        await stream.send(speech_ogg.read_bytes())
        await stream.end()
        own = [final.text async for final in stream.finals()]
    [[kind, body]] = run_sdk(sdk_python, SDK / "deepgram_file.py", model_stack.http_url, KEY, speech_ogg, "{}")
    assert kind == "ListenV1Response"
    assert body["results"]["channels"][0]["alternatives"][0]["transcript"].split() == " ".join(own).split()
    [[kind, body]] = run_sdk(
        sdk_python, SDK / "openai_file.py", model_stack.http_url, KEY, speech_ogg, '{"language": "en"}'
    )
    assert kind == "Transcription"
    assert body["text"].split() == " ".join(own).split()


@pytest.mark.model
def test_turns_have_every_word_of_the_session(
    model_stack: Stack, sdk_python: Path, speech_ogg: Path, tmp_path: Path
) -> None:
    path = tmp_path / "talk.s16le"
    path.write_bytes(samples(speech_ogg, rate=24_000, seconds=10) + bytes(3 * 48_000))
    session_id, texts = run_sdk(sdk_python, SDK / "openai_turns.py", model_stack.http_url, KEY, path)
    url = f"{model_stack.http_url}/v1/sessions/{session_id.removeprefix('sess_')}/transcript"
    request = Request(url, headers={"Authorization": f"Bearer {KEY}"})
    with build_opener(ProxyHandler({})).open(request, timeout=20) as answer:
        stored = json.load(answer)["text"]
    assert len(texts) >= 2
    assert " ".join(texts).split() == stored.split()
    assert len(stored.split()) > 10


def samples(recording: Path, *, rate: int, seconds: int) -> bytes:
    """The start of a recording as mono samples of 16 bits."""
    resampler = av.AudioResampler("s16", "mono", rate)
    with av.open(str(recording)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return b"".join(frame.to_ndarray().tobytes() for frame in frames)[: 2 * rate * seconds]
