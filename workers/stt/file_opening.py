"""Opens a recording's session: its options and its resume state, checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from talkup.v1 import error_pb2, media_pb2, task_pb2, transcript_pb2

from workers.engine import EngineError, StreamContext
from workers.scheduler import Scheduler
from workers.stt import file_state
from workers.stt.audio import AudioDecoders
from workers.stt.captions import Captions
from workers.stt.config import SttConfig
from workers.stt.delivered import open_beside
from workers.stt.file_recognizer import FileRecognizer
from workers.stt.file_session import FileParts, FileSession
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.ledger import ChunkLedger
from workers.stt.options import stream_options, wants_word_times
from workers.stt.transcriber import Transcriber
from workers.stt.tuning import samples
from workers.stt.vad import VoiceDetector

_MOST_LANES: Final = 4
"""Windows of one recording decoded at once; more would hold back too much media from being forgotten."""
_MODES: Final = transcript_pb2.SpeechMode.values()
_PICTURES: Final = (media_pb2.CONTAINER_JPEG, media_pb2.CONTAINER_WEBP)


@dataclass(frozen=True, slots=True)
class FileModel:
    """What all recordings share."""

    config: SttConfig
    transcriber: Transcriber
    vad: VoiceDetector
    scheduler: Scheduler[DecodeRequest, Hypothesis]
    decoders: AudioDecoders
    media_error: type[Exception]


def check_mode(speech: transcript_pb2.SpeechOptions) -> bool:
    """Whether a stream is a recording. Raises EngineError (bad_message) for a mode that this worker does not know."""
    if speech.mode not in _MODES:
        raise EngineError(error_pb2.ERROR_CODE_BAD_MESSAGE, "this worker does not know the mode", field="speech.mode")
    return speech.mode == transcript_pb2.SPEECH_MODE_FILE


def open_file(
    model: FileModel, start: task_pb2.StreamStart, context: StreamContext, closed: Callable[[FileSession], None]
) -> FileSession:
    """A session, new or from `start.resume_state`. Raises EngineError for a start that it cannot serve."""
    if start.format.container in _PICTURES:
        raise EngineError(
            error_pb2.ERROR_CODE_UNSUPPORTED_FORMAT, "pictures hold no speech", field="start.format.container"
        )
    config = model.config
    options = stream_options(start.speech, model.transcriber.languages, model.transcriber.encode_hint)
    try:
        saved = file_state.unpack(start.resume_state) if start.HasField("resume_state") else None
        delivery = open_beside(start, saved.delivery if saved else None, saved.file.hearing.replay_from if saved else 0)
        recognizer = FileRecognizer(
            model.vad,
            config.tuning,
            options,
            saved.file if saved else None,
            lanes=min(config.threads, _MOST_LANES),
            listener=delivery.listener if delivery else None,
        )
        source = model.decoders.open(start.format, saved.decoder if saved else None)
    except model.media_error as error:
        raise EngineError(error_pb2.ERROR_CODE_UNSUPPORTED_FORMAT, str(error), field="start.format") from error
    except ValueError as error:
        raise EngineError(
            error_pb2.ERROR_CODE_BAD_MESSAGE, "this state does not belong to a recording", field="start.resume_state"
        ) from error
    return FileSession(
        FileParts(
            source=source,
            recognizer=recognizer,
            captions=Captions(
                word_timestamps=wants_word_times(start.speech),
                segment_id=saved.segment_id if saved else 1,
                attempt=context.attempt,
            ),
            ledger=ChunkLedger(saved.totals if saved else None),
            scheduler=model.scheduler,
            media_error=model.media_error,
            delivery=delivery,
            skip=saved.file.hearing.replay_from - saved.audio_from if saved else 0,
            max_backlog=samples(config.max_backlog_s),
            deadline=context.deadline,
            closed=closed,
        )
    )
