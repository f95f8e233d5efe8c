"""The speech engine: one model and one scheduler for all streams; sessions own everything else.

See `workers.engine.Engine`. One engine serves one process; any number of sessions share its model and nothing more.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import asdict, replace

import structlog
from talkup.v1 import error_pb2, media_pb2, task_pb2, worker_service_pb2

from workers.capacity import SlotsChange
from workers.engine import EngineError, StreamContext
from workers.observer import NO_OBSERVER, EngineObserver
from workers.scheduler import Scheduler
from workers.stt import state
from workers.stt.audio import AudioDecoders
from workers.stt.calibration import Calibration, calibrate
from workers.stt.captions import Captions
from workers.stt.config import SttConfig
from workers.stt.decode_job import Counters
from workers.stt.delivered import open_beside
from workers.stt.delivery_session import DeliveryModel, DeliverySession, open_alone
from workers.stt.file_opening import FileModel, check_mode, open_file
from workers.stt.file_session import FileSession
from workers.stt.ledger import ChunkLedger
from workers.stt.options import stream_options, wants_word_times
from workers.stt.pace import Pace
from workers.stt.recognizer import Recognizer
from workers.stt.session import DecodeScheduler, SessionParts, SttSession
from workers.stt.step_meter import StepMeter
from workers.stt.transcriber import Transcriber
from workers.stt.tuning import FRAME, SAMPLE_RATE, samples
from workers.stt.vad import SileroVad

_log = structlog.get_logger()

_MAX_RESUMED_AUDIO = 60 * SAMPLE_RATE
_FILES_RETRY_AFTER_MS = 2_000
Session = SttSession | FileSession | DeliverySession

_PICTURES = (media_pb2.CONTAINER_JPEG, media_pb2.CONTAINER_WEBP)


class SttEngine:
    """Speech to text for many live streams.

    `decoders` turns chunks into samples and raises `media_error`, whose message is safe for the wire.
    """

    def __init__(self, config: SttConfig, decoders: AudioDecoders, media_error: type[Exception]) -> None:
        self._config = config
        self._decoders = decoders
        self._media_error = media_error
        self._observer: EngineObserver = NO_OBSERVER
        self._loaded: tuple[Transcriber, SileroVad, DecodeScheduler] | None = None
        self._meter: StepMeter | None = None
        self._sessions: set[Session] = set()
        self._ended = Counters()
        self._counting = threading.Lock()  # metrics are read by a thread of their own

    @property
    def service_type(self) -> task_pb2.ServiceType:
        return task_pb2.SERVICE_TYPE_STT

    async def load(self) -> None:
        """Load the networks, run them once and measure how many streams this machine can serve."""
        if self._loaded is None:
            transcriber, vad, measured = await asyncio.to_thread(self._load)
            self._meter = meter = StepMeter(transcriber, self._config, measured)
            scheduler: DecodeScheduler = Scheduler(
                meter.run,
                lambda request: request.batch_key,
                threads=self._config.threads,
                batch=max(measured.encode_batch, measured.decode_batch),
                observer=self._observer,
            )
            scheduler.start()
            self._loaded = transcriber, vad, scheduler

    def observe(self, observer: EngineObserver) -> None:
        """See `workers.engine.Engine.observe`."""
        self._observer = observer

    def describe(self) -> worker_service_pb2.DescribeResponse:
        """Model, languages and formats. Raises EngineError before `load`."""
        transcriber, _, _ = self._parts()
        config = self._config
        return worker_service_pb2.DescribeResponse(
            service_type=self.service_type,
            models=[
                task_pb2.ModelInfo(
                    name=config.model, sha256=config.sha256, device=config.device, compute_type=config.compute_type
                )
            ],
            languages=transcriber.languages,
            formats=config.formats,
        )

    def default_slots(self) -> int:
        """Streams that the machine can serve in real time, as `load` or `review` found last."""
        return self._config.slots or (self._meter.capacity.slots if self._meter else 1)

    async def review(self) -> SlotsChange | None:
        """See `workers.engine.Engine.review`."""
        meter, loaded = self._meter, self._loaded
        if meter is None or loaded is None or self._config.slots:
            return None
        _, _, scheduler = loaded
        if scheduler.quiet and meter.measurement_due():
            found = await asyncio.to_thread(meter.measure)
            if scheduler.quiet:
                meter.measured(*found)
        return meter.review(scheduler.utilisation)

    def totals(self) -> Mapping[str, float]:
        """See `workers.engine.Engine.totals`: what streams asked for (`stream_*`), what the model did (`model_*`)."""
        with self._counting:
            streams = replace(self._ended)
            for session in self._sessions:
                streams.add(session.counters)
        found = {f"stream_{name}": value for name, value in asdict(streams).items()}
        if self._loaded is not None:
            _, _, scheduler = self._loaded
            found |= {f"model_{name}": value for name, value in asdict(scheduler.stats).items()}
        return found

    def open(self, start: task_pb2.StreamStart, context: StreamContext) -> Session:
        """See `workers.engine.Engine.open`; options of one stream never touch another."""
        session: Session
        if context.service_type == task_pb2.SERVICE_TYPE_DELIVERY:
            session = self._open_delivery(start)
        else:
            session = self._open_file(start, context) if check_mode(start.speech) else self._open_live(start, context)
        with self._counting:
            self._sessions.add(session)
        return session

    def _open_live(self, start: task_pb2.StreamStart, context: StreamContext) -> SttSession:
        transcriber, vad, scheduler = self._parts()
        _refuse_pictures(start)
        options = stream_options(start.speech, transcriber.languages, transcriber.encode_hint)
        saved = _resumed(start.resume_state) if start.HasField("resume_state") else None
        tuning = self._config.tuning
        heard_from = saved.recognizer.replay_from if saved else 0
        try:
            delivery = open_beside(start, saved.delivery if saved else None, heard_from)
            listener = delivery.listener if delivery else None
            recognizer = Recognizer(vad, tuning, options, saved.recognizer if saved else None, listener)
            source = self._decoders.open(start.format, saved.decoder if saved else None)
        except self._media_error as error:
            raise EngineError(error_pb2.ERROR_CODE_UNSUPPORTED_FORMAT, str(error), field="start.format") from error
        except ValueError as error:
            raise _bad_state() from error
        captions = Captions(
            word_timestamps=wants_word_times(start.speech),
            segment_id=saved.segment_id if saved else 1,
            attempt=context.attempt,
        )
        return SttSession(
            SessionParts(
                source=source,
                recognizer=recognizer,
                captions=captions,
                ledger=ChunkLedger(saved.totals if saved else None),
                scheduler=scheduler,
                pace=Pace(tuning, resumed=saved is not None),
                media_error=self._media_error,
                delivery=delivery,
                skip=saved.recognizer.replay_from - saved.audio_from if saved else 0,
                max_backlog=samples(self._config.max_backlog_s),
                deadline=context.deadline,
                pause=max(tuning.pause, (options.endpointing or 0) / SAMPLE_RATE),
                closed=self._closed,
                late=self._observer.late,
            )
        )

    def _open_delivery(self, start: task_pb2.StreamStart) -> DeliverySession:
        _, vad, _ = self._parts()
        _refuse_pictures(start)
        config = self._config
        model = DeliveryModel(
            config.tuning, vad, self._decoders, self._media_error, max_backlog=samples(config.max_backlog_s)
        )
        return open_alone(model, start, self._closed)

    def _open_file(self, start: task_pb2.StreamStart, context: StreamContext) -> FileSession:
        """A recording takes a slot as a live stream does; recordings together take half of them at most."""
        transcriber, vad, scheduler = self._parts()
        with self._counting:
            files = sum(isinstance(session, FileSession) for session in self._sessions)
        if files >= max(1, self.default_slots() // 2):
            raise EngineError(
                error_pb2.ERROR_CODE_BUSY,
                "every slot for recordings is taken",
                retryable=True,
                retry_after_ms=_FILES_RETRY_AFTER_MS,
            )
        model = FileModel(self._config, transcriber, vad, scheduler, self._decoders, self._media_error)
        return open_file(model, start, context, self._closed)

    async def close(self) -> None:
        """Stop the scheduler; sessions still open fail."""
        if self._loaded is not None:
            _, _, scheduler = self._loaded
            self._loaded = None
            await asyncio.to_thread(scheduler.close)

    def _closed(self, session: Session) -> None:
        with self._counting:
            self._ended.add(session.counters)
            self._sessions.discard(session)

    def _parts(self) -> tuple[Transcriber, SileroVad, DecodeScheduler]:
        if self._loaded is None:
            raise EngineError(error_pb2.ERROR_CODE_BUSY, "the speech model is not loaded", retryable=True)
        return self._loaded

    def _load(self) -> tuple[Transcriber, SileroVad, Calibration]:
        config = self._config
        transcriber = Transcriber(
            config.path, device=config.device, compute_type=config.compute_type, threads=config.threads
        )
        measured = calibrate(transcriber, config)
        _log.info(
            "speech model measured",
            encode_batch=measured.encode_batch,
            decode_batch=measured.decode_batch,
            step_ms=round(1000 * measured.step_cost, 1),
            threads=config.threads,
            cores=round(min(config.threads, config.cores), 2),
            slots=measured.slots,
        )
        return transcriber, SileroVad(), measured


def _refuse_pictures(start: task_pb2.StreamStart) -> None:
    if start.format.container in _PICTURES:
        raise EngineError(
            error_pb2.ERROR_CODE_UNSUPPORTED_FORMAT, "pictures hold no speech", field="start.format.container"
        )


def _resumed(data: bytes) -> state.ResumeState:
    try:
        saved = state.unpack(data)
    except ValueError as error:
        raise _bad_state() from error
    recognizer = saved.recognizer
    known = recognizer.frame - recognizer.track_first
    needed = [recognizer.vad_frame * FRAME, *([recognizer.window_start] if recognizer.window_open else [])]
    in_order = 0 <= saved.audio_from <= recognizer.replay_from <= min(needed)
    in_order = in_order and recognizer.vad_frame <= recognizer.frame
    in_order = in_order and recognizer.frame * FRAME <= saved.audio_from + _MAX_RESUMED_AUDIO
    if not in_order or 2 * known != len(recognizer.track) or saved.segment_id < 1:
        raise _bad_state()
    return saved


def _bad_state() -> EngineError:
    return EngineError(
        error_pb2.ERROR_CODE_BAD_MESSAGE, "this state does not belong to a speech stream", field="start.resume_state"
    )
