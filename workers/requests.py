"""Checks of task requests: that one is worth parsing, what a first one must contain, that later ones fit it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError
from talkup.v1 import error_pb2, media_pb2, task_pb2

from multiplex.fields import FieldBound
from workers.admission import StreamKey
from workers.errors import RefusedError

PROTOCOL_VERSIONS: Final = ("1.0",)
MAX_ID_CHARS: Final = 128
MAX_RESUME_STATE_BYTES: Final = 1 << 20
MIN_SAMPLE_RATE: Final = 8_000
MAX_SAMPLE_RATE: Final = 192_000
MAX_CHANNELS: Final = 8
_FIELDS: Final = FieldBound(task_pb2.TaskRequest, 4_096)
"""Fields of a request: ten times what 100 hotwords and everything else take."""

_KINDS: Final = {
    task_pb2.SERVICE_TYPE_STT: (media_pb2.MEDIA_KIND_AUDIO, media_pb2.MEDIA_KIND_VIDEO),
    task_pb2.SERVICE_TYPE_DELIVERY: (media_pb2.MEDIA_KIND_AUDIO, media_pb2.MEDIA_KIND_VIDEO),
    task_pb2.SERVICE_TYPE_VISION: (media_pb2.MEDIA_KIND_VIDEO, media_pb2.MEDIA_KIND_IMAGE),
}
"""Media kinds that a service works on; sound is also taken from the audio track of a video."""

SERVED: Final = {
    task_pb2.SERVICE_TYPE_STT: (task_pb2.SERVICE_TYPE_STT, task_pb2.SERVICE_TYPE_DELIVERY),
    task_pb2.SERVICE_TYPE_VISION: (task_pb2.SERVICE_TYPE_VISION,),
}
"""What a worker of a service serves: speech workers measure delivery, too."""


@dataclass(frozen=True, slots=True)
class Task:
    """A stream to be admitted: its checked first message."""

    key: StreamKey
    service_type: task_pb2.ServiceType
    attempt: int
    start: task_pb2.StreamStart


def parse_request(data: bytes) -> task_pb2.TaskRequest:
    """A request as it came. Raises RefusedError for one that cannot be parsed, or has too many fields."""
    if _FIELDS.is_exceeded(data):
        raise _bad("request", f"at most {_FIELDS.most} fields")
    try:
        return task_pb2.TaskRequest.FromString(data)
    except DecodeError:
        raise _bad("request", "not a TaskRequest") from None


def check_start(request: task_pb2.TaskRequest, service_type: task_pb2.ServiceType) -> Task:
    """Check the first message of a call to a worker of `service_type`.

    An absent `protocol_version` means 1.0 and an absent `attempt` means 1, so that a direct caller may leave them out.
    Raises RefusedError naming the field.
    """
    if request.WhichOneof("payload") != "start":
        raise _bad("start", "the first message must carry start")
    _check_id("session_id", request.session_id)
    _check_id("stream_id", request.stream_id)
    served = SERVED.get(service_type, (service_type,))
    if request.service_type not in served:
        names = " and ".join(task_pb2.ServiceType.Name(each) for each in served)
        raise _bad("service_type", f"this worker serves {names}")
    version = request.protocol_version or "1.0"
    if version.split(".")[0] != "1":
        raise RefusedError(
            error_pb2.ERROR_CODE_UNSUPPORTED_VERSION,
            f"supported: {', '.join(PROTOCOL_VERSIONS)}",
            field="protocol_version",
        )
    _check_media(request.start, request.service_type)
    key = StreamKey(request.session_id, request.stream_id)
    return Task(key, request.service_type, max(request.attempt, 1), request.start)


class RequestChecker:
    """Checks the messages after the first: same stream, chunks in order.

    The sequence of chunks rises by one, apart from lost ones declared in `missing_before`. Of pictures, which a sender
    may leave out under load, it need only rise.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._contiguous = task.start.kind == media_pb2.MEDIA_KIND_AUDIO
        self._last: int | None = None

    def check(self, request: task_pb2.TaskRequest) -> None:
        """Raises RefusedError for a message that does not belong to the stream or breaks its order."""
        task = self._task
        if request.session_id not in ("", task.key.session_id):
            raise _bad("session_id", "differs from the first message's")
        if request.stream_id not in ("", task.key.stream_id):
            raise _bad("stream_id", "differs from the first message's")
        if request.attempt not in (0, task.attempt):
            raise _bad("attempt", "differs from the first message's")
        match request.WhichOneof("payload"):
            case "chunk":
                self._check_chunk(request.chunk)
            case "flush" | "end":
                pass
            case "start":
                raise _bad("start", "only the first message carries start")
            case _:
                raise _bad("payload", "a message carries chunk, flush or end")

    def _check_chunk(self, chunk: media_pb2.Chunk) -> None:
        last, self._last = self._last, chunk.sequence
        if last is None:
            return
        if chunk.sequence <= last:
            raise _bad("chunk.sequence", f"{chunk.sequence} after {last}: sequences must rise")
        if self._contiguous and chunk.sequence != last + 1 + chunk.missing_before:
            raise _bad("chunk.sequence", f"{chunk.sequence} after {last} with {chunk.missing_before} declared missing")


def _check_id(field: str, value: str) -> None:
    if not 0 < len(value) <= MAX_ID_CHARS:
        raise _bad(field, f"1 to {MAX_ID_CHARS} characters")


def _check_media(start: task_pb2.StreamStart, service_type: task_pb2.ServiceType) -> None:
    if start.kind not in _KINDS.get(service_type, ()):
        raise _bad("start.kind", "this worker does not serve this kind of media")
    if start.format.container == media_pb2.CONTAINER_UNSPECIFIED:
        raise _bad("start.format.container", "missing")
    if start.format.container == media_pb2.CONTAINER_PCM:
        _check_pcm(start.format)
    if len(start.resume_state) > MAX_RESUME_STATE_BYTES:
        raise _bad("start.resume_state", f"at most {MAX_RESUME_STATE_BYTES} bytes")


def _check_pcm(audio: media_pb2.MediaFormat) -> None:
    if audio.pcm_encoding == media_pb2.PCM_ENCODING_UNSPECIFIED:
        raise _bad("start.format.pcm_encoding", "missing")
    if not MIN_SAMPLE_RATE <= audio.sample_rate <= MAX_SAMPLE_RATE:
        raise _bad("start.format.sample_rate", f"{MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE}")
    if not 1 <= audio.channels <= MAX_CHANNELS:
        raise _bad("start.format.channels", f"1 to {MAX_CHANNELS}")


def _bad(field: str, message: str) -> RefusedError:
    return RefusedError(error_pb2.ERROR_CODE_BAD_MESSAGE, message, field=field)
