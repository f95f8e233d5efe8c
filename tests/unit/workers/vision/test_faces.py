"""The chain on a real face: found, followed, turned, mirrored, in the dark; and nothing where nobody is."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from talkup.v1 import analysis_pb2

from tests.unit.workers.vision import faces
from workers.vision import pose
from workers.vision.analyzer import Analyzer, Wanted
from workers.vision.baseline import Baseline, Raw
from workers.vision.detector import Detection, Detector, overlaps
from workers.vision.face_reader import CONFIRMED_PIXELS, VOUCHED_MS, FaceFollower, FaceNets, Reading
from workers.vision.landmarks import EYE_KEPT_MS, Eye, Eyes, Mesh
from workers.vision.pictures import Picture, decode_image
from workers.vision.signals import measure

pytestmark = pytest.mark.model


def read(picture: Picture) -> Reading:
    return FaceFollower().read(faces.nets(), picture, 0)


def signals(picture: Picture, rest: Raw | None = None) -> analysis_pb2.FrameSignals:
    return measure(picture, read(picture), Baseline(rest), 0, None)[0]


def test_the_face_is_found_where_it_is() -> None:
    reading = read(faces.portrait())
    assert reading.count == 1
    assert reading.face is not None
    assert reading.face.score > 0.8
    expected = np.array([109, 68, 109 + 107, 68 + 107], dtype=np.float32)
    box = reading.face.box
    found = np.array([[box[0], box[1], box[0] + box[2], box[1] + box[3]]], dtype=np.float32)
    assert overlaps(expected, found)[0] > 0.7


def test_nobody_and_two() -> None:
    assert read(faces.empty()).count == 0
    assert read(np.zeros((480, 640, 3), np.uint8)).count == 0
    assert read(faces.pair()).count == 2


class FoundHead(Detector):
    """The detector, and a head that it finds wherever one was shown to it first."""

    def __init__(self, picture: Picture) -> None:
        super().__init__(faces.nets().detector._net)
        self._head = super().detect(picture)

    def detect(self, picture: Picture) -> list[Detection]:
        return self._head


def nets_that_find_the_head_of(picture: Picture) -> FaceNets:
    nets = copy.copy(faces.nets())
    nets.detector = FoundHead(picture)
    return nets


def test_a_head_from_behind_is_no_face() -> None:
    """The detector takes many for one: here it always does."""
    behind = faces.from_behind()
    nets = nets_that_find_the_head_of(faces.portrait())
    assert FaceFollower().read(nets, behind, 0).count == 0
    assert FaceFollower().read(nets, faces.portrait(), 0).count == 1
    beside = nets_that_find_the_head_of(faces.pair())
    reading = FaceFollower().read(beside, np.concatenate([behind, faces.mirrored(faces.portrait())], axis=1), 0)
    assert reading.count == 1
    assert reading.face is not None
    assert reading.face.box[0] > 320
    assert reading.face.mesh is not None


def test_a_face_that_was_seen_counts_for_a_second_behind_a_hand() -> None:
    nets = nets_that_find_the_head_of(faces.portrait())
    follower = FaceFollower()
    seen = follower.read(nets, faces.portrait(), 0)
    counts = [follower.read(nets, faces.from_behind(), ms) for ms in (200, VOUCHED_MS - 100, VOUCHED_MS + 400)]
    assert [reading.count for reading in counts] == [1, 1, 0]
    assert counts[1].face is not None
    assert seen.face is not None
    assert counts[1].face.track_id == seen.face.track_id
    assert counts[1].face.mesh is None


def test_of_a_small_face_the_detector_alone_decides() -> None:
    """The mesh cannot tell: it misses half of the real ones."""
    side = CONFIRMED_PIXELS - 4
    small = cv2.resize(faces.portrait(), None, fx=side / 107, fy=side / 107, interpolation=cv2.INTER_AREA)
    picture = faces.empty()
    picture[: small.shape[0], : small.shape[1]] = small
    nets = nets_that_find_the_head_of(picture)
    assert [round(float(found.box[3])) < CONFIRMED_PIXELS for found in nets.detector.detect(picture)] == [True]
    assert FaceFollower().read(nets, faces.empty(), 0).count == 1


@pytest.mark.parametrize("reduce", [1, 2])
def test_a_picture_is_turned_upright_by_its_exif(reduce: int) -> None:
    """Taken with the camera on its side, as telephones write it (orientation 6: turn clockwise)."""
    lying = faces.jpeg(np.asarray(cv2.rotate(faces.portrait(), cv2.ROTATE_90_COUNTERCLOCKWISE)))
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    exif = b"\xff\xe1" + (8 + len(tiff)).to_bytes(2, "big") + b"Exif\0\0" + tiff
    face = read(decode_image(lying[:2] + exif + lying[2:], reduce=reduce)).face
    assert face is not None
    assert face.pose is not None
    assert abs(face.pose.roll - 3.3) < 2


def test_a_dark_or_blurred_face_is_found_and_told() -> None:
    dark = (faces.portrait() * 0.15).astype(np.uint8)
    assert read(dark).count == 1
    assert "too_dark" in signals(dark).quality.reasons
    blurred = np.asarray(cv2.GaussianBlur(faces.portrait(), (0, 0), 5))
    assert read(blurred).count == 1
    assert "blurred" in signals(blurred).quality.reasons
    assert signals(faces.portrait()).quality.ok


@pytest.mark.parametrize("degrees", [-25, -12, 12, 25])
def test_roll_follows_the_picture(degrees: int) -> None:
    still = signals(faces.portrait()).head.roll.value
    turned = signals(faces.rotated(faces.portrait(), degrees)).head.roll.value
    assert turned - still == pytest.approx(degrees, abs=2)


def test_a_mirror_image_has_the_mirrored_pose() -> None:
    face, mirror = read(faces.portrait()).face, read(faces.mirrored(faces.portrait())).face
    assert face is not None
    assert face.pose is not None
    assert mirror is not None
    assert mirror.pose is not None
    assert face.pose.yaw == pytest.approx(-mirror.pose.yaw, abs=3)
    assert face.pose.roll == pytest.approx(-mirror.pose.roll, abs=2)
    assert face.pose.pitch == pytest.approx(mirror.pose.pitch, abs=4)


def test_a_face_that_moves_aside_does_not_turn() -> None:
    """The same picture elsewhere in the frame looks at the camera as before."""
    analyzer, angles = Analyzer(), []
    for i in range(95):
        aside = 0.0 if i < 35 else 0.3 * math.sin((i - 35) / 9)
        canvas = np.full((480, 640, 3), 120, np.uint8)
        place = np.array([[1, 0, 160 + 640 * aside], [0, 1, 96 + 200 * aside]], np.float32)
        cv2.warpAffine(faces.portrait(), place, (640, 480), dst=canvas, borderMode=cv2.BORDER_TRANSPARENT)
        frame = analyzer.analyze(faces.nets(), canvas, 100 * i, Wanted()).frame
        if frame.head.relative:
            angles.append((frame.head.yaw.value, frame.head.pitch.value))
            assert frame.gaze.facing_camera.value > 0.85
    assert len(angles) > 50
    assert np.abs(angles).max() < 4


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0, 0, 0), (20, 0, 0), (-30, 10, 0), (0, -15, 0), (10, 5, 25)])
def test_a_known_head_has_its_known_pose(yaw: float, pitch: float, roll: float) -> None:
    """Project the rigid head, turned by known angles, and solve for them."""
    a, b, c = (math.radians(angle) for angle in (yaw, pitch, roll))
    ry = np.array([[math.cos(a), 0, -math.sin(a)], [0, 1, 0], [math.sin(a), 0, math.cos(a)]])
    rx = np.array([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]])
    rz = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    head = pose._MODEL @ np.diag([1.0, -1.0, -1.0]) @ (ry @ rx.T @ rz).T + [0, 0, 700.0]
    points = np.zeros((468, 3), dtype=np.float32)
    points[pose._NUMBERS, 0] = head[:, 0] / head[:, 2] * 640 + 320
    points[pose._NUMBERS, 1] = head[:, 1] / head[:, 2] * 640 + 240
    solved = pose.solve(points, 640, 480)
    assert solved is not None
    tilt = math.radians(solved.roll)
    upright = np.array([[math.cos(tilt), math.sin(tilt), 0], [-math.sin(tilt), math.cos(tilt), 0], [0, 0, 1]])
    facing = upright @ (ry @ rx.T @ rz) @ [0, 0, -1]
    assert solved.yaw - 1.25 == pytest.approx(math.degrees(math.atan2(facing[0], -facing[2])), abs=0.2)
    assert solved.roll == pytest.approx(roll, abs=1.5)
    assert solved.error < 0.01


def test_points_without_sense_have_no_pose() -> None:
    assert pose.solve(np.full((468, 3), np.nan, dtype=np.float32), 640, 480) is None
    assert pose.solve(np.random.default_rng(1).uniform(0, 480, (468, 3)).astype(np.float32), 640, 480) is None


def test_a_head_is_never_seen_from_behind() -> None:
    """Of these meshes the direct solver turns 4 in 100 around."""
    mesh = mesh_of(faces.portrait()).points
    for seed in range(200):
        noise = np.random.default_rng(seed).normal(0, 0.7, mesh.shape).astype(np.float32)
        solved = pose.solve(mesh + noise, 320, 288)
        assert solved is not None
        assert abs(solved.yaw) < 15
        assert abs(solved.pitch + 13) < 20


def test_relative_signals_wait_for_the_rest() -> None:
    early = signals(faces.portrait())
    assert early.head.HasField("roll")
    assert not early.head.HasField("pitch")
    assert not early.HasField("gaze")
    assert not early.eyes.HasField("closed")
    assert early.mouth.smile.value > 0.5
    analyzer = Analyzer()
    for i in range(40):
        frame = analyzer.analyze(faces.nets(), faces.portrait(), i * 100, Wanted()).frame
    assert frame.head.relative
    assert abs(frame.head.pitch.value) < 1
    assert frame.gaze.facing_camera.value > 0.95
    assert frame.eyes.closed is False


def test_one_face_keeps_its_number_and_a_return_gets_a_new_one() -> None:
    follower, nets = FaceFollower(), faces.nets()
    numbers = []
    for i, picture in enumerate([faces.portrait()] * 7 + [faces.empty()] * 2 + [faces.portrait()] * 3):
        face = follower.read(nets, picture, 100 * i).face
        numbers.append(face.track_id if face is not None else None)
    assert numbers == [1] * 7 + [None] * 2 + [2] * 3


def beside(left: Picture, right: Picture) -> Picture:
    return np.concatenate([left, right], axis=1)


def wall() -> Picture:
    return np.full_like(faces.portrait(), 90)


@pytest.mark.parametrize(("step_ms", "most_ms"), [(33, 330), (67, 335), (100, 400), (200, 400)])
def test_a_second_face_is_seen_at_the_next_count(step_ms: int, most_ms: int) -> None:
    """It comes right after one, the longest that it can stay unseen: a third of a second, in whole frames."""
    follower, nets, looks, counts = FaceFollower(), faces.nets(), [], []
    for i in range(40):
        twice = len(looks) >= 3
        reading = follower.read(nets, faces.pair() if twice else beside(faces.portrait(), wall()), i * step_ms)
        looks += [i * step_ms] if reading.looked else []
        counts.append((i * step_ms, reading.count))
    seen = next(at for at, count in counts if count == 2)
    assert looks[2] < seen <= looks[2] + most_ms
    assert {count for at, count in counts if at >= seen} == {2}
    assert {later - earlier for earlier, later in pairwise(looks)} == {most_ms}


@pytest.mark.parametrize("phase", range(4))
def test_several_faces_are_dated_within_half_of_the_time_between_two_counts(phase: int) -> None:
    """The whole way from pictures to events, at 10 frames per second: a count every 400 ms."""
    analyzer, shown = Analyzer(), [1] * (12 + phase) + [2] * 21 + [1] * 14
    sent = []
    for i, count in enumerate(shown):
        picture = faces.pair() if count == 2 else beside(faces.portrait(), wall())
        sent += analyzer.analyze(faces.nets(), picture, i * 100, Wanted()).events
    (event,) = [event for event in sent if event.type == "multiple_faces" and event.HasField("t1_ms")]
    assert abs(event.t0_ms - (1_150 + 100 * phase)) <= 200
    assert abs(event.t1_ms - (3_250 + 100 * phase)) <= 200


def mesh_of(picture: Picture) -> Mesh:
    face = read(picture).face
    assert face is not None
    assert face.mesh is not None
    return face.mesh


def test_eyes_alternate_and_both_are_read_where_one_seems_to_close() -> None:
    reader, picture, mesh = faces.nets().eyes, faces.portrait(), mesh_of(faces.portrait())
    both = reader.read(picture, mesh, 0)
    left = reader.read(picture, mesh, 100, both)
    right = reader.read(picture, mesh, 200, left)
    assert [(eyes.left_ms, eyes.right_ms) for eyes in (both, left, right)] == [(0, 0), (100, 0), (100, 200)]
    assert (left.left, left.right) == (both.left, both.right) == (right.left, right.right)
    assert [eyes.newest for eyes in (both, left, right)] == [
        (both.left, both.right),
        (both.left, None),
        (None, both.right),
    ]
    wide = Eye(0.0, 0.0, 2 * both.left.opening)
    for left_next in (True, False):
        eyes = reader.read(picture, mesh, 100, Eyes(wide, wide, 50, 50, left_next))
        assert (eyes.left, eyes.right, eyes.left_ms, eyes.right_ms) == (both.left, both.right, 100, 100)


def test_eyes_take_turns_though_the_clock_stands() -> None:
    reader, picture, mesh = faces.nets().eyes, faces.portrait(), mesh_of(faces.portrait())
    odd = Eye(0.0, 0.0, 0.1)
    first = reader.read(picture, mesh, 100, Eyes(odd, odd, 100, 100))
    second = reader.read(picture, mesh, 100, first)
    assert (first.left != odd, first.right != odd) == (True, False)
    assert (second.left, second.right != odd) == (first.left, True)


def test_eyes_that_may_rest_are_read_again_before_they_are_old() -> None:
    reader, picture, mesh = faces.nets().eyes, faces.portrait(), mesh_of(faces.portrait())
    odd = Eye(0.0, 0.0, 0.1)
    recent = Eyes(odd, odd, 0, 150)
    assert reader.read(picture, mesh, 250, recent, rest=True) == recent
    again = reader.read(picture, mesh, 251, recent, rest=True)
    assert (again.left_ms, again.right, again.right_ms) == (251, odd, 150)
    assert again.left != odd


@pytest.mark.parametrize(("fps", "read"), [(30, 1.0), (15, 1.0), (10, 0.75), (5, 2.0)])
def test_eyes_rest_where_the_detector_looks_and_no_blink_can_be_seen(
    fps: int, read: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many eyes are read a picture, once the rate is known; and how old a number of one gets. The clock jitters."""
    follower, nets, runs, run = FaceFollower(), faces.nets(), [], faces.nets().eyes._net.run
    times = [round(i * 1000 / fps) + (i % 3 - 1) * 9 for i in range(1, 54)]
    monkeypatch.setattr(nets.eyes._net, "run", lambda picture: runs.append(1) or run(picture))
    for i, at in enumerate(times):
        if i == 13:
            runs.clear()
        face = follower.read(nets, faces.portrait(), at).face
        assert face is not None
        assert face.eyes is not None
        assert at - min(face.eyes.left_ms, face.eyes.right_ms) <= EYE_KEPT_MS
    assert len(runs) == pytest.approx(40 * read, abs=1)


