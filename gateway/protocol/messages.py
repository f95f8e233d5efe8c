"""Every message of the WebSocket protocol, in its normal form, as msgspec Structs.

The codec handles what clients may write instead of the normal form. JSON Schema is generated from these classes, so
constraints and descriptions belong here. Times named `*_ms` are milliseconds; `timestamp` is UNIX seconds.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from gateway.protocol.version import PROTOCOL_VERSION

MAX_SEQUENCE = 2**32 - 1

_STREAM_ID = r"^[^\x00-\x1f\x7f]+$(?!\n)"
_LANGUAGE = r"^(auto|[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*)$(?!\n)"
TEXT_FORMS: Final = {
    _STREAM_ID: "must be text without control characters",
    _LANGUAGE: "must be a BCP-47 tag, such as en or en-US, or auto",
}
"""What a pattern asks for, in words."""

StreamId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=_STREAM_ID,
        description="The stream's name within its session.",
    ),
]
Sequence = Annotated[int, Meta(ge=0, le=MAX_SEQUENCE, description="Increases by one per chunk.")]
Credential = Annotated[str, Meta(min_length=1, max_length=4096)]
MimeType = Annotated[str, Meta(max_length=200, description="A supported MIME type, or just `audio`, `video`, `image`.")]
Language = Annotated[
    str,
    Meta(max_length=35, pattern=_LANGUAGE, description="BCP-47 tag or `auto`."),
]
Fraction = Annotated[float, Meta(ge=0, le=1)]
UnixMs = Annotated[int, Meta(ge=0, le=2**53, description="UNIX milliseconds.")]
Kind = Literal["audio", "video", "image"]
Service = Literal["stt", "vision", "delivery"]


# --- client to gateway -------------------------------------------------------------------------------------------


class ClientBase(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What all client messages share. `timestamp_ms` is the client's clock, UNIX milliseconds; never used for order."""

    timestamp_ms: Annotated[int, Meta(ge=-(2**53), le=2**53)] | None = field(default=None, name="timestamp")


class Auth(ClientBase, frozen=True, kw_only=True, tag="auth"):
    """Send a credential that the handshake did not carry, or a newer one in place of one that expires."""

    token: Credential

    def __repr__(self) -> str:
        return "Auth(token=...)"


class Ping(ClientBase, frozen=True, kw_only=True, tag="ping"):
    """Ask for a `pong` that echoes `data` and `payload`."""

    data: Any = UNSET
    payload: Any = UNSET


class Status(ClientBase, frozen=True, kw_only=True, tag="status"):
    """Ask for the state of the gateway, this session and the services."""


class StreamStart(ClientBase, frozen=True, kw_only=True, tag="stream_start"):
    """Start a media stream."""

    stream_id: StreamId | None = None
    kind: Kind | None = None
    format: MimeType | None = None
    services: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(min_length=1, max_length=8)] | None = None
    language: Language = "auto"
    languages: Annotated[list[Language], Meta(max_length=10)] = []
    mode: Literal["live", "file"] = "live"
    interim_results: bool = True
    word_timestamps: bool = True
    hotwords: Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(max_length=100)] = []
    initial_prompt: Annotated[str, Meta(max_length=1000)] = ""
    framing: Literal["raw", "tagged"] = "raw"
    sample_rate: Annotated[int, Meta(ge=8000, le=192_000)] | None = None
    channels: Annotated[int, Meta(ge=1, le=8)] | None = None
    endpointing_ms: Annotated[int, Meta(ge=100, le=10_000)] | None = None
    signals: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=32)] = []
    expression: bool | None = None
    max_fps: Annotated[int, Meta(ge=1, le=60)] | None = None
    every_frame: bool = False
    started_at: UnixMs | None = None


class StreamChunk(ClientBase, frozen=True, kw_only=True, tag="stream_chunk"):
    """A piece of media. Without `sequence` it is the next one."""

    stream_id: StreamId | None = None
    sequence: Sequence | None = None
    format: MimeType | None = None
    payload: bytes = field(name="data")


class MediaPacket(ClientBase, frozen=True, kw_only=True, tag="audio"):
    """A TalkUp web packet: a chunk; the first one also starts the stream. `kind` is its message type."""

    kind: Kind = "audio"
    stream_id: StreamId | None = None
    sequence: Sequence | None = field(default=None, name="sequenceNumber")
    format: MimeType | None = field(default=None, name="mimeType")
    payload: bytes = field(name="data")


