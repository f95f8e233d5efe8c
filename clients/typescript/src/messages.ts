// Generated from schema/*.json by `npm run types`.

/**
 * What a client sends, in its normal form: fields at the top level
 */
export type ClientMessage = (Auth | Ping | Status | StreamStart | StreamChunk | MediaPacket | StreamFlush | StreamEnd | SessionResume)
/**
 * What the gateway sends
 */
export type ServerMessage = (SessionMessage | Authenticated | AuthExpiring | Acknowledge | TranscriptUpdate | AnalysisResult | SpeechEvent | FlowMessage | StreamEnded | Pong | StatusMessage | ErrorMessage)

export interface Protocol {
client: ClientMessage
server: ServerMessage
}
/**
 * Send a credential that the handshake did not carry, or a newer one in place of one that expires.
 */
export interface Auth {
type: "auth"
/**
 * UNIX seconds, UNIX milliseconds or ISO 8601; never used for order.
 */
timestamp?: (number | string | null)
token: string
}
/**
 * Ask for a `pong` that echoes `data` and `payload`.
 */
export interface Ping {
type: "ping"
/**
 * UNIX seconds, UNIX milliseconds or ISO 8601; never used for order.
 */
timestamp?: (number | string | null)
data?: unknown
payload?: unknown
}
/**
 * Ask for the state of the gateway, this session and the services.
 */
export interface Status {
type: "status"
/**
 * UNIX seconds, UNIX milliseconds or ISO 8601; never used for order.
 */
timestamp?: (number | string | null)
}
/**
 * Start a media stream.
 */
export interface StreamStart {
type: "stream_start"
/**
 * UNIX seconds, UNIX milliseconds or ISO 8601; never used for order.
 */
timestamp?: (number | string | null)
stream_id?: (string | null)
kind?: (("audio" | "image" | "video") | null)
format?: (string | null)
services?: (string[] | null)
/**
 * BCP-47 tag or `auto`.
 */
language?: string
/**
 * @maxItems 10
 * 
 * Items: BCP-47 tag or `auto`.
 */
languages?: string[]
mode?: ("file" | "live")
interim_results?: boolean
word_timestamps?: boolean
/**
 * @maxItems 100
 */
hotwords?: string[]
initial_prompt?: string
framing?: ("raw" | "tagged")
sample_rate?: (number | null)
channels?: (number | null)
endpointing_ms?: (number | null)
/**
 * @maxItems 32
 */
signals?: string[]
expression?: (boolean | null)
max_fps?: (number | null)
every_frame?: boolean
started_at?: (number | null)
}
/**
 * A piece of media. Without `sequence` it is the next one.
 */
export interface StreamChunk {
type: "stream_chunk"
/**
 * UNIX seconds, UNIX milliseconds or ISO 8601; never used for order.
 */
timestamp?: (number | string | null)
stream_id?: (string | null)
sequence?: (number | null)
format?: (string | null)
data: string
}
/**
 * A TalkUp web packet: a chunk; the first one also starts the stream. `kind` is its message type.
 */
export interface MediaPacket {
type: ("audio" | "image" | "video")
/**
 * UNIX seconds, UNIX milliseconds or ISO 8601; never used for order.
 */
timestamp?: (number | string | null)
stream_id?: (string | null)
sequenceNumber?: (number | null)
mimeType?: (string | null)
data: string
}
/**
 * Make everything received so far final now; answered by an `acknowledge` with the `flush_id`.
 */
export interface StreamFlush {
type: "stream_flush"
/**
 * UNIX seconds, UNIX milliseconds or ISO 8601; never used for order.
 */
timestamp?: (number | string | null)
stream_id?: (string | null)
flush_id?: (number | null)
}
/**
 * End a stream: no more chunks follow. `discard`: at once, and what is not text yet is dropped.
 */
export interface StreamEnd {
type: "stream_end"
/**
 * UNIX seconds, UNIX milliseconds or ISO 8601; never used for order.
 */
timestamp?: (number | string | null)
stream_id?: (string | null)
discard?: boolean
}
/**
 * Resume a session on this socket.
 */
