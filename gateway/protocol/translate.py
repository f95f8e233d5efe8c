"""Translation between the WebSocket's messages and the worker contract's TaskRequest and TaskResult."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from msgspec import UNSET, UnsetType
from talkup.v1 import error_pb2, task_pb2, transcript_pb2

from gateway.protocol import messages as m
from gateway.protocol.chunk import NumberedChunk
from gateway.protocol.errors import Problem, from_proto
from gateway.protocol.measures import fraction
from gateway.protocol.negotiation import StreamSpec, service_name
from gateway.protocol.version import PROTOCOL_VERSION, SUPPORTED_VERSIONS

T = TypeVar("T")
_MAX_MISSING: Final = 2**32 - 1


# --- to workers --------------------------------------------------------------------------------------------------


def start_request(session_id: str, spec: StreamSpec, service: task_pb2.ServiceType) -> task_pb2.TaskRequest:
    """The first request of a call; options only for the service that reads them.

    Delivery alone reads the speech options, too: whether the media are a recording.
    """
    start = task_pb2.StreamStart(
        kind=spec.media_kind,
        format=spec.format,
        speech=None if service == task_pb2.SERVICE_TYPE_VISION else spec.speech,
        vision=spec.vision if service == task_pb2.SERVICE_TYPE_VISION else None,
        delivery=spec.delivery if spec.measures_delivery(service) else None,
    )
    return task_pb2.TaskRequest(
        session_id=session_id,
        stream_id=spec.stream_id,
        service_type=service,
        protocol_version=PROTOCOL_VERSION,
        attempt=1,
        start=start,
    )


def chunk_request(
    spec: StreamSpec, service: task_pb2.ServiceType, numbered: NumberedChunk, missing_before: int
) -> task_pb2.TaskRequest:
    """A chunk, with the number of chunks that this service misses directly before it; the call adds the other fields.

    Pictures carry the time of their arrival, and so does sound whose delivery is measured.
    """
    request = task_pb2.TaskRequest()
    received, chunk = numbered.chunk, request.chunk  # filled in place: a message given to another one is copied
    chunk.sequence = numbered.worker_sequence
    chunk.payload = received.payload
    if numbered.new_recording:
        chunk.new_recording = True
    if missing_before:
        chunk.missing_before = min(missing_before, _MAX_MISSING)
    if received.capture_ms is not None:
        chunk.capture_time_unix_ms = received.capture_ms
    if spec.kind == "image" or spec.measures_delivery(service):
        chunk.received_unix_ms = round(received.arrived * 1000)
    return request


def flush_request(flush_id: int) -> task_pb2.TaskRequest:
    """Make everything so far final; the call adds the other fields."""
    return task_pb2.TaskRequest(flush=task_pb2.StreamFlush(flush_id=flush_id))


def end_request() -> task_pb2.TaskRequest:
    """No more chunks; the call adds the other fields."""
    return task_pb2.TaskRequest(end=task_pb2.StreamEnd())


# --- to clients --------------------------------------------------------------------------------------------------


def transcript_message(
    stream_id: str, transcript: transcript_pb2.Transcript, *, revision: int, words: bool
) -> m.TranscriptUpdate:
    """A segment; the gateway counts `revision` itself, so that it also rises across failovers."""
    confidence = fraction(transcript.confidence)
    data = m.TranscriptData(
        stream_id=stream_id,
        segment_id=transcript.segment_id,
        revision=revision,
        is_final=transcript.is_final,
        text=transcript.text,
        stable_chars=len(transcript.text) if transcript.is_final else transcript.stable_chars,
        confidence=confidence,
        language=transcript.language,
        start_ms=transcript.start_ms,
        end_ms=transcript.end_ms,
        words=[_word(word) for word in transcript.words] if words and transcript.words else [],
    )
    return m.TranscriptUpdate(stream_id=stream_id, text=transcript.text, confidence=confidence, data=data)


def _word(word: transcript_pb2.Word) -> m.WordData:
    return m.WordData(word=word.text, start_ms=word.start_ms, end_ms=word.end_ms, confidence=fraction(word.confidence))


def speech_event_message(stream_id: str, event: transcript_pb2.SpeechEvent) -> m.SpeechEvent | None:
    """Where speech begins or ends; None for an event that this version does not know."""
    media_time_ms = event.media_time_ms
    match event.type:
        case transcript_pb2.SPEECH_EVENT_TYPE_SPEECH_STARTED:
            data = m.SpeechEventData(stream_id=stream_id, event="speech_started", media_time_ms=media_time_ms)
        case transcript_pb2.SPEECH_EVENT_TYPE_SPEECH_ENDED:
            data = m.SpeechEventData(stream_id=stream_id, event="speech_ended", media_time_ms=media_time_ms)
        case _:
            return None
    return m.SpeechEvent(stream_id=stream_id, data=data)


def flow_message(stream_id: str, service: task_pb2.ServiceType, flow: task_pb2.Flow) -> m.FlowMessage:
    """How well the stream keeps up."""
    sized = flow.HasField("suggested_width") and flow.HasField("suggested_height")
    data = m.FlowData(
        stream_id=stream_id,
        service_type=service_name(service),
        behind_ms=flow.behind_ms,
        frames_received=flow.frames_received,
        frames_decoded=flow.frames_decoded,
        frames_analyzed=flow.frames_analyzed,
        dropped=dropped(flow.dropped),
        suggested_fps=flow.suggested_fps if flow.HasField("suggested_fps") else UNSET,
        suggested_size=m.SizeData(width=flow.suggested_width, height=flow.suggested_height) if sized else UNSET,
    )
    return m.FlowMessage(stream_id=stream_id, data=data)


def failover_message(stream_id: str, service: task_pb2.ServiceType, *, replayed_from: int) -> m.FlowMessage:
    """A worker was replaced; `replayed_from` is in the client's numbers."""
    name = service_name(service)
    failover = m.FailoverData(service_type=name, replayed_from=replayed_from)
    data = m.FlowData(stream_id=stream_id, service_type=name, failover=failover)
    return m.FlowMessage(stream_id=stream_id, data=data)


