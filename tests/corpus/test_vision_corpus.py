"""The vision chain on labelled clips and stills: counts, poses, smiles, event edges, mirror and rotation."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from talkup.v1 import analysis_pb2, media_pb2

from tests.unit.workers.vision import faces
from tests.unit.workers.vision.recompute import check_window
from workers.chunk import Chunk
from workers.media.video import VideoDecoder
from workers.vision.analyzer import Analyzer, Wanted
from workers.vision.face_reader import FaceFollower, ReadFace
from workers.vision.pictures import Picture, decode_image, from_yuv420

pytestmark = [pytest.mark.corpus, pytest.mark.model]

SMALL = "small"
"""In a label's pose: faces under 40 pixels, which are not counted."""

CHUNK = 20_000
ROLL_MS = 59_000 / 12
"""The rolling clip's sine closes with its last of 60 frames, 12 a second."""


@dataclass(frozen=True)
class Clip:
    """A row of the manifest and its pictures with their times in ms."""

    name: str
    row: dict[str, Any]
    pictures: tuple[tuple[int, Picture], ...]

    def label(self, media_ms: int) -> dict[str, Any] | None:
        """The label at a time; stills have one without times."""
        for label in self.row["labels"]:
            if "t0" not in label or label["t0"] * 1000 <= media_ms < label["t1"] * 1000:
                return dict(label)
        return None