def test_another_face_has_its_own_eyes_at_once() -> None:
    follower, nets = FaceFollower(), faces.nets()
    for i in range(9):
        follower.read(nets, beside(faces.portrait(), wall()), 100 * i)
    face = follower.read(nets, beside(wall(), faces.mirrored(faces.portrait())), 900).face
    assert face is not None
    assert face.track_id == 2
    assert face.eyes is not None
    assert (face.eyes.left_ms, face.eyes.right_ms) == (900, 900)


def test_closed_is_decided_by_the_eyes_that_were_read_last() -> None:
    rest = Raw(0.0, 0.0, 0.0, 0.0, 0.4, 0.3, 0.0)
    face = read(faces.portrait()).face
    assert face is not None
    for left, right, read_ms, closed in (
        (0.4, 0.3, (100, 100), False),
        (0.2, 0.15, (100, 100), True),
        (0.2, 0.3, (100, 0), True),
        (0.2, 0.3, (0, 100), False),
        (0.2, 0.3, (100, 100), False),  # a wink is no blink
    ):
        eyes = Eyes(Eye(0.0, 0.0, left), Eye(0.0, 0.0, right), *read_ms)
        reading = Reading(1, replace(face, eyes=eyes))
        found = measure(faces.portrait(), reading, Baseline(rest), 0, None)[0]
        assert found.eyes.closed is closed


def test_expression_is_appearance_and_only_on_request() -> None:
    analyzer = Analyzer()
    assert not analyzer.analyze(faces.nets(), faces.portrait(), 0, Wanted()).frame.expression
    asked = analyzer.analyze(faces.nets(), faces.portrait(), 100, Wanted(expression=True)).frame.expression
    assert {score.label for score in asked} == {"smile", "mouth_open", "brows_raised"}


def test_every_measure_has_a_confidence_between_0_and_1() -> None:
    def walk(message: object) -> None:
        for field, value in message.ListFields():  # type: ignore[attr-defined]
            if isinstance(value, analysis_pb2.Measure):
                assert 0 <= value.confidence <= 1, field.name
            elif field.message_type is not None and not hasattr(value, "append"):
                walk(value)

    for picture in (faces.portrait(), faces.empty(), faces.pair()):
        walk(signals(picture))