export interface SessionResume {
type: "session_resume"
/**
 * UNIX seconds, UNIX milliseconds or ISO 8601; never used for order.
 */
timestamp?: (number | string | null)
session_id: string
token: string
/**
 * @maxItems 1000
 */
streams?: ResumePoint[]
}
/**
 * The highest final segment of a stream that the client holds; 0: none.
 * 
 *     `last_delivery`: the highest `frame_seq` of delivery that it holds; -1: none; null: it does not say.
 */
export interface ResumePoint {
/**
 * The stream's name within its session.
 */
stream_id: string
last_segment_id?: number
last_delivery?: (number | null)
}
/**
 * The session is open on this socket.
 */
export interface SessionMessage {
type: "session"
timestamp: number
protocol_version: string
data: SessionData
}
/**
 * `expires_at` is UNIX seconds; the resume token is valid until then.
 */
export interface SessionData {
session_id: string
resume_token: string
expires_at: number
resumed: boolean
streams: StreamState[]
limits: LimitsData
}
/**
 * The state of a stream, for a client that continues it. Sequences are -1 before the first one.
 */
export interface StreamState {
stream_id: string
state: ("ended" | "ending" | "open")
handle: number
next_sequence: number
received: number
committed: number
last_segment_id: number
}
/**
 * Limits of a session; sizes in bytes.
 */
export interface LimitsData {
max_message_bytes: number
max_chunk_bytes: number
max_open_streams: number
max_stream_media_ms: number
window_chunks: number
gap_ms: number
}
/**
 * A credential that was sent on an open session was accepted; it replaces the one before.
 */
export interface Authenticated {
type: "authenticated"
timestamp: number
protocol_version: string
data: AuthenticatedData
}
/**
 * Times are UNIX seconds. Without `expires_at` the new credential does not expire.
 * 
 *     The resume token is valid until `resume_expires_at` and takes the place of the one before.
 */
export interface AuthenticatedData {
expires_at?: number
resume_token: string
resume_expires_at: number
}
/**
 * The credential of this socket expires soon, or was revoked: send a new one with `auth`.
 */
export interface AuthExpiring {
type: "auth_expiring"
timestamp: number
protocol_version: string
data: AuthExpiringData
}
/**
 * Times are UNIX seconds. The socket closes with 4401 at `closes_at`, unless a new credential comes first.
 */
export interface AuthExpiringData {
expires_at: number
closes_at: number
}
/**
 * How much of a stream was received and committed.
 */
export interface Acknowledge {
type: "acknowledge"
timestamp: number
protocol_version: string
stream_id: string
data: AcknowledgeData
}
/**
 * Cumulative. `received`: highest contiguous sequence; `committed`: the client may forget chunks up to it; or -1.
 * 
 *     The other fields answer `stream_start` (from `accepted` on) or `stream_flush` (`flush_id`).
 */
export interface AcknowledgeData {
stream_id: string
received: number
committed: number
next_sequence: number
flush_id?: number
accepted?: boolean
handle?: number
kind?: ("audio" | "image" | "video")
format?: string
services?: ("delivery" | "stt" | "vision")[]
framing?: ("raw" | "tagged")
limits?: LimitsData
}
/**
 * An interim (may change) or a final (never changes) of a segment.
 */
export interface TranscriptUpdate {
type: "transcript_update"
timestamp: number
protocol_version: string
stream_id: string
text: string
confidence: number
data: TranscriptData
}
/**
 * A segment's text. `stable_chars`: length, in Unicode code points, of the prefix that will not change.
 */
export interface TranscriptData {
stream_id: string
segment_id: number
revision: number
is_final: boolean
text: string
stable_chars: number
confidence: number
language: string
start_ms: number
end_ms: number
words: WordData[]
}
/**
 * A word with its times on the stream's media clock.
 */
