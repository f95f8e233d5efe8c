"""`talkup analyze --annotate`: what is drawn when, the file that comes out, and what is said where that cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from talkup_client import annotate, cli
from talkup_client.analyze import drawing_of
from talkup_client.errors import UnsupportedFileError, UnwritableFileError
from talkup_client.events import AnalysisResult, TranscriptUpdate
from talkup_client.findings import HOLD_MS, Findings, Moment
from talkup_client.media_file import MediaFile

from tests.unit.workers.media.material import mux
from tests.unit.workers.media.turned import MATRICES, QUARTERS, quarters_of, with_matrix
from tests.unit.workers.media.video_material import filmed, recording

FACE = {"box": {"x": 0.25, "y": 0.25, "width": 0.5, "height": 0.5}, "score": 0.9, "track_id": 1}


def frame(**parts: object) -> dict[str, object]:
    empty = dict.fromkeys(("face", "head", "gaze", "mouth", "quality"))
    return {"face_count": 1, **empty, **parts}


def result(media_ms: int, signals: dict[str, object] | None, *events: tuple[str, int, int | None]) -> AnalysisResult:
    listed = [{"type": name, "t0_ms": start, "t1_ms": end, "confidence": 0.5} for name, start, end in events]
    return AnalysisResult("s", media_ms, {"frame": signals, "events": listed})


def final(text: str, start_ms: int, end_ms: int) -> TranscriptUpdate:
    return TranscriptUpdate("s", 1, 1, True, text, len(text), 0.9, "en", start_ms, end_ms)


def findings() -> Findings:
    found = Findings()
    found.add(result(0, frame(face=FACE)))
    found.add(result(100, None, ("smile", 0, None)))
    found.add(result(1_000, frame(face_count=0), ("smile", 0, 900), ("face_back", 950, 950)))
    found.add(final("hello there", 200, 700))
    return found


def test_a_moment_has_the_newest_fresh_result_events_and_caption() -> None:
    timeline = findings().timeline()
    assert timeline.at(0) == Moment(frame(face=FACE), ("smile",), "")
    assert timeline.at(450).caption == "hello there"
    assert timeline.at(HOLD_MS + 1).frame is None
    assert timeline.at(1_000) == Moment(frame(face_count=0), ("face_back",), "")
    assert Findings().timeline().at(0) == Moment(None, (), "")


def test_a_face_is_drawn_where_it_is_and_nothing_where_nothing_is_known() -> None:
    picture = np.zeros((240, 320, 3), np.uint8)
    annotate.draw(picture, Moment(None, (), ""))
    assert not picture.any()
    head = {name: {"value": 0.0, "confidence": 0.9} for name in ("yaw", "pitch", "roll")}
    points = [value for i in range(468) for value in (0.4 + i / 4_680, 0.5)]
    annotate.draw(picture, Moment(frame(face={**FACE, "landmarks": points}, head=head), ("smile",), "hello"))
    assert picture[60:180, 80].any(axis=1).all()
    assert picture[120, 130:174].any(axis=1).all()
    assert not picture[200, 20].any()


@pytest.mark.parametrize(("yaw", "pitch", "x", "y"), [(30, 0, 1, 0), (-30, 0, -1, 0), (0, 20, 0, -1), (0, -20, 0, 1)])
def test_the_nose_points_where_the_head_does(yaw: float, pitch: float, x: int, y: int) -> None:
    nose = annotate._axes(np.radians(yaw), np.radians(pitch), 0.0)[2]
    assert np.sign(np.round(nose, 6)).tolist() == [x, y]


def test_every_frame_is_written_and_sound_is_kept(tmp_path: Path) -> None:
    source, target = tmp_path / "in.webm", tmp_path / "out.mp4"
    source.write_bytes(recording("libvpx", "webm"))
    assert annotate.annotate(source, findings(), target) == 24
    with av.open(str(target)) as file:
        frames = list(file.decode(video=0))
    assert [round(float(written.time or 0) * 12) for written in frames] == list(range(24))
    first = frames[0].to_ndarray(format="rgb24")[60:180, 80]
    assert (first[:, 1] > first[:, 0] + 40).mean() > 0.8  # the green box


@pytest.mark.parametrize(("matrix", "corners"), MATRICES)
def test_a_recording_that_asks_to_be_turned_is_drawn_upon_and_written_upright(
    tmp_path: Path, matrix: tuple[int, int, int, int], corners: str
) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    source.write_bytes(with_matrix(filmed([QUARTERS] * 3, codec="libx264", container="mp4"), *matrix))
    found = Findings()
    found.add(result(0, frame(face=FACE)))
    assert annotate.annotate(source, found, target) == 3
    with av.open(str(target)) as file:
        written = next(file.decode(video=0))
    assert written.rotation == 0
    picture = written.to_ndarray(format="rgb24")
    assert quarters_of(picture) == corners
    height, width = picture.shape[:2]
    side = picture[height // 2 - 20 : height // 2 + 20, width // 4 - 2 : width // 4 + 2].astype(int)
    assert (side[..., 1] > 150).any(axis=1).all()  # the left side of the green box


def test_a_recording_without_pictures_is_no_video(tmp_path: Path) -> None:
    sound = tmp_path / "sound.webm"
    sound.write_bytes(mux("webm", "libopus", 0.3))
    with pytest.raises(UnsupportedFileError, match="no pictures"):
        annotate.annotate(sound, Findings(), tmp_path / "out.mp4")
    sound.write_bytes(b"\x1aE\xdf\xa3 V_VP8")
    with pytest.raises(UnsupportedFileError):
        annotate.annotate(sound, Findings(), tmp_path / "out.mp4")


async def test_the_extra_is_named_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    video = tmp_path / "in.webm"
    video.write_bytes(recording("libvpx", "webm"))
    command = ["analyze", "--url", "ws://127.0.0.1:1/ws", str(video), "--annotate"]
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.delitem(sys.modules, "talkup_client.annotate")
    assert await cli.run([*command, str(tmp_path / "out.mp4")], {}) == cli.EXIT_USAGE
    assert "-m pip install 'av>=18.1,<19' 'numpy>=2.2,<3' 'opencv-python-headless" in capsys.readouterr().err
    assert await cli.run([*command, str(tmp_path / "no" / "out.mp4")], {}) == cli.EXIT_USAGE
    assert "no such folder" in capsys.readouterr().err
    assert await cli.run([*command, str(video)], {}) == cli.EXIT_USAGE
    assert "the recording itself" in capsys.readouterr().err


def test_the_command_itself_loads_no_picture_library() -> None:
    code = "import sys, talkup_client.cli; print({'av', 'cv2', 'numpy'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert shown.stdout.strip() == "set()"


def test_a_copy_that_cannot_be_written_is_named_before_the_work(tmp_path: Path) -> None:
    media = MediaFile(tmp_path / "talk.webm", "video/webm", 1)
    with pytest.raises(UnwritableFileError, match=r"/proc/out\.mp4 cannot be written"):
        drawing_of(media, Path("/proc/out.mp4"))
