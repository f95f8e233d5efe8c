"""A worker is killed in the middle of a recording that it transcribes; the other one goes on, to the word."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.harness.actions import loads
from bench.harness.browsing import write_wav
from bench.harness.stack import running_stack
from tests.fakes.talkup import at, run, talkup
from tests.kinds.sounds import interview

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

RATE = 16_000
TIMES = 3
"""48 s: two windows."""


async def test_a_recording_goes_on_where_its_worker_was_killed(tmp_path: Path) -> None:
    samples = (interview(RATE) * 32_767).astype("<i2").tobytes()
    recording = tmp_path / "long.wav"
    write_wav(recording, samples * TIMES, RATE)
    settings = {"WORKER_MODEL": "tiny.en"}
    with running_stack(workers=2, worker_arguments=("stt",), worker_settings=settings, folder=tmp_path) as stack:
        status, undisturbed, said = await run("transcribe", *at(stack), recording)
        assert (status, said) == (0, "")
        assert undisturbed.count("Alice") == TIMES
        async with talkup("transcribe", *at(stack), recording) as command:
            first = await command.line()  # the first window is text; the others wait, or are decoded now
            served = await loads(stack)
            assert sum(served) == 1
            await asyncio.to_thread(stack.workers[served.index(1)].kill)
            status, rest = await command.ended()
        assert f"{first}\n{rest}" == undisturbed
        assert (status, command.said) == (0, "")
        assert "failover" in stack.gateway.log_text()