class StreamFlush(ClientBase, frozen=True, kw_only=True, tag="stream_flush"):
    """Make everything received so far final now; answered by an `acknowledge` with the `flush_id`."""

    stream_id: StreamId | None = None
    flush_id: Annotated[int, Meta(ge=0, le=2**53)] | None = None


class StreamEnd(ClientBase, frozen=True, kw_only=True, tag="stream_end"):
    """End a stream: no more chunks follow. `discard`: at once, and what is not text yet is dropped."""

    stream_id: StreamId | None = None
    discard: bool = False


class ResumePoint(Struct, frozen=True, kw_only=True):
    """The highest final segment of a stream that the client holds; 0: none.

    `last_delivery`: the highest `frame_seq` of delivery that it holds; -1: none; null: it does not say.
    """

    stream_id: StreamId
    last_segment_id: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    last_delivery: Annotated[int, Meta(ge=-1, le=2**63 - 1)] | None = None


class SessionResume(ClientBase, frozen=True, kw_only=True, tag="session_resume"):
    """Resume a session on this socket."""

    session_id: Annotated[str, Meta(min_length=1, max_length=128)]
    token: Credential
    streams: Annotated[list[ResumePoint], Meta(max_length=1000)] = []

    def __repr__(self) -> str:
        return f"SessionResume(session_id={self.session_id!r}, token=...)"


ClientMessage = Auth | Ping | Status | StreamStart | StreamChunk | MediaPacket | StreamFlush | StreamEnd | SessionResume


# --- gateway to client -------------------------------------------------------------------------------------------


class ServerBase(Struct, frozen=True, kw_only=True, tag_field="type"):
    """The envelope. `timestamp` is the gateway's clock when it sends the message, UNIX seconds."""

    timestamp: int = 0
    protocol_version: str = PROTOCOL_VERSION


class LimitsData(Struct, frozen=True, kw_only=True):
    """Limits of a session; sizes in bytes."""

    max_message_bytes: int
    max_chunk_bytes: int
    max_open_streams: int
    max_stream_media_ms: int
    window_chunks: int
    gap_ms: int


class StreamState(Struct, frozen=True, kw_only=True):
    """The state of a stream, for a client that continues it. Sequences are -1 before the first one."""

    stream_id: str
    state: Literal["open", "ending", "ended"]
    handle: int
    next_sequence: int
    received: int
    committed: int
    last_segment_id: int


class SessionData(Struct, frozen=True, kw_only=True):
    """`expires_at` is UNIX seconds; the resume token is valid until then."""

    session_id: str
    resume_token: str
    expires_at: int
    resumed: bool
    streams: list[StreamState]
    limits: LimitsData


class SessionMessage(ServerBase, frozen=True, kw_only=True, tag="session"):
    """The session is open on this socket."""

    data: SessionData

    def __repr__(self) -> str:
        return f"SessionMessage(session_id={self.data.session_id!r})"


class AuthenticatedData(Struct, frozen=True, kw_only=True):
    """Times are UNIX seconds. Without `expires_at` the new credential does not expire.

    The resume token is valid until `resume_expires_at` and takes the place of the one before.
    """

    expires_at: int | UnsetType = UNSET
    resume_token: str
    resume_expires_at: int


class Authenticated(ServerBase, frozen=True, kw_only=True, tag="authenticated"):
    """A credential that was sent on an open session was accepted; it replaces the one before."""

    data: AuthenticatedData

    def __repr__(self) -> str:
        return "Authenticated()"


class AuthExpiringData(Struct, frozen=True, kw_only=True):
    """Times are UNIX seconds. The socket closes with 4401 at `closes_at`, unless a new credential comes first."""

    expires_at: int
    closes_at: int


class AuthExpiring(ServerBase, frozen=True, kw_only=True, tag="auth_expiring"):
    """The credential of this socket expires soon, or was revoked: send a new one with `auth`."""

    data: AuthExpiringData


class AcknowledgeData(Struct, frozen=True, kw_only=True):
    """Cumulative. `received`: highest contiguous sequence; `committed`: the client may forget chunks up to it; or -1.

    The other fields answer `stream_start` (from `accepted` on) or `stream_flush` (`flush_id`).
    """

    stream_id: str
    received: int
    committed: int
    next_sequence: int
    flush_id: int | UnsetType = UNSET
    accepted: bool | UnsetType = UNSET
    handle: int | UnsetType = UNSET
    kind: Kind | UnsetType = UNSET
    format: str | UnsetType = UNSET
    services: list[Service] | UnsetType = UNSET
    framing: Literal["raw", "tagged"] | UnsetType = UNSET
    limits: LimitsData | UnsetType = UNSET


