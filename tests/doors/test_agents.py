"""Frameworks for voice agents with their own Deepgram plugins, unmodified: their finals have every word.

`make test-doors` installs them (minutes) and runs these tests.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

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
