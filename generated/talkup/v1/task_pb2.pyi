from talkup.v1 import analysis_pb2 as _analysis_pb2
from talkup.v1 import error_pb2 as _error_pb2
from talkup.v1 import media_pb2 as _media_pb2
from talkup.v1 import transcript_pb2 as _transcript_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ServiceType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SERVICE_TYPE_UNSPECIFIED: _ClassVar[ServiceType]
    SERVICE_TYPE_STT: _ClassVar[ServiceType]
    SERVICE_TYPE_VISION: _ClassVar[ServiceType]
    SERVICE_TYPE_DELIVERY: _ClassVar[ServiceType]

class DropReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DROP_REASON_UNSPECIFIED: _ClassVar[DropReason]
    DROP_REASON_OVERLOAD: _ClassVar[DropReason]
    DROP_REASON_STALE: _ClassVar[DropReason]
    DROP_REASON_CORRUPT: _ClassVar[DropReason]
SERVICE_TYPE_UNSPECIFIED: ServiceType
SERVICE_TYPE_STT: ServiceType
SERVICE_TYPE_VISION: ServiceType
SERVICE_TYPE_DELIVERY: ServiceType
DROP_REASON_UNSPECIFIED: DropReason
DROP_REASON_OVERLOAD: DropReason
DROP_REASON_STALE: DropReason
DROP_REASON_CORRUPT: DropReason

class TaskRequest(_message.Message):
    __slots__ = ("session_id", "stream_id", "service_type", "protocol_version", "attempt", "start", "chunk", "flush", "end")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_TYPE_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    FLUSH_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    stream_id: str
    service_type: ServiceType
    protocol_version: str
    attempt: int
    start: StreamStart
    chunk: _media_pb2.Chunk
    flush: StreamFlush
    end: StreamEnd
    def __init__(self, session_id: _Optional[str] = ..., stream_id: _Optional[str] = ..., service_type: _Optional[_Union[ServiceType, str]] = ..., protocol_version: _Optional[str] = ..., attempt: _Optional[int] = ..., start: _Optional[_Union[StreamStart, _Mapping]] = ..., chunk: _Optional[_Union[_media_pb2.Chunk, _Mapping]] = ..., flush: _Optional[_Union[StreamFlush, _Mapping]] = ..., end: _Optional[_Union[StreamEnd, _Mapping]] = ...) -> None: ...

class StreamStart(_message.Message):
    __slots__ = ("kind", "format", "speech", "vision", "resume_state", "delivery")
    KIND_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SPEECH_FIELD_NUMBER: _ClassVar[int]
    VISION_FIELD_NUMBER: _ClassVar[int]
    RESUME_STATE_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    kind: _media_pb2.MediaKind
    format: _media_pb2.MediaFormat
    speech: _transcript_pb2.SpeechOptions
    vision: _analysis_pb2.VisionOptions
    resume_state: bytes
    delivery: _analysis_pb2.DeliveryOptions
    def __init__(self, kind: _Optional[_Union[_media_pb2.MediaKind, str]] = ..., format: _Optional[_Union[_media_pb2.MediaFormat, _Mapping]] = ..., speech: _Optional[_Union[_transcript_pb2.SpeechOptions, _Mapping]] = ..., vision: _Optional[_Union[_analysis_pb2.VisionOptions, _Mapping]] = ..., resume_state: _Optional[bytes] = ..., delivery: _Optional[_Union[_analysis_pb2.DeliveryOptions, _Mapping]] = ...) -> None: ...

class StreamFlush(_message.Message):
    __slots__ = ("flush_id",)
    FLUSH_ID_FIELD_NUMBER: _ClassVar[int]
    flush_id: int
    def __init__(self, flush_id: _Optional[int] = ...) -> None: ...

