"""What people bring, at every door: the right words (or the face), or one sentence; as docs/recordings.md says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.harness.browsing import visiting, write_tone
from bench.harness.stack import Stack
from tests.kinds.doors import FACE, by_analyze, by_command, by_page, by_socket, real_stack, write_all
from tests.kinds.pictures import SIGHTS
from tests.kinds.table import RECORDINGS, recordings, sights, wrong

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]

SOME = [
    "pcm_alaw in WAV",
    "WAV, damage behind",
    "MP3, second half",
    "AMR",
    "vorbis in Matroska",
    "H.264 and AAC in MOV, index at its end",
    "H.264 and AC-3 in Matroska",
    "AV1 and Opus in WebM",
    "WAV, four channels, one inverted",
    "ALAC in CAF",
    "M4A, recorder killed",
    "empty file",
]
SOME_SIGHTS = [
    "JPEG, turned by EXIF",
    "JPEG, first half",
    "WebP",
    "GIF",
    "HEIC",
    "text named JPEG",
    "H.264 in MP4, portrait",
    "H.264 in MP4, first half",
    "VP9 in WebM",
    "AV1 in MP4",
    "M4A, sound alone",
]
SOME_ROWS = [row for row in RECORDINGS if row.name in SOME]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Speech and vision with the real models."""
    with real_stack(tmp_path_factory.mktemp("kinds-stack")) as stack:
        yield stack


def test_the_page_names_every_kind_once() -> None:
    assert list(dict.fromkeys(row.name for row in RECORDINGS)) == [row.name for row in RECORDINGS]
    assert set(recordings()) == {row.name for row in RECORDINGS}
    assert set(sights()) == {sight.name for sight in SIGHTS}


async def test_recordings_at_the_command(stack: Stack, tmp_path: Path) -> None:
    assert wrong("command", SOME_ROWS, await by_command(stack, write_all(SOME_ROWS, tmp_path))) == []


@pytest.mark.browser
async def test_recordings_at_the_page(stack: Stack, tmp_path: Path) -> None:
    paths = write_all(SOME_ROWS, tmp_path)
    write_tone(tmp_path / "tone.wav", 1)
    async with visiting(f"http://localhost:{stack.http_port}/", tmp_path / "tone.wav") as visit:
        await visit.enter_key(stack.key)
        assert wrong("page", SOME_ROWS, [await by_page(visit, path) for path in paths]) == []
        assert visit.problems == []


async def test_recordings_at_a_socket(stack: Stack, tmp_path: Path) -> None:
    paths = write_all(SOME_ROWS, tmp_path)
    answers = [await by_socket(stack, path, binary=number % 2 == 0) for number, path in enumerate(paths)]
    assert wrong("socket", SOME_ROWS, answers) == []


async def test_pictures_at_the_command(stack: Stack, tmp_path: Path) -> None:
    documented = sights()
    for sight in SIGHTS:
        if sight.name in SOME_SIGHTS:
            answer = await by_analyze(stack, sight, tmp_path)
            assert (sight.name, answer.cell(FACE)) == (sight.name, documented[sight.name][0])