class Acknowledge(ServerBase, frozen=True, kw_only=True, tag="acknowledge"):
    """How much of a stream was received and committed."""

    stream_id: str
    data: AcknowledgeData


class WordData(Struct, frozen=True, kw_only=True):
    """A word with its times on the stream's media clock."""

    word: str
    start_ms: int
    end_ms: int
    confidence: Fraction


class TranscriptData(Struct, frozen=True, kw_only=True):
    """A segment's text. `stable_chars`: length, in Unicode code points, of the prefix that will not change."""

    stream_id: str
    segment_id: int
    revision: int
    is_final: bool
    text: str
    stable_chars: int
    confidence: Fraction
    language: str
    start_ms: int
    end_ms: int
    words: list[WordData]


class TranscriptUpdate(ServerBase, frozen=True, kw_only=True, tag="transcript_update"):
    """An interim (may change) or a final (never changes) of a segment."""

    stream_id: str
    text: str
    confidence: Fraction
    data: TranscriptData


class MeasureData(Struct, frozen=True, kw_only=True):
    """A measured value; null in its place means that it could not be measured."""

    value: float
    confidence: Fraction


class BoxData(Struct, frozen=True, kw_only=True):
    """A box in fractions of the picture; the origin is at the top left."""

    x: float
    y: float
    width: float
    height: float


class FaceData(Struct, frozen=True, kw_only=True):
    """The tracked face; `score` is the detector's, 0 to 1.

    `landmarks` is present only if the signal of that name was requested: x and y, alternating, of the mesh's 468
    points, as fractions.
    """

    box: BoxData
    score: float
    track_id: int
    landmarks: list[float] | UnsetType = UNSET


class FramingData(Struct, frozen=True, kw_only=True):
    """Position of the face, in fractions of the picture."""

    size_ratio: MeasureData | None
    dx: MeasureData | None
    dy: MeasureData | None
    headroom: MeasureData | None


class QualityData(Struct, frozen=True, kw_only=True):
    """Light and sharpness; `luma` 0 to 255."""

    luma: MeasureData | None
    backlight_ratio: MeasureData | None
    sharpness: MeasureData | None
    ok: bool
    reasons: list[str]


class HeadData(Struct, frozen=True, kw_only=True):
    """Head pose in degrees; `relative`: pitch and yaw are relative to the session's first seconds."""

    yaw: MeasureData | None
    pitch: MeasureData | None
    roll: MeasureData | None
    relative: bool


class GazeData(Struct, frozen=True, kw_only=True):
    """`facing_camera` is agreement with facing the camera, 0 to 1; not eye contact."""

    h: MeasureData | None
    v: MeasureData | None
    facing_camera: MeasureData | None


class EyesData(Struct, frozen=True, kw_only=True):
    """Eye aspect ratios of the face's left and right eye."""

    ear_l: MeasureData | None
    ear_r: MeasureData | None
    closed: bool | None


class MouthData(Struct, frozen=True, kw_only=True):
    """How far the mouth is open, and the smile movement."""

    open: MeasureData | None
    smile: MeasureData | None


class ExpressionData(Struct, frozen=True, kw_only=True):
    """A score of appearance, not of a state of mind."""

    label: str
    score: float


class FrameData(Struct, frozen=True, kw_only=True):
    """Signals of one frame. A null part was not measured."""

    face_count: int
    face: FaceData | None
    framing: FramingData | None
    quality: QualityData | None
    head: HeadData | None
    gaze: GazeData | None
    eyes: EyesData | None
    mouth: MouthData | None
    expression: list[ExpressionData] | None
    motion: MeasureData | None


class WindowData(Struct, frozen=True, kw_only=True):
    """Signals aggregated over a stretch of media."""

    t0_ms: int
    t1_ms: int
    whole_session: bool
    frames: int
    presence_ratio: MeasureData | None
    facing_camera_ratio: MeasureData | None
    blinks_per_minute: MeasureData | None
    smile_ratio: MeasureData | None
    nods: MeasureData | None
    motion: MeasureData | None
    yaw_spread_degrees: MeasureData | None
    luma: MeasureData | None
    fps: MeasureData | None


class EventData(Struct, frozen=True, kw_only=True):
    """An event; `t1_ms` is null while it lasts."""

    type: str
    t0_ms: int
    t1_ms: int | None
    confidence: Fraction


class LatencyData(Struct, frozen=True, kw_only=True):
    """Where the time was spent, milliseconds."""

    queue: int
    decode: int
    infer: int


