"""Real material through real processes: gateway, speech worker with its decoder children, Whisper.

tiny.en hears English, base everything else. Eight streams run at a time, as fast as the server takes them.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from rapidfuzz.distance import Levenshtein
from talkup_client import SpeechEvent
from talkup_client.stream import Stream

from tests.corpus.material import Clip, clips, pieces, recordings, slices, words
from tests.corpus.streaming import Heard, client_of, collect, hear, hear_all, web_packet
from tests.corpus.test_media_corpus import format_of
from tests.e2e.test_bad_input import BAD
from tests.e2e.test_direct_client import EXAMPLE
from tests.e2e.test_last_words import read_transcript
from tests.e2e.wire import open_wire
from tests.fakes.stack import Stack, child_environment, running_stack
from tests.unit.media.chunks import assert_same
from workers.media.pool import DecoderPool

pytestmark = [pytest.mark.corpus, pytest.mark.model, pytest.mark.timeout(400)]

MOST_CHANGED_BY_A_CUT = 0.02
JFK = "encoded/jfk"
GROUPS = (
    "jfk",
    "ls_1221-135766-0001",
    "lj_LJ001-0005",
    "chromium-mediarecorder",
    "fleurs_fr_001",
    "fleurs_fr_003",
    "fleurs_de_001",
    "mediarecorder",
)


def stack_of(tmp_path_factory: pytest.TempPathFactory, model: str) -> Iterator[Stack]:
    settings = {"WORKER_MODEL": model, "WORKER_SLOTS": "32"}
    patient = {"GATEWAY_WORKER_FINISH_S": "300"}
    with running_stack(
        folder=tmp_path_factory.mktemp(model),
        worker_arguments=("stt",),
        worker_settings=settings,
        gateway_settings=patient,
    ) as stack:
        yield stack


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The spine with tiny.en."""
    yield from stack_of(tmp_path_factory, "tiny.en")


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The spine with base, 99 languages."""
    yield from stack_of(tmp_path_factory, "base")


def distance(one: str, other: str, language: str) -> float:
    """Words that differ, relative to the longer text."""
    first, second = words(one, language), words(other, language)
    return Levenshtein.distance(first, second) / max(1, len(first), len(second))


def word_error(text: str, clip: Clip) -> float:
    reference = words(clip.text, clip.language)
    return Levenshtein.distance(reference, words(text, clip.language)) / len(reference)


def group_of(corpus: Path, group: str) -> list[Clip]:
    if group == "chromium-mediarecorder":
        return recordings(corpus)
    return [clip for clip in clips(corpus, "encoded-speech") if clip.path.parent.name == group]


def jfk_clip(corpus: Path, name: str = "chrome60.live.webm") -> Clip:
    return next(clip for clip in group_of(corpus, "jfk") if clip.path.name == name)


async def hear_on_its_own(stack: Stack, clip: Clip, chunks: list[bytes], mime: str | None = None) -> Heard:
    """A clip on a connection of its own."""
    async with client_of(stack) as client:
        return await hear(client, mime or clip.mime, chunks, clip.language)


# --- cuts


def cuts_of(clip: Clip) -> list[list[bytes]]:
    """Slices of 100 ms and 1,000 bytes; bare packets have their own borders."""
    recorded = slices(clip.path, clip.seconds)
    return [recorded] if clip.path.suffix == ".pkts" else [recorded, pieces(clip.data, 1000)]


@pytest.mark.parametrize("group", GROUPS)
async def test_the_cut_does_not_change_the_text(corpus: Path, request: pytest.FixtureRequest, group: str) -> None:
    found = group_of(corpus, group)
    assert found
    stack: Stack = request.getfixturevalue("english" if found[0].language == "en" else "multilingual")
    jobs = [(clip, cut) for clip in found for cut in cuts_of(clip)]
    heard = await hear_all([functools.partial(hear_on_its_own, stack, clip, cut) for clip, cut in jobs])
    by_clip: dict[str, list[Heard]] = {}
    for (clip, _), answer in zip(jobs, heard, strict=True):
        assert answer.error is None, clip.name
        assert answer.text, clip.name
        assert abs(answer.media_seconds - clip.seconds) < 0.5, clip.name
        by_clip.setdefault(clip.name, []).append(answer)
    for clip in found:
        first, *others = by_clip[clip.name]
        for other in others:
            assert other.media_seconds == first.media_seconds, clip.name
            assert distance(first.text, other.text, clip.language) <= MOST_CHANGED_BY_A_CUT, clip.name
