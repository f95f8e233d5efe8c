"""One stream's analysis: pictures in, `Analysis` messages out. Synchronous; one frame at a time, on any thread."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from talkup.v1 import analysis_pb2

from workers.vision.baseline import Baseline, Raw
from workers.vision.events import EventFinder, Memory
from workers.vision.face_reader import FaceFollower, FaceNets
from workers.vision.gestures import BLINK_FPS, NOD_FPS, BlinkFinder, NodFinder, RateMeter, fast_enough
from workers.vision.nets import Floats
from workers.vision.pictures import Picture
from workers.vision.signals import expression, fractions, measure
from workers.vision.windows import Sample, Windows, WindowsState

SCHEMA_VERSION = 1


class AnalyzerState(msgspec.Struct, frozen=True, array_like=True):
    """What another worker needs to continue; it contains no picture and no face."""

    rest: Raw | None = None
    memories: dict[str, Memory] = {}
    windows: WindowsState = WindowsState()
    last_track: int = 0
    pitches: list[tuple[int, float]] = []
    shut_at: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to measure in a frame: irises cost most; expression scores and mesh points only on request."""

    eyes: bool = True
    expression: bool = False
    landmarks: bool = False


class Analyzer:
    """Everything that is carried over from frame to frame."""

    def __init__(self, state: AnalyzerState | None = None) -> None:
        state = state or AnalyzerState()
        self._follower = FaceFollower(state.last_track)
        self._baseline = Baseline(state.rest)
        self._events = EventFinder(state.memories)
        self._windows = Windows(state.windows)
        recent = self._windows.recent
        self._rate = RateMeter(sample.media_ms for sample in recent)
        self._nods = NodFinder(state.pitches)
        self._blinks = BlinkFinder(state.shut_at)
        self._before: Floats | None = None
        self._last_ms: int | None = recent[-1].media_ms if recent else None

    @property
    def state(self) -> AnalyzerState:
        """A view of the current state; encode it at once."""
        return AnalyzerState(
            self._baseline.rest,
            self._events.memories,
            self._windows.state,
            self._follower.last_track,
            self._nods.recent,
            self._blinks.shut_at,
        )

    def analyze(self, nets: FaceNets, picture: Picture, media_ms: int, wanted: Wanted) -> analysis_pb2.Analysis:
        """The signals of the next frame, the events that begin or end with it, and the window that is due."""
        reading = self._follower.read(nets, picture, media_ms, with_eyes=wanted.eyes)
        frame, self._before = measure(picture, reading, self._baseline, media_ms, self._before)
        if wanted.expression and reading.face is not None:
            frame.expression.extend(expression(reading.face))
        if wanted.landmarks and reading.face is not None and reading.face.mesh is not None:
            height, width = picture.shape[:2]
            frame.face.landmarks.extend(fractions(reading.face.mesh.points, width, height))
        events = self._events.observe(frame, media_ms, counted=reading.looked)
        sample = self._sample(frame, media_ms, events)
        window = self._windows.add(sample)
        return analysis_pb2.Analysis(
            schema_version=SCHEMA_VERSION, media_time_ms=media_ms, frame=frame, window=window, events=events
        )

    def finish(self) -> analysis_pb2.Analysis:
        """The whole stream, and the end of the events that lasted."""
        last_ms = self._windows.totals.last_ms
        return analysis_pb2.Analysis(
            schema_version=SCHEMA_VERSION,
            media_time_ms=last_ms,
            window=self._windows.whole(),
            events=self._events.finish(last_ms),
        )

    def _sample(
        self, frame: analysis_pb2.FrameSignals, media_ms: int, events: list[analysis_pb2.VisionEvent]
    ) -> Sample:
        """What the windows need from a frame; adds a nod to the events."""
        fps = self._rate.add(media_ms)
        step = 0 if self._last_ms is None else max(0, media_ms - self._last_ms)
        self._last_ms = media_ms
        pitch = frame.head.pitch.value if frame.head.HasField("pitch") and fast_enough(fps, NOD_FPS) else None
        nod = self._nods.add(media_ms, pitch)
        if nod is not None:
            trust = frame.head.pitch.confidence
            events.append(
                analysis_pb2.VisionEvent(type="nod", t0_ms=nod.t0_ms, t1_ms=nod.t1_ms, confidence=0.7 * trust)
            )
        watching = frame.eyes.HasField("closed") and fast_enough(fps, BLINK_FPS)
        blink = self._blinks.add(media_ms, frame.eyes.closed if watching else None)
        return Sample(
            media_ms,
            frame.HasField("face"),
            frame.quality.luma.value,
            frame.gaze.facing_camera.value if frame.gaze.HasField("facing_camera") else None,
            frame.mouth.smile.value if frame.mouth.HasField("smile") else None,
            frame.motion.value if frame.HasField("motion") else None,
            frame.head.yaw.value if frame.head.HasField("yaw") else None,
            blinks=int(blink),
            nods=int(nod is not None),
            watched_ms=step if watching else 0,
            nods_ms=step if pitch is not None else 0,
            trust=frame.mouth.smile.confidence if frame.mouth.HasField("smile") else 0.0,
        )