def dropped(counts: Iterable[task_pb2.DropCount]) -> m.DroppedData:
    """Frames dropped, by reason; the counts of a repeated reason are added up."""
    sums = dict.fromkeys(task_pb2.DropReason.values(), 0)
    for count in counts:
        sums[count.reason] = sums.get(count.reason, 0) + count.count
    return m.DroppedData(
        overload=sums[task_pb2.DROP_REASON_OVERLOAD],
        stale=sums[task_pb2.DROP_REASON_STALE],
        corrupt=sums[task_pb2.DROP_REASON_CORRUPT],
    )


def problem_of(error: error_pb2.Error, to_client: Callable[[int], int]) -> Problem:
    """A worker's error in the client's terms; `to_client` turns a worker sequence into the client's."""
    code = from_proto(error.code)
    return Problem(
        code,
        error.message or f"the service reported {code}",
        field=_client_field(error.field),
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms if error.HasField("retry_after_ms") else None,
        from_sequence=to_client(error.from_sequence) if error.HasField("from_sequence") else None,
        to_sequence=to_client(error.to_sequence) if error.HasField("to_sequence") else None,
        reason=error.reason or None,
    )


def _client_field(field: str) -> str | None:
    """The client's name for a field of the worker contract."""
    if field.startswith("start.format"):
        return "format"
    name = field.removeprefix("start.")
    for options in ("speech.", "vision.", "delivery."):
        name = name.removeprefix(options)
    return name or None


def error_message(problem: Problem) -> m.ErrorMessage:
    """The message that reports a problem."""

    def unset_if_none(value: T | None) -> T | UnsetType:
        return UNSET if value is None else value

    data = m.ErrorData(
        code=problem.code,
        message=problem.message,
        retryable=problem.spec.retryable if problem.retryable is None else problem.retryable,
        stream_id=unset_if_none(problem.stream_id),
        retry_after_ms=unset_if_none(problem.retry_after_ms),
        field=unset_if_none(problem.field),
        from_sequence=unset_if_none(problem.from_sequence),
        to_sequence=unset_if_none(problem.to_sequence),
        reason=unset_if_none(problem.reason),
        supported=list(SUPPORTED_VERSIONS) if problem.code == "unsupported_version" else UNSET,
    )
    return m.ErrorMessage(stream_id=unset_if_none(problem.stream_id), data=data)
