"""Every kind of recording, picture and video at every door, as docs/recordings.md says; `make test` tries some."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.harness.browsing import visiting, write_tone
from bench.harness.stack import Stack
from tests.kinds.doors import FACE, by_analyze, by_command, by_page, by_socket, real_stack, write_all
from tests.kinds.pictures import SIGHTS
from tests.kinds.table import RECORDINGS, sights, wrong

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Speech and vision with the real models."""
    with real_stack(tmp_path_factory.mktemp("kinds-stack")) as stack:
        yield stack


async def test_every_recording_at_the_command(stack: Stack, tmp_path: Path) -> None:
    paths = write_all(RECORDINGS, tmp_path)
    assert wrong("command", RECORDINGS, await by_command(stack, paths)) == []


async def test_every_recording_at_the_page(stack: Stack, tmp_path: Path) -> None:
    paths = write_all(RECORDINGS, tmp_path)
    write_tone(tmp_path / "tone.wav", 1)
    async with visiting(f"http://localhost:{stack.http_port}/", tmp_path / "tone.wav") as visit:
        await visit.enter_key(stack.key)
        assert wrong("page", RECORDINGS, [await by_page(visit, path) for path in paths]) == []
        assert visit.problems == []


async def test_every_recording_at_a_socket(stack: Stack, tmp_path: Path) -> None:
    paths = write_all(RECORDINGS, tmp_path)
    answers = [await by_socket(stack, path, binary=number % 2 == 0) for number, path in enumerate(paths)]
    assert wrong("socket", RECORDINGS, answers) == []


async def test_every_picture_at_the_command(stack: Stack, tmp_path: Path) -> None:
    answers = {sight.name: (await by_analyze(stack, sight, tmp_path)).cell(FACE) for sight in SIGHTS}
    assert answers == {name: cell for name, (cell,) in sights().items()}
