from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Measure(_message.Message):
    __slots__ = ("value", "confidence")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    value: float
    confidence: float
    def __init__(self, value: _Optional[float] = ..., confidence: _Optional[float] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("x", "y", "width", "height")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    width: float
    height: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ..., width: _Optional[float] = ..., height: _Optional[float] = ...) -> None: ...

class Face(_message.Message):
    __slots__ = ("box", "score", "track_id", "landmarks")
    BOX_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    LANDMARKS_FIELD_NUMBER: _ClassVar[int]
    box: Box
    score: float
    track_id: int
    landmarks: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, box: _Optional[_Union[Box, _Mapping]] = ..., score: _Optional[float] = ..., track_id: _Optional[int] = ..., landmarks: _Optional[_Iterable[float]] = ...) -> None: ...

class Framing(_message.Message):
    __slots__ = ("size_ratio", "dx", "dy", "headroom")
    SIZE_RATIO_FIELD_NUMBER: _ClassVar[int]
    DX_FIELD_NUMBER: _ClassVar[int]
    DY_FIELD_NUMBER: _ClassVar[int]
    HEADROOM_FIELD_NUMBER: _ClassVar[int]
    size_ratio: Measure
    dx: Measure
    dy: Measure
    headroom: Measure
    def __init__(self, size_ratio: _Optional[_Union[Measure, _Mapping]] = ..., dx: _Optional[_Union[Measure, _Mapping]] = ..., dy: _Optional[_Union[Measure, _Mapping]] = ..., headroom: _Optional[_Union[Measure, _Mapping]] = ...) -> None: ...

class PictureQuality(_message.Message):
    __slots__ = ("luma", "backlight_ratio", "sharpness", "ok", "reasons")
    LUMA_FIELD_NUMBER: _ClassVar[int]
    BACKLIGHT_RATIO_FIELD_NUMBER: _ClassVar[int]
    SHARPNESS_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    luma: Measure
    backlight_ratio: Measure
    sharpness: Measure
    ok: bool
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, luma: _Optional[_Union[Measure, _Mapping]] = ..., backlight_ratio: _Optional[_Union[Measure, _Mapping]] = ..., sharpness: _Optional[_Union[Measure, _Mapping]] = ..., ok: _Optional[bool] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class HeadPose(_message.Message):
    __slots__ = ("yaw", "pitch", "roll", "relative")
    YAW_FIELD_NUMBER: _ClassVar[int]
    PITCH_FIELD_NUMBER: _ClassVar[int]
    ROLL_FIELD_NUMBER: _ClassVar[int]
    RELATIVE_FIELD_NUMBER: _ClassVar[int]
    yaw: Measure
    pitch: Measure
    roll: Measure
    relative: bool
    def __init__(self, yaw: _Optional[_Union[Measure, _Mapping]] = ..., pitch: _Optional[_Union[Measure, _Mapping]] = ..., roll: _Optional[_Union[Measure, _Mapping]] = ..., relative: _Optional[bool] = ...) -> None: ...

class Gaze(_message.Message):
    __slots__ = ("horizontal", "vertical", "facing_camera")
    HORIZONTAL_FIELD_NUMBER: _ClassVar[int]
    VERTICAL_FIELD_NUMBER: _ClassVar[int]
    FACING_CAMERA_FIELD_NUMBER: _ClassVar[int]
    horizontal: Measure
    vertical: Measure
    facing_camera: Measure
    def __init__(self, horizontal: _Optional[_Union[Measure, _Mapping]] = ..., vertical: _Optional[_Union[Measure, _Mapping]] = ..., facing_camera: _Optional[_Union[Measure, _Mapping]] = ...) -> None: ...

class Eyes(_message.Message):
    __slots__ = ("ear_left", "ear_right", "closed")
    EAR_LEFT_FIELD_NUMBER: _ClassVar[int]
    EAR_RIGHT_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    ear_left: Measure
    ear_right: Measure
    closed: bool
    def __init__(self, ear_left: _Optional[_Union[Measure, _Mapping]] = ..., ear_right: _Optional[_Union[Measure, _Mapping]] = ..., closed: _Optional[bool] = ...) -> None: ...

