"""Draws findings into a copy of a recording, an MP4 file: boxes, mesh, pose, signals, events, captions.

Only this module needs the extra `annotate` (PyAV, OpenCV), so it is loaded on demand.
"""

from __future__ import annotations

import errno
import math
import struct
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.sidedata.sidedata import Type as SideData
from numpy.typing import NDArray

from talkup_client.errors import UnsupportedFileError, UnwritableFileError
from talkup_client.findings import Findings, Moment, Timeline

Picture = NDArray[np.uint8]
Matrix = tuple[int, int, int, int]

_ONE = 0x10000
_UPRIGHT: Matrix = (_ONE, 0, 0, _ONE)

_GREEN, _YELLOW, _WHITE, _BLACK = (80, 220, 80), (60, 220, 250), (255, 255, 255), (0, 0, 0)
_AXES = ((60, 60, 240), (80, 220, 80), (240, 140, 60))
_NOSE_TIP = 4
_MILLISECONDS = Fraction(1, 1000)
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_FONT = cv2.FontFace("sans")


def annotate(recording: Path, findings: Findings, output: Path) -> int:
    """Copy a recording with the findings of each frame drawn into it; return the number of frames.

    Times count from the recording's first packet of any track, as the gateway's do. A recording that asks to be turned
    is written upright. Raises UnsupportedFileError for a recording without pictures or one that FFmpeg cannot read, and
    UnwritableFileError for `output`.
    """
    timeline = findings.timeline()
    try:
        with av.open(str(recording)) as source:
            if not source.streams.video:
                raise UnsupportedFileError(f"{recording.name} contains no pictures")
            matrix = _display_matrix(recording)
            with av.open(str(output), "w", format="mp4") as sink:
                return _copy(source, sink, timeline, matrix)
    except FFmpegError as error:
        if isinstance(error, OSError) and (error.filename == str(output) or error.errno in _NO_ROOM):
            raise UnwritableFileError(f"{output} cannot be written: {error.strerror}") from None
        raise UnsupportedFileError(f"{recording.name}: {error.strerror}") from None


def _display_matrix(recording: Path) -> Matrix:
    """The matrix of a recording's pictures (ISO/IEC 14496-12, 6.2.2): (x, y) goes to (a x + c y, b x + d y)."""
    with av.open(str(recording)) as source:
        for frame in source.decode(video=0):
            side_data: Any = frame.side_data  # the package's own stubs know one entry only
            try:
                data = side_data[SideData.DISPLAYMATRIX]
            except KeyError:
                break
            a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
            return a, b, c, d
    return _UPRIGHT


def upright(picture: Picture, matrix: Matrix) -> Picture:
    """A picture turned by a quarter or more, or mirrored, as its matrix asks; other matrices are ignored."""
    a, b, c, d = matrix
    if abs(b) == abs(c) == _ONE and a == d == 0:
        return picture.transpose(1, 0, 2)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]
    if abs(a) == abs(d) == _ONE and b == c == 0:
        return picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return picture


def _copy(
    source: av.container.InputContainer, sink: av.container.OutputContainer, timeline: Timeline, matrix: Matrix
) -> int:
    """Draw on each picture and encode it; copy the sound unchanged."""
    pictures = source.streams.video[0]
    encoder = sink.add_stream("libx264", rate=pictures.guessed_rate or 25, options={"preset": "veryfast", "crf": "20"})
    shape = upright(np.empty((pictures.height, pictures.width, 3), np.uint8), matrix).shape
    encoder.width, encoder.height = shape[1] & ~1, shape[0] & ~1
    encoder.pix_fmt = "yuv420p"
    encoder.codec_context.time_base = _MILLISECONDS
    heard = source.streams.audio[0] if source.streams.audio else None
    sound = sink.add_stream_from_template(heard) if heard is not None else None
    count, origin_ms, last_ms = 0, None, -1
    for packet in source.demux([stream for stream in (pictures, heard) if stream is not None]):
        if origin_ms is None and packet.pts is not None:
            origin_ms = float(packet.pts * packet.time_base * 1000)
        if packet.stream is heard:
            if sound is not None and packet.dts is not None:
                packet.stream = sound
                sink.mux(packet)
            continue
        for frame in packet.decode():
            if not isinstance(frame, av.VideoFrame):
                continue
            at_ms = float(frame.time or 0.0) * 1000 - (origin_ms or 0.0)
            taken = np.asarray(frame.to_ndarray(format="bgr24"), dtype=np.uint8)
            picture = upright(taken, matrix)[: encoder.height, : encoder.width]
            drawn = _drawn(picture, timeline.at(at_ms))
            last_ms = drawn.pts = max(last_ms + 1, round(float(frame.time or 0.0) * 1000))
            sink.mux(encoder.encode(drawn))
            count += 1
    sink.mux(encoder.encode(None))
    return count