export interface WordData {
word: string
start_ms: number
end_ms: number
confidence: number
}
/**
 * One result of the vision or delivery service.
 */
export interface AnalysisResult {
type: "analysis_result"
timestamp: number
protocol_version: string
stream_id: string
data: AnalysisData
}
/**
 * `captured_at` is the client's clock, UNIX milliseconds, or null; `media_time_ms` is on the transcript's clock.
 * 
 *     `frame` and `window` are vision's. `delivery` is there only if that is the service; then `frame_seq` counts the
 *     results of delivery in the stream, from 0.
 */
export interface AnalysisData {
stream_id: string
service_type: ("delivery" | "stt" | "vision")
schema_version: number
frame_seq: number
media_time_ms: number
captured_at: (number | null)
latency_ms: LatencyData
frame: (FrameData | null)
window: (WindowData | null)
events: EventData[]
delivery?: DeliveryData
}
/**
 * Where the time was spent, milliseconds.
 */
export interface LatencyData {
queue: number
decode: number
infer: number
}
/**
 * Signals of one frame. A null part was not measured.
 */
export interface FrameData {
face_count: number
face: (FaceData | null)
framing: (FramingData | null)
quality: (QualityData | null)
head: (HeadData | null)
gaze: (GazeData | null)
eyes: (EyesData | null)
mouth: (MouthData | null)
expression: (ExpressionData[] | null)
motion: (MeasureData | null)
}
/**
 * The tracked face; `score` is the detector's, 0 to 1.
 * 
 *     `landmarks` is present only if the signal of that name was requested: x and y, alternating, of the mesh's 468
 *     points, as fractions.
 */
export interface FaceData {
box: BoxData
score: number
track_id: number
landmarks?: number[]
}
/**
 * A box in fractions of the picture; the origin is at the top left.
 */
export interface BoxData {
x: number
y: number
width: number
height: number
}
/**
 * Position of the face, in fractions of the picture.
 */
export interface FramingData {
size_ratio: (MeasureData | null)
dx: (MeasureData | null)
dy: (MeasureData | null)
headroom: (MeasureData | null)
}
/**
 * A measured value; null in its place means that it could not be measured.
 */
export interface MeasureData {
value: number
confidence: number
}
/**
 * Light and sharpness; `luma` 0 to 255.
 */
export interface QualityData {
luma: (MeasureData | null)
backlight_ratio: (MeasureData | null)
sharpness: (MeasureData | null)
ok: boolean
reasons: string[]
}
/**
 * Head pose in degrees; `relative`: pitch and yaw are relative to the session's first seconds.
 */
export interface HeadData {
yaw: (MeasureData | null)
pitch: (MeasureData | null)
roll: (MeasureData | null)
relative: boolean
}
/**
 * `facing_camera` is agreement with facing the camera, 0 to 1; not eye contact.
 */
export interface GazeData {
h: (MeasureData | null)
v: (MeasureData | null)
facing_camera: (MeasureData | null)
}
/**
 * Eye aspect ratios of the face's left and right eye.
 */
export interface EyesData {
ear_l: (MeasureData | null)
ear_r: (MeasureData | null)
closed: (boolean | null)
}
/**
 * How far the mouth is open, and the smile movement.
 */
export interface MouthData {
open: (MeasureData | null)
smile: (MeasureData | null)
}
/**
 * A score of appearance, not of a state of mind.
 */
export interface ExpressionData {
label: string
score: number
}
/**
 * Signals aggregated over a stretch of media.
 */
export interface WindowData {
t0_ms: number
t1_ms: number
whole_session: boolean
frames: number
presence_ratio: (MeasureData | null)
facing_camera_ratio: (MeasureData | null)
blinks_per_minute: (MeasureData | null)
smile_ratio: (MeasureData | null)
nods: (MeasureData | null)
motion: (MeasureData | null)
yaw_spread_degrees: (MeasureData | null)
luma: (MeasureData | null)
fps: (MeasureData | null)
}
/**
 * An event; `t1_ms` is null while it lasts.
 */
