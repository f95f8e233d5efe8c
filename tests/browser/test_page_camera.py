"""The camera of the demo page with the real vision worker: it shows one face, or none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from bench.harness.browsing import Visit, visiting, write_camera, write_tone
from bench.harness.stack import Stack, running_stack
from tests.unit.workers.vision import faces

pytestmark = [pytest.mark.browser, pytest.mark.model]

FPS = 10
ENOUGH = 12
"""Pictures that a count is taken over."""
MEASURED = "() => document.getElementById('signals').innerText.includes('Facing the camera')"
"""Known once the worker has learned how the face rests, after three seconds."""
DRAWN = """() => {
  const canvas = document.getElementById("overlay");
  const { data, width } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const inked = [...data.keys()].filter((at) => at % 4 === 3 && data[at]).map((at) => at >> 2);
  if (inked.length === 0) return null;
  const [xs, ys] = [inked.map((at) => at % width), inked.map((at) => Math.floor(at / width))];
  const least = (all) => all.reduce((a, b) => Math.min(a, b));
  const most = (all) => all.reduce((a, b) => Math.max(a, b));
  return [least(xs), least(ys), most(xs), most(ys)];
}"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Scripted speech, real sight."""
    folder = tmp_path_factory.mktemp("camera-stack")
    with running_stack(vision=True, vision_arguments=("vision",), folder=folder) as stack:
        yield stack


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake microphone."""
    path = tmp_path_factory.mktemp("microphone") / "tone.wav"
    write_tone(path)
    return path


async def look(stack: Stack, tone: Path, camera: Path, *, face: bool) -> tuple[list[int], list[int] | None, list[str]]:
    """Open the page with a camera; return face counts, the drawing's edges (left, top, right, bottom), and signals."""
    async with visiting(f"http://localhost:{stack.http_port}/", tone, camera=camera) as visit:
        await visit.enter_key(stack.key)
        await visit.page.check("#camera")
        await visit.page.click("#toggle")
        await visit.when(lambda: len(visit.face_counts()) >= ENOUGH)
        if face:
            await visit.until(MEASURED)
        drawn = await visit.page.evaluate(DRAWN)
        signals = await visit.page.locator("#signals li").all_inner_texts()
        await visit.page.click("#toggle")
        await visit.until_state("closed")
        assert visit.problems == []
        return visit.face_counts(), drawn, signals


def film(corpus: Path, name: str) -> tuple[list[NDArray[np.uint8]], int]:
    """A labelled clip's pictures and the number of faces in each."""
    lines = (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    [row] = [row for row in map(json.loads, lines) if row["file"] == name]
    [count] = {label["faces"] for label in row["labels"]}
    with av.open(str(corpus / name)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)], count


async def test_a_face_is_found_and_drawn(stack: Stack, tone: Path, tmp_path: Path) -> None:
    wall = np.full((480, 640, 3), 120, np.uint8)
    portrait = faces.portrait()
    height, width, _ = portrait.shape
    left, top = (640 - width) // 2, (480 - height) // 2
    wall[top : top + height, left : left + width] = portrait
    write_camera(tmp_path / "camera.y4m", [wall] * FPS, FPS)
    counts, drawn, signals = await look(stack, tone, tmp_path / "camera.y4m", face=True)
    assert set(counts) == {1}
    assert "1 face" in signals
    assert drawn is not None
    assert drawn[0] < 320 < drawn[2]
    assert drawn[1] < 240 < drawn[3]


async def test_nobody_is_nobody(stack: Stack, tone: Path, tmp_path: Path) -> None:
    write_camera(tmp_path / "camera.y4m", [faces.empty(640, 480)] * FPS, FPS)
    counts, drawn, signals = await look(stack, tone, tmp_path / "camera.y4m", face=False)
    assert set(counts) == {0}
    assert drawn is None
    assert "0 faces" in signals


async def test_a_face_that_goes_is_noted_once(stack: Stack, tone: Path, tmp_path: Path) -> None:
    """The gateway reports an event twice, when it begins and when it is over; the page shows it once."""
    portrait, wall = faces.portrait(), faces.empty()
    write_camera(tmp_path / "camera.y4m", [portrait] * 2 * FPS + [wall] * 2 * FPS, FPS)

    def events_of(visit: Visit) -> list[dict[str, Any]]:
        results = [message["data"] for message in visit.received if message["type"] == "analysis_result"]
        return [event for result in results for event in result["events"] if event["type"] == "face_lost"]

    async with visiting(f"http://localhost:{stack.http_port}/", tone, camera=tmp_path / "camera.y4m") as visit:
        await visit.enter_key(stack.key)
        await visit.page.check("#camera")
        await visit.page.click("#toggle")
        await visit.when(lambda: any(event["t1_ms"] is not None for event in events_of(visit)))
        await visit.page.click("#toggle")
        await visit.until_state("closed")
        noted = (await visit.page.locator("#events").inner_text()).count("face lost")
        assert noted == len({event["t0_ms"] for event in events_of(visit)}) < len(events_of(visit))
        assert "time in the picture" in await visit.page.inner_text("#summary")
        assert visit.problems == []


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["video/male_smile/vp9.webm", "video/car_noface/vp9.webm"])
async def test_films_are_seen_as_they_are_labelled(
    stack: Stack, tone: Path, corpus: Path, tmp_path: Path, name: str
) -> None:
    pictures, count = film(corpus, name)
    write_camera(tmp_path / "camera.y4m", pictures, 12)
    counts, drawn, signals = await look(stack, tone, tmp_path / "camera.y4m", face=count > 0)
    assert set(counts) == {count}
    assert (drawn is not None) == (count > 0)
    assert signals[0] == ("1 face" if count == 1 else f"{count} faces")