def _drawn(picture: Picture, moment: Moment) -> av.VideoFrame:
    picture = np.ascontiguousarray(picture, dtype=np.uint8)
    draw(picture, moment)
    drawn = av.VideoFrame.from_ndarray(picture, format="bgr24")
    drawn.time_base = _MILLISECONDS
    return drawn


def draw(picture: Picture, moment: Moment) -> None:
    """Draw a moment's findings into a picture of shape (height, width, 3), BGR."""
    height, width = picture.shape[:2]
    size = max(10, height // 24)
    frame = moment.frame
    if frame is not None:
        if frame["face"] is not None:
            _face(picture, frame["face"], frame["head"], size)
        lines = [f"faces {frame['face_count']}", *_signals(frame)]
        for row, line in enumerate(lines):
            _text(picture, line, (size // 2, (row + 1) * (size + 4)), size, _WHITE)
    for row, name in enumerate(moment.events):
        _text(picture, name, (width - size * 9, (row + 1) * (size + 4)), size, _YELLOW)
    for row, line in enumerate(reversed(_wrapped(moment.caption, max(10, 2 * width // size)))):
        _text(picture, line, (size, height - size // 2 - row * (size + 6)), size, _WHITE)


def _face(picture: Picture, face: Mapping[str, Any], head: Mapping[str, Any] | None, size: int) -> None:
    """Draw the box, the mesh if the result has one, and the direction of the head."""
    height, width = picture.shape[:2]
    box = face["box"]
    left, top = round(box["x"] * width), round(box["y"] * height)
    right, bottom = round((box["x"] + box["width"]) * width), round((box["y"] + box["height"]) * height)
    cv2.rectangle(picture, (left, top), (right, bottom), _GREEN, 2)
    _text(picture, f"{face['track_id']}  {face['score']:.2f}", (left, max(size, top - 4)), size, _GREEN)
    points = np.array(face.get("landmarks") or (), dtype=np.float32).reshape(-1, 2) * (width, height)
    for x, y in points:
        cv2.circle(picture, (round(float(x)), round(float(y))), 1, _YELLOW, -1, cv2.LINE_AA)
    if head is None or head["roll"] is None:
        return
    middle = points[_NOSE_TIP] if len(points) > _NOSE_TIP else np.array([(left + right) / 2, (top + bottom) / 2])
    yaw, pitch, roll = (math.radians(head[name]["value"] if head[name] else 0.0) for name in ("yaw", "pitch", "roll"))
    for tip, colour in zip(_axes(yaw, pitch, roll) * (right - left) / 2, _AXES, strict=True):
        start = (round(float(middle[0])), round(float(middle[1])))
        end = (round(float(middle[0] + tip[0])), round(float(middle[1] + tip[1])))
        cv2.arrowedLine(picture, start, end, colour, 2, cv2.LINE_AA)


def _axes(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """Directions of a head's left, top and nose in the picture, shape (3, 2), y down; angles in radians."""
    turn = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]])
    tilt = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    axes: NDArray[np.float64] = tilt @ turn @ nod @ np.diag([1.0, -1.0, 1.0])
    return axes[:2].T


def _signals(frame: Mapping[str, Any]) -> list[str]:
    """A line for each signal that was measured."""
    head, gaze, mouth = (frame[part] or {} for part in ("head", "gaze", "mouth"))
    names = (("yaw", head), ("pitch", head), ("roll", head), ("facing_camera", gaze), ("smile", mouth), ("open", mouth))
    lines = [f"{name} {part[name]['value']:+.2f}" for name, part in names if part.get(name)]
    reasons = (frame["quality"] or {}).get("reasons") or ()
    return [*lines, *reasons]


def _wrapped(text: str, columns: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + len(word) < columns:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _text(picture: Picture, text: str, where: tuple[int, int], size: int, colour: tuple[int, int, int]) -> None:
    """Draw text with a dark outline, so that it is legible on any background."""
    for shift in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        cv2.putText(picture, text, (where[0] + shift[0], where[1] + shift[1]), _BLACK, _FONT, size, 600)
    cv2.putText(picture, text, where, colour, _FONT, size, 600)