export interface EventData {
type: string
t0_ms: number
t1_ms: (number | null)
confidence: number
}
/**
 * How something was said; each part comes at times of its own.
 * 
 *     `origin_unix_ms`: time 0 of the stream's media clock, UNIX milliseconds, or null. `speech` comes with a window and
 *     with the summary: the stretches of speech that ended since the last one.
 */
export interface DeliveryData {
origin_unix_ms: (number | null)
frame: (DeliveryFrameData | null)
window: (DeliveryWindowData | null)
summary: (DeliverySummaryData | null)
speech?: SpeechData[]
}
/**
 * How one second was said. `speech_ratio` 0 to 1, `loudness_lufs` in LUFS over the last 3 s, `pitch_hz` in Hz.
 * 
 *     `words_per_minute`: of the last ten seconds' final words. `pause_ms`: the pause that lasts at the end; 0: none;
 *     null: not measured.
 */
export interface DeliveryFrameData {
t0_ms: number
t1_ms: number
speech_ratio: (MeasureData | null)
loudness_lufs: (MeasureData | null)
pitch_hz: (MeasureData | null)
words_per_minute: (MeasureData | null)
pause_ms: (number | null)
}
/**
 * How a stretch of media was said; see the units in docs/protocol.md. Described, not judged. Null: not measured.
 */
export interface DeliveryWindowData {
t0_ms: number
t1_ms: number
whole_session: boolean
words: (number | null)
syllables: (number | null)
words_per_minute: (MeasureData | null)
syllables_per_minute: (MeasureData | null)
articulation_rate: (MeasureData | null)
speech_ratio: (MeasureData | null)
pauses: (number | null)
pauses_within_sentences: (number | null)
pause_median_ms: (MeasureData | null)
pause_longest_ms: (MeasureData | null)
longest_monologue_ms: (MeasureData | null)
repeated_words: (MeasureData | null)
restarts: (MeasureData | null)
filled_pauses: (MeasureData | null)
loudness_lufs: (MeasureData | null)
loudness_relative: (MeasureData | null)
trailing_off_ratio: (MeasureData | null)
pitch_hz: (MeasureData | null)
pitch_range_semitones: (MeasureData | null)
pitch_spread_semitones: (MeasureData | null)
pitch_spread_relative: (MeasureData | null)
}
/**
 * The whole stream, once, at its end.
 */
export interface DeliverySummaryData {
whole: (DeliveryWindowData | null)
pace: PacePointData[]
pauses: PauseBucketData[]
moments: MomentData[]
}
/**
 * The pace of one window; `media_time_ms` is its middle.
 */
export interface PacePointData {
media_time_ms: number
words_per_minute: number
}
/**
 * How many pauses are at least `from_ms` and shorter than `to_ms`; null: any longer ones.
 */
export interface PauseBucketData {
from_ms: number
to_ms: (number | null)
within_sentences: number
between_sentences: number
}
/**
 * A stretch to hear again, with the words around it.
 */
export interface MomentData {
type: string
t0_ms: number
t1_ms: number
words: string
}
/**
 * A stretch in which the sound says that somebody speaks; between two lies a pause.
 */
export interface SpeechData {
t0_ms: number
t1_ms: number
}
/**
 * Speech begins or ends.
 */
export interface SpeechEvent {
type: "speech_event"
timestamp: number
protocol_version: string
stream_id: string
data: SpeechEventData
}
/**
 * Where speech begins or ends on the media clock.
 */
export interface SpeechEventData {
stream_id: string
event: ("speech_ended" | "speech_started")
media_time_ms: number
}
/**
 * The stream is behind or degraded, or a worker was replaced.
 */
export interface FlowMessage {
type: "flow"
timestamp: number
protocol_version: string
stream_id: string
data: FlowData
}
/**
 * How well a stream keeps up: frames_received = frames_analyzed + everything in `dropped`.
 */
