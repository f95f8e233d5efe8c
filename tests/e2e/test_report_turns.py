"""Two speakers of one session whose words have known times: their turns in the report, over the real processes."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from talkup_client import Client
from talkup_client.http_api import HttpApi
from talkup_client.report import fetch

from bench.harness.cluster import PCM
from bench.harness.stack import Stack

STARTED_AT = 1_796_000_000_000
SPOKEN_S = 5
TOLERANCE_MS = 100
WORD_MS = 31.25
"""A word of the scripted engine: 1000 bytes at 16 kHz and 16 bits. Times of words are whole milliseconds."""


async def conversation(stack: Stack, later_ms: int) -> dict[str, Any]:
    """The report of a session: each of two speakers speaks for five seconds, the second one `later_ms` later."""
    async with Client(stack.ws_url, key=stack.key) as client:
        for number, at in enumerate((STARTED_AT, STARTED_AT + later_ms)):
            async with client.stream(format=PCM, services=("stt", "delivery"), started_at=at) as stream:
                await stream.send(random.Random(number).randbytes(SPOKEN_S * 32_000))
                await stream.end()
                assert [final async for final in stream.finals()]
        session_id = client.session_id
    report: dict[str, Any] = json.loads(await fetch(HttpApi(stack.http_url, credential=stack.key), session_id, "json"))
    return report


async def test_an_overlap_is_as_long_as_it_was(fake_stack: Stack) -> None:
    report = await conversation(fake_stack, later_ms=2_000)
    assert [stream["offset_ms"] for stream in report["streams"]] == [0, 2_000]
    turns = report["turns"]
    (overlap,) = turns["overlaps"]
    assert (overlap["first"], overlap["second"]) == (0, 1)
    assert overlap["t0_ms"] == pytest.approx(2_000, abs=TOLERANCE_MS)
    assert overlap["t1_ms"] == pytest.approx(5_000, abs=TOLERANCE_MS)
    assert turns["overlap_ms"]["value"] == pytest.approx(3_000, abs=TOLERANCE_MS)
    assert [(each["by"], each["of"]) for each in turns["interruptions"]] == [(1, 0)]
    assert turns["responses"] == []


async def test_a_response_comes_as_late_as_it_came(fake_stack: Stack) -> None:
    report = await conversation(fake_stack, later_ms=5_800)
    turns = report["turns"]
    (response,) = turns["responses"]
    assert (response["of"], response["after"]) == (1, 0)
    assert response["latency_ms"] == pytest.approx(800, abs=WORD_MS)
    assert turns["speakers"][1]["response_ms"]["value"] == response["latency_ms"]
    assert (turns["overlaps"], turns["interruptions"]) == ([], [])
    assert [speaker["talk_ratio"]["value"] for speaker in report["speakers"]] == pytest.approx([0.5, 0.5], abs=0.01)
    assert [speaker["talk_ms"]["value"] for speaker in report["speakers"]] == pytest.approx([5_000, 5_000], abs=WORD_MS)