@cache
def clips_of(corpus: Path) -> tuple[Clip, ...]:
    rows = [json.loads(line) for line in (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    readers = {"image": _still, "jpeg-frames": _folder, "video": _video}
    return tuple(
        Clip(row["file"], row, tuple(readers[row["kind"]](corpus / row["file"], row)))
        for row in rows
        if row["kind"] in readers
    )


def _still(path: Path, row: dict[str, Any]) -> Iterator[tuple[int, Picture]]:
    yield 0, decode_image(path.read_bytes())


def _folder(path: Path, row: dict[str, Any]) -> Iterator[tuple[int, Picture]]:
    for number, picture in enumerate(sorted(path.glob("*.jpg"))):
        yield round(number * 1000 / row["fps"]), decode_image(picture.read_bytes())


def _video(path: Path, row: dict[str, Any]) -> Iterator[tuple[int, Picture]]:
    mp4 = path.suffix == ".mp4"
    container = media_pb2.CONTAINER_MP4 if mp4 else media_pb2.CONTAINER_WEBM
    decoder = VideoDecoder(media_pb2.MediaFormat(mime_type=row["mime"], container=container))
    data = path.read_bytes()
    size = CHUNK if not mp4 else 1_000
    parts = [decoder.decode(Chunk(at // size, data[at : at + size])) for at in range(0, len(data), size)]
    for record in (record for part in [*parts, decoder.finish()] for record in part):
        if record.picture:
            yield record.media_ms, from_yuv420(record.picture, record.width, record.height)


def analyse(pictures: tuple[tuple[int, Picture], ...]) -> list[analysis_pb2.Analysis]:
    analyzer = Analyzer()
    results = [analyzer.analyze(faces.nets(), picture, at, Wanted()) for at, picture in pictures]
    return [*results, analyzer.finish()]


def read(picture: Picture) -> ReadFace | None:
    return FaceFollower().read(faces.nets(), picture, 0).face


def portraits(corpus: Path) -> list[Picture]:
    """Every still with one face, and every third frame of the clips with one."""
    return [
        picture
        for clip in clips_of(corpus)
        if clip.row["kind"] != "video" and all(label["faces"] == 1 for label in clip.row["labels"])
        for _, picture in clip.pictures[::3]
    ]


def test_the_number_of_faces_is_right(corpus: Path) -> None:
    right = total = 0
    for clip in clips_of(corpus):
        for (at, _), result in zip(clip.pictures, analyse(clip.pictures), strict=False):
            label = clip.label(at)
            if label is None or SMALL in label["pose"]:
                continue
            total += 1
            right += result.frame.face_count == label["faces"]
    assert total > 300
    assert right / total >= 0.95


def test_nobody_is_seen_where_nobody_is(corpus: Path) -> None:
    empty = [clip for clip in clips_of(corpus) if all(label["faces"] == 0 for label in clip.row["labels"])]
    assert len(empty) >= 6
    for clip in empty:
        assert {result.frame.face_count for result in analyse(clip.pictures)[:-1]} == {0}, clip.name


def test_smiles_with_teeth_are_found(corpus: Path) -> None:
    found = total = 0
    for clip in clips_of(corpus):
        for (at, _), result in zip(clip.pictures, analyse(clip.pictures), strict=False):
            label = clip.label(at)
            if label is None or not label["expression"].startswith("smile (teeth)") or label["eyes"] == "closed":
                continue
            total += 1
            found += result.frame.mouth.smile.value >= 0.5
    assert total > 200
    assert found / total >= 0.95


def test_frontal_faces_face_the_camera(corpus: Path) -> None:
    """All but within 3 degrees; the neutral portrait shows one ear only, the nose towards image right."""
    yaws = []
    for picture in portraits(corpus):
        face = read(picture)
        assert face is not None
        assert face.pose is not None
        yaws.append(face.pose.yaw)
    *others, turned = sorted(yaws)
    assert max(map(abs, others)) < 3
    assert 8 < turned < 16


def test_heads_of_frontal_clips_are_turned_to_the_camera_on_every_frame(corpus: Path) -> None:
    heads = 0
    for clip in clips_of(corpus):
        results = analyse(clip.pictures)
        for (at, _), result in zip(clip.pictures, results, strict=False):
            label = clip.label(at)
            if label is None or not label["pose"].startswith("frontal") or SMALL in label["pose"]:
                continue
            heads += 1
            assert abs(result.frame.head.yaw.value) < 15, (clip.name, at)
            assert abs(result.frame.head.pitch.value) < 15, (clip.name, at)
            assert result.frame.head.yaw.confidence > 0.2, (clip.name, at)
        if "male_smile" in clip.name:
            assert results[-1].window.yaw_spread_degrees.value < 3, clip.name
    assert heads > 300


def test_roll_follows_a_rolling_clip(corpus: Path) -> None:
    """The clip rolls as a sine of 20 degrees around the still's own tilt; the cut to 5 frames per second shifts it."""
    for clip in clips_of(corpus):
        if "synth_astronaut" not in clip.name:
            continue
        rolls = [
            (at, result.frame.head.roll.value)
            for (at, _), result in zip(clip.pictures, analyse(clip.pictures), strict=False)
        ]
        turns = np.array([2 * math.pi * at / ROLL_MS for at, _ in rolls])
        design = np.stack([np.sin(turns), np.cos(turns), np.ones_like(turns)], axis=1)
        fit, *_ = np.linalg.lstsq(design, np.array([roll for _, roll in rolls]), rcond=None)
        assert math.hypot(fit[0], fit[1]) == pytest.approx(20, abs=2)
        assert fit[2] == pytest.approx(3.3, abs=2)
        assert np.abs(design @ fit - [roll for _, roll in rolls]).max() <= 2


def test_a_mirror_image_has_the_mirrored_yaw(corpus: Path) -> None:
    sums = []
    for picture in portraits(corpus):
        face, mirror = read(picture), read(faces.mirrored(picture))
        assert face is not None
        assert mirror is not None
        assert face.pose is not None
        assert mirror.pose is not None
        sums.append(abs(face.pose.yaw + mirror.pose.yaw))
    assert np.percentile(sums, 90) <= 3


def test_roll_follows_a_turned_picture(corpus: Path) -> None:
    errors = []
    for picture in portraits(corpus):
        still = read(picture)
        for degrees in (-25, -10, 10, 25):
            turned = read(faces.rotated(picture, degrees))
            assert still is not None
            assert turned is not None
            assert still.pose is not None
            assert turned.pose is not None
            errors.append(abs(turned.pose.roll - still.pose.roll - degrees))
    assert np.percentile(errors, 90) <= 1


def test_edges_of_a_tilted_head_are_within_300_ms(corpus: Path) -> None:
    """Where the rolling clip's sine of 20 degrees, around the still's own 3.3, passes 15 degrees."""
    rolling = [clip for clip in clips_of(corpus) if "synth_astronaut" in clip.name]
    assert rolling
    for clip in rolling:
        times = np.arange(0, clip.pictures[-1][0] + 1)
        tilted = np.abs(3.3 - 20 * np.sin(2 * math.pi * times / ROLL_MS)) > 15
        edges = times[np.flatnonzero(np.diff(tilted.astype(int)))]
        events = [event for result in analyse(clip.pictures) for event in result.events if event.HasField("t1_ms")]
        found = [at for event in events if event.type == "head_tilt" for at in (event.t0_ms, event.t1_ms)]
        assert np.abs(np.array(found) - edges).max() <= 300, clip.name


def test_edges_of_a_smile_are_within_300_ms(corpus: Path) -> None:
    """A labelled smile from its clip's first frame to its last but one; and between stretches of a neutral portrait."""
    by_name = {clip.name: clip for clip in clips_of(corpus)}
    for name in ("video/male_smile/vp8.live.webm", "video/male_smile/vp9.webm", "video/synth_astronaut/vp8.live.webm"):
        pictures = by_name[name].pictures
        assert smiles(pictures) == [(pytest.approx(0, abs=300), pytest.approx(pictures[-1][0], abs=300))], name
    neutral = by_name["images/portrait_neutral.jpg"].pictures[0][1]
    smiling = [picture for _, picture in by_name["video/male_smile/vp9.webm"].pictures[:30]]
    shown = [*[neutral] * 20, *smiling, *[neutral] * 20]
    found = smiles(tuple((100 * i, picture) for i, picture in enumerate(shown)))
    assert found == [(pytest.approx(2_000, abs=300), pytest.approx(5_000, abs=300))]


def smiles(pictures: tuple[tuple[int, Picture], ...]) -> list[tuple[int, int]]:
    events = [event for result in analyse(pictures) for event in result.events]
    return [(event.t0_ms, event.t1_ms) for event in events if event.type == "smile" and event.HasField("t1_ms")]


def test_windows_are_those_of_their_frames(corpus: Path) -> None:
    windows = 0
    for clip in clips_of(corpus):
        results = analyse(clip.pictures)
        for at, result in enumerate(results):
            if result.HasField("window"):
                check_window(results[: at + 1], result.window)
                windows += 1
    assert windows > 20


def test_edges_of_a_lost_face_are_within_300_ms(corpus: Path) -> None:
    """Clips with and without a face, alternating, 15 frames each at 10 a second."""
    by_name = {clip.name: [picture for _, picture in clip.pictures] for clip in clips_of(corpus)}
    someone = by_name["video/male_smile/vp9.webm"][:15]
    nobody = by_name["video/car_noface/vp9.webm"][:15]
    pictures = tuple((100 * i, picture) for i, picture in enumerate([*someone, *nobody] * 3 + someone))
    events = [event for result in analyse(pictures) for event in result.events if event.HasField("t1_ms")]
    lost = [(event.t0_ms, event.t1_ms) for event in events if event.type == "face_lost"]
    assert len(lost) == 3
    for number, (start, end) in enumerate(lost):
        assert abs(start - (1_500 + 3_000 * number)) <= 300
        assert abs(end - (3_000 + 3_000 * number)) <= 300
    assert sum(event.type == "face_back" for event in events) == 3