class DroppedData(Struct, frozen=True, kw_only=True):
    """Frames not analysed, by reason."""

    overload: int = 0
    stale: int = 0
    corrupt: int = 0


class SizeData(Struct, frozen=True, kw_only=True):
    """Picture size in pixels."""

    width: int
    height: int


class DeliveryFrameData(Struct, frozen=True, kw_only=True):
    """How one second was said. `speech_ratio` 0 to 1, `loudness_lufs` in LUFS over the last 3 s, `pitch_hz` in Hz.

    `words_per_minute`: of the last ten seconds' final words. `pause_ms`: the pause that lasts at the end; 0: none;
    null: not measured.
    """

    t0_ms: int
    t1_ms: int
    speech_ratio: MeasureData | None
    loudness_lufs: MeasureData | None
    pitch_hz: MeasureData | None
    words_per_minute: MeasureData | None
    pause_ms: int | None


class DeliveryWindowData(Struct, frozen=True, kw_only=True):
    """How a stretch of media was said; see the units in docs/protocol.md. Described, not judged. Null: not measured."""

    t0_ms: int
    t1_ms: int
    whole_session: bool
    words: int | None
    syllables: int | None
    words_per_minute: MeasureData | None
    syllables_per_minute: MeasureData | None
    articulation_rate: MeasureData | None
    speech_ratio: MeasureData | None
    pauses: int | None
    pauses_within_sentences: int | None
    pause_median_ms: MeasureData | None
    pause_longest_ms: MeasureData | None
    longest_monologue_ms: MeasureData | None
    repeated_words: MeasureData | None
    restarts: MeasureData | None
    filled_pauses: MeasureData | None
    loudness_lufs: MeasureData | None
    loudness_relative: MeasureData | None
    trailing_off_ratio: MeasureData | None
    pitch_hz: MeasureData | None
    pitch_range_semitones: MeasureData | None
    pitch_spread_semitones: MeasureData | None
    pitch_spread_relative: MeasureData | None


class PacePointData(Struct, frozen=True, kw_only=True):
    """The pace of one window; `media_time_ms` is its middle."""

    media_time_ms: int
    words_per_minute: float


class PauseBucketData(Struct, frozen=True, kw_only=True):
    """How many pauses are at least `from_ms` and shorter than `to_ms`; null: any longer ones."""

    from_ms: int
    to_ms: int | None
    within_sentences: int
    between_sentences: int


class MomentData(Struct, frozen=True, kw_only=True):
    """A stretch to hear again, with the words around it."""

    type: str
    t0_ms: int
    t1_ms: int
    words: str


class DeliverySummaryData(Struct, frozen=True, kw_only=True):
    """The whole stream, once, at its end."""

    whole: DeliveryWindowData | None
    pace: list[PacePointData]
    pauses: list[PauseBucketData]
    moments: list[MomentData]


class SpeechData(Struct, frozen=True, kw_only=True):
    """A stretch in which the sound says that somebody speaks; between two lies a pause."""

    t0_ms: int
    t1_ms: int


class DeliveryData(Struct, frozen=True, kw_only=True):
    """How something was said; each part comes at times of its own.

    `origin_unix_ms`: time 0 of the stream's media clock, UNIX milliseconds, or null. `speech` comes with a window and
    with the summary: the stretches of speech that ended since the last one.
    """

    origin_unix_ms: int | None
    frame: DeliveryFrameData | None
    window: DeliveryWindowData | None
    summary: DeliverySummaryData | None
    speech: list[SpeechData] | UnsetType = UNSET


class AnalysisData(Struct, frozen=True, kw_only=True):
    """`captured_at` is the client's clock, UNIX milliseconds, or null; `media_time_ms` is on the transcript's clock.

    `frame` and `window` are vision's. `delivery` is there only if that is the service; then `frame_seq` counts the
    results of delivery in the stream, from 0.
    """

    stream_id: str
    service_type: Service
    schema_version: int
    frame_seq: int
    media_time_ms: int
    captured_at: int | None
    latency_ms: LatencyData
    frame: FrameData | None
    window: WindowData | None
    events: list[EventData]
    delivery: DeliveryData | UnsetType = UNSET


class AnalysisResult(ServerBase, frozen=True, kw_only=True, tag="analysis_result"):
    """One result of the vision or delivery service."""

    stream_id: str
    data: AnalysisData


class SpeechEventData(Struct, frozen=True, kw_only=True):
    """Where speech begins or ends on the media clock."""

    stream_id: str
    event: Literal["speech_started", "speech_ended"]
    media_time_ms: int


