"""One vision stream: chunks in, analyses out, and the numbers that say what became of every frame.

`accept` turns chunks into frames and does not wait for their analysis: the mailbox keeps the newest. Where every frame
is wanted it waits instead, and its sender with it. The reader of `results` drives the analysis, one frame at a time.
The invariant: in every message with numbers, and in every `resume_state`, frames received = analysed + dropped.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from talkup.v1 import analysis_pb2, error_pb2, task_pb2

from workers.chunk import Chunk
from workers.engine import EngineError
from workers.media.errors import MediaError
from workers.vision import pressure
from workers.vision.analyzer import Analyzer, AnalyzerState, Wanted
from workers.vision.counts import ChunkTotals, Counts
from workers.vision.face_reader import FaceNets
from workers.vision.image_header import HeaderError, Reason
from workers.vision.mailbox import MAX_WAITING, Drops, Mailbox
from workers.vision.options import VisionStreamOptions
from workers.vision.pictures import PictureError
from workers.vision.pressure import Pressure, Rates
from workers.vision.runner import Runner
from workers.vision.sources import Frame, Restart, Source
from workers.vision.state import VisionState, pack

STALE_SECONDS: Final = 0.5
FLOW_SECONDS: Final = 1.0
_INVALID_ARGUMENT: Final = 3
"""Its number in google.rpc.Code; that of both codes with which pictures are refused."""

_SUGGESTED_PIXELS: Final = 640 * 480
_EARLY: Final = 0.85
"""A frame this share of the wanted interval after the last one is not too early: capture clocks jitter."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a frame on its thread: an analysis with times in ms, or the reason why there is none."""

    analysis: analysis_pb2.Analysis | None
    dropped: task_pb2.DropReason = task_pb2.DROP_REASON_UNSPECIFIED
    queue_ms: float = 0.0
    decode_ms: float = 0.0
    infer_ms: float = 0.0


