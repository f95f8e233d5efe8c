"""Translation of a vision worker's results into the WebSocket's `analysis_result`."""

from __future__ import annotations

from msgspec import UNSET
from talkup.v1 import analysis_pb2, task_pb2

from gateway.protocol import messages as m
from gateway.protocol.measures import finite, fraction, measure
from gateway.protocol.negotiation import service_name


def analysis_message(
    stream_id: str, service: task_pb2.ServiceType, analysis: analysis_pb2.Analysis
) -> m.AnalysisResult:
    """One result of the vision service; what it could not measure is null."""
    data = m.AnalysisData(
        stream_id=stream_id,
        service_type=service_name(service),
        schema_version=analysis.schema_version,
        frame_seq=analysis.frame_seq,
        media_time_ms=analysis.media_time_ms,
        captured_at=analysis.captured_at_unix_ms if analysis.HasField("captured_at_unix_ms") else None,
        latency_ms=m.LatencyData(
            queue=analysis.latency.queue_ms, decode=analysis.latency.decode_ms, infer=analysis.latency.infer_ms
        ),
        frame=_frame(analysis.frame) if analysis.HasField("frame") else None,
        window=_window(analysis.window) if analysis.HasField("window") else None,
        events=[event_data(event) for event in analysis.events],
    )
    return m.AnalysisResult(stream_id=stream_id, data=data)


def _frame(frame: analysis_pb2.FrameSignals) -> m.FrameData:
    expression = [m.ExpressionData(label=score.label, score=finite(score.score)) for score in frame.expression]
    return m.FrameData(
        face_count=frame.face_count,
        face=_face(frame.face) if frame.HasField("face") else None,
        framing=_framing(frame.framing) if frame.HasField("framing") else None,
        quality=_quality(frame.quality) if frame.HasField("quality") else None,
        head=_head(frame.head) if frame.HasField("head") else None,
        gaze=_gaze(frame.gaze) if frame.HasField("gaze") else None,
        eyes=_eyes(frame.eyes) if frame.HasField("eyes") else None,
        mouth=_mouth(frame.mouth) if frame.HasField("mouth") else None,
        expression=expression or None,
        motion=measure(frame, "motion"),
    )


def _face(face: analysis_pb2.Face) -> m.FaceData:
    box = m.BoxData(
        x=finite(face.box.x), y=finite(face.box.y), width=finite(face.box.width), height=finite(face.box.height)
    )
    landmarks = [round(finite(value), 4) for value in face.landmarks] or UNSET
    return m.FaceData(box=box, score=finite(face.score), track_id=face.track_id, landmarks=landmarks)


def _framing(framing: analysis_pb2.Framing) -> m.FramingData:
    return m.FramingData(
        size_ratio=measure(framing, "size_ratio"),
        dx=measure(framing, "dx"),
        dy=measure(framing, "dy"),
        headroom=measure(framing, "headroom"),
    )


def _quality(quality: analysis_pb2.PictureQuality) -> m.QualityData:
    return m.QualityData(
        luma=measure(quality, "luma"),
        backlight_ratio=measure(quality, "backlight_ratio"),
        sharpness=measure(quality, "sharpness"),
        ok=quality.ok,
        reasons=list(quality.reasons),
    )


def _head(head: analysis_pb2.HeadPose) -> m.HeadData:
    return m.HeadData(
        yaw=measure(head, "yaw"),
        pitch=measure(head, "pitch"),
        roll=measure(head, "roll"),
        relative=head.relative,
    )


def _gaze(gaze: analysis_pb2.Gaze) -> m.GazeData:
    return m.GazeData(
        h=measure(gaze, "horizontal"), v=measure(gaze, "vertical"), facing_camera=measure(gaze, "facing_camera")
    )


def _eyes(eyes: analysis_pb2.Eyes) -> m.EyesData:
    return m.EyesData(
        ear_l=measure(eyes, "ear_left"),
        ear_r=measure(eyes, "ear_right"),
        closed=eyes.closed if eyes.HasField("closed") else None,
    )


def _mouth(mouth: analysis_pb2.Mouth) -> m.MouthData:
    return m.MouthData(open=measure(mouth, "open"), smile=measure(mouth, "smile"))


def _window(window: analysis_pb2.WindowSignals) -> m.WindowData:
    return m.WindowData(
        t0_ms=window.t0_ms,
        t1_ms=window.t1_ms,
        whole_session=window.whole_session,
        frames=window.frames,
        presence_ratio=measure(window, "presence_ratio"),
        facing_camera_ratio=measure(window, "facing_camera_ratio"),
        blinks_per_minute=measure(window, "blinks_per_minute"),
        smile_ratio=measure(window, "smile_ratio"),
        nods=measure(window, "nods"),
        motion=measure(window, "motion"),
        yaw_spread_degrees=measure(window, "yaw_spread_degrees"),
        luma=measure(window, "luma"),
        fps=measure(window, "fps"),
    )


def event_data(event: analysis_pb2.VisionEvent) -> m.EventData:
    """An event of any service."""
    return m.EventData(
        type=event.type,
        t0_ms=event.t0_ms,
        t1_ms=event.t1_ms if event.HasField("t1_ms") else None,
        confidence=fraction(event.confidence),
    )