export interface FlowData {
stream_id: string
service_type: ("delivery" | "stt" | "vision")
behind_ms?: number
frames_received?: number
frames_decoded?: number
frames_analyzed?: number
dropped?: DroppedData
suggested_fps?: number
suggested_size?: SizeData
failover?: FailoverData
}
/**
 * Frames not analysed, by reason.
 */
export interface DroppedData {
overload?: number
stale?: number
corrupt?: number
}
/**
 * Picture size in pixels.
 */
export interface SizeData {
width: number
height: number
}
/**
 * A worker was replaced; its successor gets the chunks from `replayed_from` on again.
 */
export interface FailoverData {
service_type: ("delivery" | "stt" | "vision")
replayed_from: number
}
/**
 * The stream is over; nothing more follows for it.
 */
export interface StreamEnded {
type: "stream_ended"
timestamp: number
protocol_version: string
stream_id: string
data: StreamEndedData
}
/**
 * Totals. `missing_chunks` were lost, in `gaps` gaps; `text_id` names the stored transcript.
 * 
 *     `damaged_bytes` of the media could not be decoded and were skipped, or are missing at the end of a recording that
 *     breaks off: words or frames may be missing there.
 *     `speech_without_words_ms`: speech that was heard but became no text.
 */
export interface StreamEndedData {
stream_id: string
chunks: number
bytes: number
media_seconds: number
segments: number
gaps: number
missing_chunks: number
damaged_bytes: number
speech_without_words_ms: number
duplicate_chunks: number
orphan_chunks: number
dropped: DroppedData
failovers: number
text: string
text_id: string
}
/**
 * `data` is the ping's `data` (under `echo` unless it is an object), its `payload` and `server_time_ms` (UNIX).
 */
export interface Pong {
type: "pong"
timestamp: number
protocol_version: string
payload?: unknown
data: {

}
}
/**
 * The state of the gateway, this session and the services.
 */
export interface StatusMessage {
type: "status"
timestamp: number
protocol_version: string
data: StatusData
}
/**
 * `state` is the gateway's; `uptime_seconds` counts from its start.
 */
export interface StatusData {
state: ("draining" | "serving")
version: string
protocol_versions: string[]
uptime_seconds: number
session: SessionStatus
services: ServiceStatus[]
limits: LimitsData
}
/**
 * The requesting session and its streams.
 */
export interface SessionStatus {
session_id: string
streams: StreamState[]
}
/**
 * One service's workers. `free_slots`: how many more streams they can take.
 */
export interface ServiceStatus {
service: ("delivery" | "stt" | "vision")
workers_total: number
workers_serving: number
free_slots: number
models?: string[]
languages?: string[]
formats?: string[]
troubles?: WorkerTrouble[]
}
/**
 * Why some workers do not serve: a word for the `cause`, advice for the operator, and the number of workers.
 */
export interface WorkerTrouble {
cause: string
message: string
workers: number
}
/**
 * Something was refused or failed; unless a close frame follows, the socket stays open.
 */
export interface ErrorMessage {
type: "error"
timestamp: number
protocol_version: string
stream_id?: string
data: ErrorData
}
/**
 * What went wrong. `from` and `to` are the first and last missing chunk of a gap; `supported` lists versions.
 * 
 *     With a `reason`, single pictures are refused and the stream continues.
 */
export interface ErrorData {
code: ("bad_json" | "bad_message" | "unknown_type" | "unsupported_version" | "unauthenticated" | "permission_denied" | "unknown_stream" | "stream_exists" | "too_many_streams" | "unsupported_format" | "bad_payload" | "payload_too_large" | "gap" | "orphan_chunk" | "media_error" | "rate_limited" | "media_limit" | "busy" | "no_worker" | "worker_failed" | "deadline_exceeded" | "session_expired" | "superseded" | "internal")
message: string
retryable: boolean
stream_id?: string
retry_after_ms?: number
field?: string
from?: number
to?: number
supported?: string[]
reason?: string
}