class StreamEnd(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TaskResult(_message.Message):
    __slots__ = ("session_id", "stream_id", "service_type", "attempt", "progress", "started", "transcript", "analysis", "speech_event", "flow", "flushed", "ended", "error", "drain", "delivery")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_TYPE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    ANALYSIS_FIELD_NUMBER: _ClassVar[int]
    SPEECH_EVENT_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    FLUSHED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    stream_id: str
    service_type: ServiceType
    attempt: int
    progress: Progress
    started: Started
    transcript: _transcript_pb2.Transcript
    analysis: _analysis_pb2.Analysis
    speech_event: _transcript_pb2.SpeechEvent
    flow: Flow
    flushed: Flushed
    ended: Ended
    error: _error_pb2.Error
    drain: Drain
    delivery: _containers.RepeatedCompositeFieldContainer[_analysis_pb2.Analysis]
    def __init__(self, session_id: _Optional[str] = ..., stream_id: _Optional[str] = ..., service_type: _Optional[_Union[ServiceType, str]] = ..., attempt: _Optional[int] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., started: _Optional[_Union[Started, _Mapping]] = ..., transcript: _Optional[_Union[_transcript_pb2.Transcript, _Mapping]] = ..., analysis: _Optional[_Union[_analysis_pb2.Analysis, _Mapping]] = ..., speech_event: _Optional[_Union[_transcript_pb2.SpeechEvent, _Mapping]] = ..., flow: _Optional[_Union[Flow, _Mapping]] = ..., flushed: _Optional[_Union[Flushed, _Mapping]] = ..., ended: _Optional[_Union[Ended, _Mapping]] = ..., error: _Optional[_Union[_error_pb2.Error, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., delivery: _Optional[_Iterable[_Union[_analysis_pb2.Analysis, _Mapping]]] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("model", "capabilities", "resumed", "slots", "worker_version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    WORKER_VERSION_FIELD_NUMBER: _ClassVar[int]
    model: ModelInfo
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    resumed: bool
    slots: Slots
    worker_version: str
    def __init__(self, model: _Optional[_Union[ModelInfo, _Mapping]] = ..., capabilities: _Optional[_Iterable[str]] = ..., resumed: _Optional[bool] = ..., slots: _Optional[_Union[Slots, _Mapping]] = ..., worker_version: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("committed_sequence", "committed_media_ms", "replay_from_sequence", "resume_state")
    COMMITTED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_MEDIA_MS_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FROM_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RESUME_STATE_FIELD_NUMBER: _ClassVar[int]
    committed_sequence: int
    committed_media_ms: int
    replay_from_sequence: int
    resume_state: bytes
    def __init__(self, committed_sequence: _Optional[int] = ..., committed_media_ms: _Optional[int] = ..., replay_from_sequence: _Optional[int] = ..., resume_state: _Optional[bytes] = ...) -> None: ...

class Flow(_message.Message):
    __slots__ = ("behind_ms", "frames_received", "frames_decoded", "frames_analyzed", "dropped", "suggested_fps", "suggested_width", "suggested_height")
    BEHIND_MS_FIELD_NUMBER: _ClassVar[int]
    FRAMES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    FRAMES_DECODED_FIELD_NUMBER: _ClassVar[int]
    FRAMES_ANALYZED_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    SUGGESTED_FPS_FIELD_NUMBER: _ClassVar[int]
    SUGGESTED_WIDTH_FIELD_NUMBER: _ClassVar[int]
    SUGGESTED_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    behind_ms: int
    frames_received: int
    frames_decoded: int
    frames_analyzed: int
    dropped: _containers.RepeatedCompositeFieldContainer[DropCount]
    suggested_fps: int
    suggested_width: int
    suggested_height: int
    def __init__(self, behind_ms: _Optional[int] = ..., frames_received: _Optional[int] = ..., frames_decoded: _Optional[int] = ..., frames_analyzed: _Optional[int] = ..., dropped: _Optional[_Iterable[_Union[DropCount, _Mapping]]] = ..., suggested_fps: _Optional[int] = ..., suggested_width: _Optional[int] = ..., suggested_height: _Optional[int] = ...) -> None: ...

class DropCount(_message.Message):
    __slots__ = ("reason", "count")
    REASON_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    reason: DropReason
    count: int
    def __init__(self, reason: _Optional[_Union[DropReason, str]] = ..., count: _Optional[int] = ...) -> None: ...

class Flushed(_message.Message):
    __slots__ = ("flush_id",)
    FLUSH_ID_FIELD_NUMBER: _ClassVar[int]
    flush_id: int
    def __init__(self, flush_id: _Optional[int] = ...) -> None: ...

class Ended(_message.Message):
    __slots__ = ("chunks", "bytes", "media_ms", "missing_chunks", "segments", "dropped", "damaged_bytes", "speech_without_words_ms")
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    MEDIA_MS_FIELD_NUMBER: _ClassVar[int]
    MISSING_CHUNKS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SPEECH_WITHOUT_WORDS_MS_FIELD_NUMBER: _ClassVar[int]
    chunks: int
    bytes: int
    media_ms: int
    missing_chunks: int
    segments: int
    dropped: _containers.RepeatedCompositeFieldContainer[DropCount]
    damaged_bytes: int
    speech_without_words_ms: int
    def __init__(self, chunks: _Optional[int] = ..., bytes: _Optional[int] = ..., media_ms: _Optional[int] = ..., missing_chunks: _Optional[int] = ..., segments: _Optional[int] = ..., dropped: _Optional[_Iterable[_Union[DropCount, _Mapping]]] = ..., damaged_bytes: _Optional[int] = ..., speech_without_words_ms: _Optional[int] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("deadline_ms",)
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    deadline_ms: int
    def __init__(self, deadline_ms: _Optional[int] = ...) -> None: ...

class ModelInfo(_message.Message):
    __slots__ = ("name", "sha256", "device", "compute_type")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    sha256: str
    device: str
    compute_type: str
    def __init__(self, name: _Optional[str] = ..., sha256: _Optional[str] = ..., device: _Optional[str] = ..., compute_type: _Optional[str] = ...) -> None: ...

class Slots(_message.Message):
    __slots__ = ("total", "free")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    FREE_FIELD_NUMBER: _ClassVar[int]
    total: int
    free: int
    def __init__(self, total: _Optional[int] = ..., free: _Optional[int] = ...) -> None: ...