class SpeechEvent(ServerBase, frozen=True, kw_only=True, tag="speech_event"):
    """Speech begins or ends."""

    stream_id: str
    data: SpeechEventData


class FailoverData(Struct, frozen=True, kw_only=True):
    """A worker was replaced; its successor gets the chunks from `replayed_from` on again."""

    service_type: Service
    replayed_from: int


class FlowData(Struct, frozen=True, kw_only=True):
    """How well a stream keeps up: frames_received = frames_analyzed + everything in `dropped`."""

    stream_id: str
    service_type: Service
    behind_ms: int | UnsetType = UNSET
    frames_received: int | UnsetType = UNSET
    frames_decoded: int | UnsetType = UNSET
    frames_analyzed: int | UnsetType = UNSET
    dropped: DroppedData | UnsetType = UNSET
    suggested_fps: int | UnsetType = UNSET
    suggested_size: SizeData | UnsetType = UNSET
    failover: FailoverData | UnsetType = UNSET


class FlowMessage(ServerBase, frozen=True, kw_only=True, tag="flow"):
    """The stream is behind or degraded, or a worker was replaced."""

    stream_id: str
    data: FlowData


class StreamEndedData(Struct, frozen=True, kw_only=True):
    """Totals. `missing_chunks` were lost, in `gaps` gaps; `text_id` names the stored transcript.

    `damaged_bytes` of the media could not be decoded and were skipped, or are missing at the end of a recording that
    breaks off: words or frames may be missing there.
    `speech_without_words_ms`: speech that was heard but became no text.
    """

    stream_id: str
    chunks: int
    bytes: int
    media_seconds: float
    segments: int
    gaps: int
    missing_chunks: int
    damaged_bytes: int
    speech_without_words_ms: int
    duplicate_chunks: int
    orphan_chunks: int
    dropped: DroppedData
    failovers: int
    text: str
    text_id: str


class StreamEnded(ServerBase, frozen=True, kw_only=True, tag="stream_ended"):
    """The stream is over; nothing more follows for it."""

    stream_id: str
    data: StreamEndedData


class Pong(ServerBase, frozen=True, kw_only=True, tag="pong"):
    """`data` is the ping's `data` (under `echo` unless it is an object), its `payload` and `server_time_ms` (UNIX)."""

    payload: Any = UNSET
    data: dict[str, Any]


class WorkerTrouble(Struct, frozen=True, kw_only=True):
    """Why some workers do not serve: a word for the `cause`, advice for the operator, and the number of workers."""

    cause: str
    message: str
    workers: int


class ServiceStatus(Struct, frozen=True, kw_only=True):
    """One service's workers. `free_slots`: how many more streams they can take."""

    service: Service
    workers_total: int
    workers_serving: int
    free_slots: int
    models: list[str] = []
    languages: list[str] = []
    formats: list[str] = []
    troubles: list[WorkerTrouble] = []


class SessionStatus(Struct, frozen=True, kw_only=True):
    """The requesting session and its streams."""

    session_id: str
    streams: list[StreamState]


class StatusData(Struct, frozen=True, kw_only=True):
    """`state` is the gateway's; `uptime_seconds` counts from its start."""

    state: Literal["serving", "draining"]
    version: str
    protocol_versions: list[str]
    uptime_seconds: int
    session: SessionStatus
    services: list[ServiceStatus]
    limits: LimitsData


class StatusMessage(ServerBase, frozen=True, kw_only=True, tag="status"):
    """The state of the gateway, this session and the services."""

    data: StatusData


class ErrorData(Struct, frozen=True, kw_only=True):
    """What went wrong. `from` and `to` are the first and last missing chunk of a gap; `supported` lists versions.

    With a `reason`, single pictures are refused and the stream continues.
    """

    code: str
    message: str
    retryable: bool
    stream_id: str | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET
    field: str | UnsetType = UNSET
    from_sequence: int | UnsetType = msgspec.field(default=UNSET, name="from")
    to_sequence: int | UnsetType = msgspec.field(default=UNSET, name="to")
    supported: list[str] | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class ErrorMessage(ServerBase, frozen=True, kw_only=True, tag="error"):
    """Something was refused or failed; unless a close frame follows, the socket stays open."""

    stream_id: str | UnsetType = UNSET
    data: ErrorData


ServerMessage = (
    SessionMessage
    | Authenticated
    | AuthExpiring
    | Acknowledge
    | TranscriptUpdate
    | AnalysisResult
    | SpeechEvent
    | FlowMessage
    | StreamEnded
    | Pong
    | StatusMessage
    | ErrorMessage
)
