"""Events on clips whose edges are known: reported, and dated within 300 ms of what the pictures show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache

import cv2
import numpy as np
import pytest
from talkup.v1 import analysis_pb2

from tests.unit.workers.vision import faces, puppet
from workers.vision.analyzer import Analyzer, Wanted
from workers.vision.events import CONDITIONS
from workers.vision.face_reader import FaceFollower
from workers.vision.pictures import Picture

pytestmark = pytest.mark.model

EDGE_MS = 300
REST_FRAMES = 45
"""At 10 frames per second: what is measured against the resting position is reported after it is known."""


def placed(scale: float, shift: float = 0.0) -> Picture:
    """The portrait larger or smaller, its face in the middle, or off it by a share of the width."""
    height, width = faces.portrait().shape[:2]
    x, y = 162 * scale, 122 * scale
    matrix = np.array([[scale, 0, width * (0.5 + shift) - x], [0, scale, height / 2 - y]])
    return np.asarray(cv2.warpAffine(faces.portrait(), matrix, (width, height), borderMode=cv2.BORDER_REPLICATE))


def backlit() -> Picture:
    face = np.zeros(faces.portrait().shape[:2], np.float32)
    cv2.ellipse(face, (162, 125), (75, 95), 0, 0, 360, 1.0, -1)
    face = np.asarray(cv2.GaussianBlur(face, (0, 0), 6))[..., None]
    bright = np.minimum(255.0, faces.portrait() * 0.5 + 140)
    return (face * (faces.portrait() * 0.5) + (1 - face) * bright).astype(np.uint8)


def blurred() -> Picture:
    return np.asarray(cv2.GaussianBlur(faces.portrait(), (0, 0), 5))


def alone() -> Picture:
    """As wide as the pair."""
    return np.concatenate([faces.portrait(), np.full_like(faces.portrait(), 120)], axis=1)


SCENES: dict[str, tuple[Callable[[], Picture], Callable[[], Picture]]] = {
    "face_lost": (faces.portrait, faces.empty),
    "multiple_faces": (alone, faces.pair),
    "looking_away": (faces.portrait, lambda: puppet.turned(35)),
    "too_dark": (faces.portrait, lambda: (faces.portrait() * 0.15).astype(np.uint8)),
    "backlit": (faces.portrait, backlit),
    "blurred": (faces.portrait, blurred),
    "off_center": (lambda: placed(0.8), lambda: placed(0.8, 0.33)),
    "too_close": (lambda: placed(1.0), lambda: placed(2.3)),
    "too_far": (lambda: placed(0.8), lambda: placed(0.27)),
    "smile": (puppet.without_smile, faces.portrait),
    "head_tilt": (faces.portrait, lambda: faces.rotated(faces.portrait(), 25)),
}
"""What is shown before and after the event, and while it lasts."""


@cache
def scene(name: str) -> tuple[Picture, Picture]:
    quiet, event = SCENES[name]
    return quiet(), event()


def ended(pictures: Iterable[Picture], step_ms: int) -> list[analysis_pb2.VisionEvent]:
    analyzer = Analyzer()
    results = [analyzer.analyze(faces.nets(), picture, i * step_ms, Wanted()) for i, picture in enumerate(pictures)]
    sent = [event for result in [*results, analyzer.finish()] for event in result.events]
    return [event for event in sent if event.HasField("t1_ms")]


def test_there_is_a_scene_for_every_lasting_event() -> None:
    assert set(SCENES) == {condition.type for condition in CONDITIONS}


@pytest.mark.parametrize(
    ("name", "step_ms"), [*((name, 100) for name in SCENES), ("face_lost", 67), ("multiple_faces", 67), ("smile", 200)]
)
def test_an_event_is_dated_where_the_pictures_change(name: str, step_ms: int) -> None:
    quiet, event = scene(name)
    rest = REST_FRAMES if name == "looking_away" else 12
    before, lasting, after = (round(frames * 100 / step_ms) for frames in (rest, 26, 14))
    sent = ended([quiet] * before + [event] * lasting + [quiet] * after, step_ms)
    found = [(each.t0_ms, each.t1_ms) for each in sent if each.type == name]
    assert len(found) == 1, sent
    assert abs(found[0][0] - before * step_ms) <= EDGE_MS
    assert abs(found[0][1] - (before + lasting) * step_ms) <= EDGE_MS
    if name == "face_lost":
        backs = [each.t0_ms for each in sent if each.type == "face_back"]
        assert len(backs) == 1
        assert abs(backs[0] - (before + lasting) * step_ms) <= EDGE_MS


@pytest.mark.parametrize("step_ms", [100, 67, 40])
def test_a_nod_is_dated_where_the_head_moves(step_ms: int) -> None:
    """Down for 0.3 s and up again; the movement is over half-way up at the latest."""
    begins, moves = REST_FRAMES * 100 // step_ms, 600 // step_ms
    down_and_up = [-round(22 * np.sin(np.pi * i / moves)) for i in range(1, moves)]
    pitches: Sequence[int] = [0] * begins + down_and_up + [0] * 15
    sent = ended([puppet.turned(0, pitch) for pitch in pitches], step_ms)
    nods = [each for each in sent if each.type == "nod"]
    assert len(nods) == 1, sent
    assert abs(nods[0].t0_ms - begins * step_ms) <= EDGE_MS
    assert abs(nods[0].t1_ms - (begins * step_ms + 600)) <= EDGE_MS


def test_a_turned_head_points_where_it_was_turned() -> None:
    """The drawing has no perspective and the network sees less of the turn; direction and order are right."""

    def pose(yaw: int, pitch: int) -> tuple[float, float]:
        face = FaceFollower().read(faces.nets(), puppet.turned(yaw, pitch), 0).face
        assert face is not None
        assert face.pose is not None
        return face.pose.yaw, face.pose.pitch

    yaws = [pose(yaw, 0)[0] for yaw in (-30, -15, 0, 15, 30)]
    pitches = [pose(0, pitch)[1] for pitch in (-20, -10, 0, 10, 20)]
    assert yaws == sorted(yaws)
    assert pitches == sorted(pitches)
    assert yaws[0] < -12
    assert yaws[-1] > 12
    assert pitches[-1] - pitches[0] > 12