class Mouth(_message.Message):
    __slots__ = ("open", "smile")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    SMILE_FIELD_NUMBER: _ClassVar[int]
    open: Measure
    smile: Measure
    def __init__(self, open: _Optional[_Union[Measure, _Mapping]] = ..., smile: _Optional[_Union[Measure, _Mapping]] = ...) -> None: ...

class ExpressionScore(_message.Message):
    __slots__ = ("label", "score")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    label: str
    score: float
    def __init__(self, label: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class FrameSignals(_message.Message):
    __slots__ = ("face_count", "face", "framing", "quality", "head", "gaze", "eyes", "mouth", "expression", "motion")
    FACE_COUNT_FIELD_NUMBER: _ClassVar[int]
    FACE_FIELD_NUMBER: _ClassVar[int]
    FRAMING_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    GAZE_FIELD_NUMBER: _ClassVar[int]
    EYES_FIELD_NUMBER: _ClassVar[int]
    MOUTH_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    MOTION_FIELD_NUMBER: _ClassVar[int]
    face_count: int
    face: Face
    framing: Framing
    quality: PictureQuality
    head: HeadPose
    gaze: Gaze
    eyes: Eyes
    mouth: Mouth
    expression: _containers.RepeatedCompositeFieldContainer[ExpressionScore]
    motion: Measure
    def __init__(self, face_count: _Optional[int] = ..., face: _Optional[_Union[Face, _Mapping]] = ..., framing: _Optional[_Union[Framing, _Mapping]] = ..., quality: _Optional[_Union[PictureQuality, _Mapping]] = ..., head: _Optional[_Union[HeadPose, _Mapping]] = ..., gaze: _Optional[_Union[Gaze, _Mapping]] = ..., eyes: _Optional[_Union[Eyes, _Mapping]] = ..., mouth: _Optional[_Union[Mouth, _Mapping]] = ..., expression: _Optional[_Iterable[_Union[ExpressionScore, _Mapping]]] = ..., motion: _Optional[_Union[Measure, _Mapping]] = ...) -> None: ...

class WindowSignals(_message.Message):
    __slots__ = ("t0_ms", "t1_ms", "whole_session", "frames", "presence_ratio", "facing_camera_ratio", "blinks_per_minute", "smile_ratio", "nods", "motion", "yaw_spread_degrees", "luma", "fps")
    T0_MS_FIELD_NUMBER: _ClassVar[int]
    T1_MS_FIELD_NUMBER: _ClassVar[int]
    WHOLE_SESSION_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_RATIO_FIELD_NUMBER: _ClassVar[int]
    FACING_CAMERA_RATIO_FIELD_NUMBER: _ClassVar[int]
    BLINKS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    SMILE_RATIO_FIELD_NUMBER: _ClassVar[int]
    NODS_FIELD_NUMBER: _ClassVar[int]
    MOTION_FIELD_NUMBER: _ClassVar[int]
    YAW_SPREAD_DEGREES_FIELD_NUMBER: _ClassVar[int]
    LUMA_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    t0_ms: int
    t1_ms: int
    whole_session: bool
    frames: int
    presence_ratio: Measure
    facing_camera_ratio: Measure
    blinks_per_minute: Measure
    smile_ratio: Measure
    nods: Measure
    motion: Measure
    yaw_spread_degrees: Measure
    luma: Measure
    fps: Measure
    def __init__(self, t0_ms: _Optional[int] = ..., t1_ms: _Optional[int] = ..., whole_session: _Optional[bool] = ..., frames: _Optional[int] = ..., presence_ratio: _Optional[_Union[Measure, _Mapping]] = ..., facing_camera_ratio: _Optional[_Union[Measure, _Mapping]] = ..., blinks_per_minute: _Optional[_Union[Measure, _Mapping]] = ..., smile_ratio: _Optional[_Union[Measure, _Mapping]] = ..., nods: _Optional[_Union[Measure, _Mapping]] = ..., motion: _Optional[_Union[Measure, _Mapping]] = ..., yaw_spread_degrees: _Optional[_Union[Measure, _Mapping]] = ..., luma: _Optional[_Union[Measure, _Mapping]] = ..., fps: _Optional[_Union[Measure, _Mapping]] = ...) -> None: ...

class VisionEvent(_message.Message):
    __slots__ = ("type", "t0_ms", "t1_ms", "confidence")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    T0_MS_FIELD_NUMBER: _ClassVar[int]
    T1_MS_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    type: str
    t0_ms: int
    t1_ms: int
    confidence: float
    def __init__(self, type: _Optional[str] = ..., t0_ms: _Optional[int] = ..., t1_ms: _Optional[int] = ..., confidence: _Optional[float] = ...) -> None: ...

class LatencyBreakdown(_message.Message):
    __slots__ = ("queue_ms", "decode_ms", "infer_ms")
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    DECODE_MS_FIELD_NUMBER: _ClassVar[int]
    INFER_MS_FIELD_NUMBER: _ClassVar[int]
    queue_ms: int
    decode_ms: int
    infer_ms: int
    def __init__(self, queue_ms: _Optional[int] = ..., decode_ms: _Optional[int] = ..., infer_ms: _Optional[int] = ...) -> None: ...

class Analysis(_message.Message):
    __slots__ = ("schema_version", "frame_seq", "media_time_ms", "captured_at_unix_ms", "latency", "frame", "window", "events", "delivery")
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    FRAME_SEQ_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    schema_version: int
    frame_seq: int
    media_time_ms: int
    captured_at_unix_ms: int
    latency: LatencyBreakdown
    frame: FrameSignals
    window: WindowSignals
    events: _containers.RepeatedCompositeFieldContainer[VisionEvent]
    delivery: Delivery
    def __init__(self, schema_version: _Optional[int] = ..., frame_seq: _Optional[int] = ..., media_time_ms: _Optional[int] = ..., captured_at_unix_ms: _Optional[int] = ..., latency: _Optional[_Union[LatencyBreakdown, _Mapping]] = ..., frame: _Optional[_Union[FrameSignals, _Mapping]] = ..., window: _Optional[_Union[WindowSignals, _Mapping]] = ..., events: _Optional[_Iterable[_Union[VisionEvent, _Mapping]]] = ..., delivery: _Optional[_Union[Delivery, _Mapping]] = ...) -> None: ...

class VisionOptions(_message.Message):
    __slots__ = ("signals", "expression", "max_fps", "every_frame")
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    MAX_FPS_FIELD_NUMBER: _ClassVar[int]
    EVERY_FRAME_FIELD_NUMBER: _ClassVar[int]
    signals: _containers.RepeatedScalarFieldContainer[str]
    expression: bool
    max_fps: int
    every_frame: bool
    def __init__(self, signals: _Optional[_Iterable[str]] = ..., expression: _Optional[bool] = ..., max_fps: _Optional[int] = ..., every_frame: _Optional[bool] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("origin_unix_ms", "frame", "window", "summary", "speech")
    ORIGIN_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    SPEECH_FIELD_NUMBER: _ClassVar[int]
    origin_unix_ms: int
    frame: DeliveryFrame
    window: DeliveryWindow
    summary: DeliverySummary
    speech: DeliverySpeech
    def __init__(self, origin_unix_ms: _Optional[int] = ..., frame: _Optional[_Union[DeliveryFrame, _Mapping]] = ..., window: _Optional[_Union[DeliveryWindow, _Mapping]] = ..., summary: _Optional[_Union[DeliverySummary, _Mapping]] = ..., speech: _Optional[_Union[DeliverySpeech, _Mapping]] = ...) -> None: ...

class DeliverySpeech(_message.Message):
    __slots__ = ("stretches", "settled_ms")
    STRETCHES_FIELD_NUMBER: _ClassVar[int]
    SETTLED_MS_FIELD_NUMBER: _ClassVar[int]
    stretches: _containers.RepeatedCompositeFieldContainer[SpeechStretch]
    settled_ms: int
    def __init__(self, stretches: _Optional[_Iterable[_Union[SpeechStretch, _Mapping]]] = ..., settled_ms: _Optional[int] = ...) -> None: ...

class SpeechStretch(_message.Message):
    __slots__ = ("t0_ms", "t1_ms")
    T0_MS_FIELD_NUMBER: _ClassVar[int]
    T1_MS_FIELD_NUMBER: _ClassVar[int]
    t0_ms: int
    t1_ms: int
    def __init__(self, t0_ms: _Optional[int] = ..., t1_ms: _Optional[int] = ...) -> None: ...

class DeliveryFrame(_message.Message):
    __slots__ = ("t0_ms", "t1_ms", "speech_ratio", "loudness_lufs", "pitch_hz", "words_per_minute", "pause_ms")
    T0_MS_FIELD_NUMBER: _ClassVar[int]
    T1_MS_FIELD_NUMBER: _ClassVar[int]
    SPEECH_RATIO_FIELD_NUMBER: _ClassVar[int]
    LOUDNESS_LUFS_FIELD_NUMBER: _ClassVar[int]
    PITCH_HZ_FIELD_NUMBER: _ClassVar[int]
    WORDS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    PAUSE_MS_FIELD_NUMBER: _ClassVar[int]
    t0_ms: int
    t1_ms: int
    speech_ratio: Measure
    loudness_lufs: Measure
    pitch_hz: Measure
    words_per_minute: Measure
    pause_ms: int
    def __init__(self, t0_ms: _Optional[int] = ..., t1_ms: _Optional[int] = ..., speech_ratio: _Optional[_Union[Measure, _Mapping]] = ..., loudness_lufs: _Optional[_Union[Measure, _Mapping]] = ..., pitch_hz: _Optional[_Union[Measure, _Mapping]] = ..., words_per_minute: _Optional[_Union[Measure, _Mapping]] = ..., pause_ms: _Optional[int] = ...) -> None: ...

class DeliveryWindow(_message.Message):
    __slots__ = ("t0_ms", "t1_ms", "whole_session", "words", "syllables", "words_per_minute", "syllables_per_minute", "articulation_rate", "speech_ratio", "pauses", "pauses_within_sentences", "pause_median_ms", "pause_longest_ms", "longest_monologue_ms", "repeated_words", "restarts", "filled_pauses", "loudness_lufs", "loudness_relative", "trailing_off_ratio", "pitch_hz", "pitch_range_semitones", "pitch_spread_semitones", "pitch_spread_relative")
    T0_MS_FIELD_NUMBER: _ClassVar[int]
    T1_MS_FIELD_NUMBER: _ClassVar[int]
    WHOLE_SESSION_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    SYLLABLES_FIELD_NUMBER: _ClassVar[int]
    WORDS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    SYLLABLES_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    ARTICULATION_RATE_FIELD_NUMBER: _ClassVar[int]
    SPEECH_RATIO_FIELD_NUMBER: _ClassVar[int]
    PAUSES_FIELD_NUMBER: _ClassVar[int]
    PAUSES_WITHIN_SENTENCES_FIELD_NUMBER: _ClassVar[int]
    PAUSE_MEDIAN_MS_FIELD_NUMBER: _ClassVar[int]
    PAUSE_LONGEST_MS_FIELD_NUMBER: _ClassVar[int]
    LONGEST_MONOLOGUE_MS_FIELD_NUMBER: _ClassVar[int]
    REPEATED_WORDS_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    FILLED_PAUSES_FIELD_NUMBER: _ClassVar[int]
    LOUDNESS_LUFS_FIELD_NUMBER: _ClassVar[int]
    LOUDNESS_RELATIVE_FIELD_NUMBER: _ClassVar[int]
    TRAILING_OFF_RATIO_FIELD_NUMBER: _ClassVar[int]
    PITCH_HZ_FIELD_NUMBER: _ClassVar[int]
    PITCH_RANGE_SEMITONES_FIELD_NUMBER: _ClassVar[int]
    PITCH_SPREAD_SEMITONES_FIELD_NUMBER: _ClassVar[int]
    PITCH_SPREAD_RELATIVE_FIELD_NUMBER: _ClassVar[int]
    t0_ms: int
    t1_ms: int
    whole_session: bool
    words: int
    syllables: int
    words_per_minute: Measure
    syllables_per_minute: Measure
    articulation_rate: Measure
    speech_ratio: Measure
    pauses: int
    pauses_within_sentences: int
    pause_median_ms: Measure
    pause_longest_ms: Measure
    longest_monologue_ms: Measure
    repeated_words: Measure
    restarts: Measure
    filled_pauses: Measure
    loudness_lufs: Measure
    loudness_relative: Measure
    trailing_off_ratio: Measure
    pitch_hz: Measure
    pitch_range_semitones: Measure
    pitch_spread_semitones: Measure
    pitch_spread_relative: Measure
    def __init__(self, t0_ms: _Optional[int] = ..., t1_ms: _Optional[int] = ..., whole_session: _Optional[bool] = ..., words: _Optional[int] = ..., syllables: _Optional[int] = ..., words_per_minute: _Optional[_Union[Measure, _Mapping]] = ..., syllables_per_minute: _Optional[_Union[Measure, _Mapping]] = ..., articulation_rate: _Optional[_Union[Measure, _Mapping]] = ..., speech_ratio: _Optional[_Union[Measure, _Mapping]] = ..., pauses: _Optional[int] = ..., pauses_within_sentences: _Optional[int] = ..., pause_median_ms: _Optional[_Union[Measure, _Mapping]] = ..., pause_longest_ms: _Optional[_Union[Measure, _Mapping]] = ..., longest_monologue_ms: _Optional[_Union[Measure, _Mapping]] = ..., repeated_words: _Optional[_Union[Measure, _Mapping]] = ..., restarts: _Optional[_Union[Measure, _Mapping]] = ..., filled_pauses: _Optional[_Union[Measure, _Mapping]] = ..., loudness_lufs: _Optional[_Union[Measure, _Mapping]] = ..., loudness_relative: _Optional[_Union[Measure, _Mapping]] = ..., trailing_off_ratio: _Optional[_Union[Measure, _Mapping]] = ..., pitch_hz: _Optional[_Union[Measure, _Mapping]] = ..., pitch_range_semitones: _Optional[_Union[Measure, _Mapping]] = ..., pitch_spread_semitones: _Optional[_Union[Measure, _Mapping]] = ..., pitch_spread_relative: _Optional[_Union[Measure, _Mapping]] = ...) -> None: ...

class DeliverySummary(_message.Message):
    __slots__ = ("whole", "pace", "pauses", "moments")
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    PACE_FIELD_NUMBER: _ClassVar[int]
    PAUSES_FIELD_NUMBER: _ClassVar[int]
    MOMENTS_FIELD_NUMBER: _ClassVar[int]
    whole: DeliveryWindow
    pace: _containers.RepeatedCompositeFieldContainer[PacePoint]
    pauses: _containers.RepeatedCompositeFieldContainer[PauseBucket]
    moments: _containers.RepeatedCompositeFieldContainer[Moment]
    def __init__(self, whole: _Optional[_Union[DeliveryWindow, _Mapping]] = ..., pace: _Optional[_Iterable[_Union[PacePoint, _Mapping]]] = ..., pauses: _Optional[_Iterable[_Union[PauseBucket, _Mapping]]] = ..., moments: _Optional[_Iterable[_Union[Moment, _Mapping]]] = ...) -> None: ...

class PacePoint(_message.Message):
    __slots__ = ("media_time_ms", "words_per_minute")
    MEDIA_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    WORDS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    media_time_ms: int
    words_per_minute: float
    def __init__(self, media_time_ms: _Optional[int] = ..., words_per_minute: _Optional[float] = ...) -> None: ...

class PauseBucket(_message.Message):
    __slots__ = ("from_ms", "to_ms", "within_sentences", "between_sentences")
    FROM_MS_FIELD_NUMBER: _ClassVar[int]
    TO_MS_FIELD_NUMBER: _ClassVar[int]
    WITHIN_SENTENCES_FIELD_NUMBER: _ClassVar[int]
    BETWEEN_SENTENCES_FIELD_NUMBER: _ClassVar[int]
    from_ms: int
    to_ms: int
    within_sentences: int
    between_sentences: int
    def __init__(self, from_ms: _Optional[int] = ..., to_ms: _Optional[int] = ..., within_sentences: _Optional[int] = ..., between_sentences: _Optional[int] = ...) -> None: ...

class Moment(_message.Message):
    __slots__ = ("type", "t0_ms", "t1_ms", "words")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    T0_MS_FIELD_NUMBER: _ClassVar[int]
    T1_MS_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    type: str
    t0_ms: int
    t1_ms: int
    words: str
    def __init__(self, type: _Optional[str] = ..., t0_ms: _Optional[int] = ..., t1_ms: _Optional[int] = ..., words: _Optional[str] = ...) -> None: ...

class DeliveryOptions(_message.Message):
    __slots__ = ("signals",)
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    signals: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, signals: _Optional[_Iterable[str]] = ...) -> None: ...
