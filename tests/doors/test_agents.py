"""Frameworks for voice agents with their own Deepgram plugins, unmodified, and a real model: they hear every word.

`make test-doors` installs them (minutes) and runs these tests.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from talkup_client import Client

from bench.harness.stack import KEY, Stack
from tests.doors.conftest import SDK, run_sdk
from workers.fake.engine import expected_words

pytestmark = [pytest.mark.doors, pytest.mark.agents]


@pytest.mark.parametrize("script", ["livekit_deepgram.py", "pipecat_deepgram.py"])
def test_an_agent_hears_every_word(fake_stack: Stack, agents_python: Path, tmp_path: Path, script: str) -> None:
    recording = tmp_path / "talk.s16le"
    recording.write_bytes(random.Random(7).randbytes(64_000))
    finals = run_sdk(agents_python, SDK / script, fake_stack.http_url, KEY, recording)
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