class VisionSession:
    """See `workers.engine.EngineSession`."""

    def __init__(
        self,
        source: Source,
        runner: Runner,
        options: VisionStreamOptions,
        saved: VisionState | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._runner = runner
        self._options = options
        self._clock = clock
        self._analyzer = Analyzer(saved.analyzer if saved else AnalyzerState())
        self._counts = saved.counts if saved else Counts()
        self._totals = saved.totals if saved else ChunkTotals()
        self._media_ms = saved.restart.media_ms if saved else 0
        self._last_analyzed_ms: int | None = None
        self._box: Mailbox[Frame] = Mailbox(keep_all=options.every_frame)
        self._pressure = Pressure()
        self._rates = Rates(clock(), self._counts.received, self._counts.analyzed)
        self._changed = asyncio.Condition()
        self._flushes: list[int] = []
        self._failure: EngineError | None = None
        self._told = list(saved.told) if saved else []
        self._refusals: dict[str, error_pb2.Error] = {}
        self._busy = self._ending = self._closed = False
        self._flow_due = 0.0
        self._size = (0, 0)
        self._index = saved.restart.index if saved else -1
        runner.streams += 1

    async def accept(self, chunk: Chunk) -> None:
        """Accept one chunk; wait for room where every frame is wanted.

        Raises EngineError for media that cannot be decoded further.
        """
        totals = self._totals.plus(chunk.sequence, len(chunk.payload), chunk.missing_before)
        again = totals is self._totals
        try:
            totals = await self._source.accept(chunk, totals, self._clock(), self._box, again=again)
        except MediaError as error:
            raise self._fail(error) from error
        finally:
            self._totals = totals
        self._note_refusals()
        async with self._changed:
            self._changed.notify_all()
            if self._options.every_frame:
                await self._changed.wait_for(lambda: self._closed or self._failure or self._box.waiting <= MAX_WAITING)

    def _note_refusals(self) -> None:
        """Report each reason once a stream."""
        for refusal in self._source.take_refusals():
            if refusal.reason not in self._told:
                self._refusals.setdefault(refusal.reason, refusal_message(refusal))

    async def flush(self, flush_id: int) -> None:
        """Waits until everything received so far is analysed or dropped."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or (self._box.empty and not self._busy))
            self._flushes.append(flush_id)
            self._changed.notify_all()

    async def end(self) -> None:
        """No more chunks."""
        try:
            if self._totals.chunks:
                self._totals = await self._source.finish(self._totals, self._clock(), self._box)
        except MediaError as error:
            raise self._fail(error) from error
        async with self._changed:
            self._ending = True
            self._changed.notify_all()

    async def close(self) -> None:
        """Free everything; may be called twice."""
        if not self._closed:
            self._closed = True
            self._runner.streams -= 1
            await self._source.close()
        async with self._changed:
            self._changed.notify_all()

    async def results(self) -> AsyncIterator[task_pb2.TaskResult]:
        """Analyses, flow, flushes, and at the end the whole stream and its totals. Raises EngineError."""
        while not self._closed:
            await self._wait_for_work()
            while self._flushes:  # what came before a flush is dealt with, so its answer comes before later frames
                yield task_pb2.TaskResult(flushed=task_pb2.Flushed(flush_id=self._flushes.pop(0)))
            nets = await self._runner.acquire() if self._box.has_frame and not self._closed else None
            self._raise_failure(nets)
            frame, drops = self._pop_frame(nets)
            last = self._ending and frame is None and self._box.empty
            outcome = await self._analyze(frame, nets) if frame is not None and nets is not None else None
            if self._is_closed():
                return
            while self._refusals:
                reason, refusal = self._refusals.popitem()
                self._told.append(reason)
                yield task_pb2.TaskResult(error=refusal)
            for result in await self._results_of(frame, outcome, drops):
                yield result
            await self._mark_idle()
            if last:
                for result in await self._closing_results():
                    yield result
                return

    def _is_closed(self) -> bool:
        return self._closed

    def _raise_failure(self, nets: FaceNets | None) -> None:
        if self._failure is not None:
            if nets is not None:
                self._runner.release(nets)
            raise self._failure

    async def _wait_for_work(self) -> None:
        """Wait until there is something to do. A frame then waits for this stream's turn, too."""
        async with self._changed:
            if self._box.empty:
                self._box.found_empty()
            await self._changed.wait_for(
                lambda: not self._box.empty or self._flushes or self._ending or self._closed or self._failure
            )

    def _pop_frame(self, nets: FaceNets | None) -> tuple[Frame | None, Drops]:
        """What waits at the moment of this stream's turn; from here to the analysis nothing waits."""
        if nets is None and self._box.has_frame:  # it has just arrived: wait for its turn
            return None, Counter()
        frame, drops = (None, Counter()) if self._closed else self._box.pop_frame()
        if frame is None and nets is not None:
            self._runner.release(nets)
        self._busy = True
        self._counts.drop(drops)
        return frame, drops

    async def _mark_idle(self) -> None:
        async with self._changed:
            self._busy = False
            self._changed.notify_all()

    def _fail(self, error: MediaError) -> EngineError:
        self._failure = EngineError(error_pb2.ERROR_CODE_MEDIA_ERROR, str(error))
        return self._failure

    async def _analyze(self, frame: Frame, nets: FaceNets) -> _Outcome:
        """Have a frame analysed, and count what became of it."""
        if self._is_early(frame):
            self._runner.release(nets)
            outcome = _Outcome(None, task_pb2.DROP_REASON_OVERLOAD)
        else:
            outcome = await self._runner.run(nets, lambda nets: self._on_thread(nets, frame))
        if outcome.analysis is None:
            self._counts.drop(Counter({outcome.dropped: 1}))
        else:
            self._counts.analyzed += 1
            self._last_analyzed_ms = frame.media_ms
            self._runner.note(outcome.decode_ms + outcome.infer_ms)
        self._media_ms, self._index = max(self._media_ms, frame.media_ms), frame.index
        self._size = (frame.width, frame.height)
        return outcome

    def _is_early(self, frame: Frame) -> bool:
        """Whether the client's own limit of the rate leaves this frame out."""
        if self._options.max_fps is None or self._last_analyzed_ms is None:
            return False
        return frame.media_ms - self._last_analyzed_ms < _EARLY * 1000 / self._options.max_fps

    def _on_thread(self, nets: FaceNets, frame: Frame) -> _Outcome:
        """Decode and analyse; on a thread of the runner."""
        began = self._clock()
        queued = max(0.0, began - frame.arrived)
        if queued > STALE_SECONDS and not self._options.every_frame:
            return _Outcome(None, task_pb2.DROP_REASON_STALE)
        try:
            picture = frame.picture()
        except PictureError:
            return _Outcome(None, task_pb2.DROP_REASON_CORRUPT)
        decoded = self._clock()
        level = self._pressure.level
        wanted = Wanted(
            eyes=level < pressure.NO_EYES,
            expression=self._options.expression and level < pressure.NO_EXPRESSION,
            landmarks=self._options.landmarks,
        )
        analysis = self._analyzer.analyze(nets, picture, frame.media_ms, wanted)
        times = (queued, decoded - began, self._clock() - decoded)
        queue_ms, decode_ms, infer_ms = (1000 * seconds for seconds in times)
        return _Outcome(analysis, queue_ms=queue_ms, decode_ms=frame.decode_ms + decode_ms, infer_ms=infer_ms)

    async def _results_of(
        self, frame: Frame | None, outcome: _Outcome | None, drops: Drops
    ) -> list[task_pb2.TaskResult]:
        """The results of a frame, or of drops without a frame."""
        if frame is None and not drops:
            return []
        over = drops[task_pb2.DROP_REASON_OVERLOAD] + drops[task_pb2.DROP_REASON_STALE]
        over += outcome is not None and outcome.dropped == task_pb2.DROP_REASON_STALE
        self._pressure.note(sum(drops.values()) + (frame is not None), over)
        results: list[task_pb2.TaskResult] = []
        if frame is not None and outcome is not None and outcome.analysis is not None:
            self._stamp(outcome.analysis, frame, outcome)
            results.append(task_pb2.TaskResult(analysis=outcome.analysis))
        now = self._clock()
        if not results or now >= self._flow_due:
            self._flow_due = now + FLOW_SECONDS
            results.append(task_pb2.TaskResult(flow=self._flow()))
        progress = await self._progress(frame)
        if progress is not None:
            results[0].progress.CopyFrom(progress)
        return results

    @staticmethod
    def _stamp(analysis: analysis_pb2.Analysis, frame: Frame, outcome: _Outcome) -> None:
        analysis.frame_seq = frame.index
        if frame.captured_at is not None:
            analysis.captured_at_unix_ms = frame.captured_at
        analysis.latency.queue_ms = round(outcome.queue_ms)
        analysis.latency.decode_ms = round(outcome.decode_ms)
        analysis.latency.infer_ms = round(outcome.infer_ms)

    def _flow(self) -> task_pb2.Flow:
        """The numbers up to the last frame that was dealt with, and what would help."""
        counts, level = self._counts, self._pressure.level
        flow = task_pb2.Flow(
            frames_received=counts.received,
            frames_decoded=counts.decoded,
            frames_analyzed=counts.analyzed,
            dropped=counts.dropped(),
        )
        self._rates.note(self._clock(), counts.received, counts.analyzed)
        fps = self._rates.suggested(self._runner.fps_per_stream())
        if level >= pressure.FEWER_FRAMES and fps is not None:
            flow.suggested_fps = fps
        if level >= pressure.SMALLER and (size := smaller(*self._size)) is not None:
            flow.suggested_width, flow.suggested_height = size
        return flow

    async def _progress(self, frame: Frame | None) -> task_pb2.Progress | None:
        """Everything up to the frame (None: everything received) is dealt with; None where no restart is possible."""
        totals = self._totals if frame is None else frame.totals
        try:
            where = await self._source.restart(frame, self._totals)
        except MediaError:  # the decoder is gone: its last state is still good, and `accept` reports the failure
            return None
        if where is None:
            return None
        replay_from, restart = where
        committed = totals.last if frame is None else frame.commits
        progress = task_pb2.Progress(
            committed_media_ms=self._media_ms,
            replay_from_sequence=min(replay_from, committed + 1),
            resume_state=pack(restart, self._counts, totals, self._analyzer.state, self._told),
        )
        if committed >= 0:
            progress.committed_sequence = committed
        return progress

    async def _closing_results(self) -> list[task_pb2.TaskResult]:
        """The whole stream's window and the totals."""
        results: list[task_pb2.TaskResult] = []
        totals = self._totals
        if self._counts.received:
            analysis = self._analyzer.finish()
            analysis.frame_seq = max(0, self._index)
            results.append(task_pb2.TaskResult(analysis=analysis))
            results.append(task_pb2.TaskResult(flow=self._flow()))
            progress = await self._progress(None)
            if progress is not None:
                results[0].progress.CopyFrom(progress)
        ended = task_pb2.Ended(
            chunks=totals.chunks,
            bytes=totals.size,
            media_ms=self._media_ms,
            missing_chunks=totals.missing,
            damaged_bytes=totals.damaged,
            dropped=self._counts.dropped(),
        )
        results.append(task_pb2.TaskResult(ended=ended))
        return results


def refusal_message(refusal: HeaderError) -> error_pb2.Error:
    """The message about a refused picture; the stream continues."""
    unsupported = refusal.reason is Reason.UNSUPPORTED
    return error_pb2.Error(
        status_code=_INVALID_ARGUMENT,
        message=f"a picture was skipped: {refusal}",
        code=error_pb2.ERROR_CODE_UNSUPPORTED_FORMAT if unsupported else error_pb2.ERROR_CODE_MEDIA_ERROR,
        reason=refusal.reason,
    )


def smaller(width: int, height: int) -> tuple[int, int] | None:
    """The size to send instead, of the same shape: no more pixels than 640 x 480; None: it has no more."""
    scale = math.sqrt(_SUGGESTED_PIXELS / max(1, width * height))
    return (2 * int(width * scale / 2), 2 * int(height * scale / 2)) if scale < 1 else None


def restart_of(saved: VisionState | None) -> Restart:
    """Where a source begins."""
    return saved.restart if saved is not None else Restart()
