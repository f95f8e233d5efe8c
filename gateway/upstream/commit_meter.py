"""How long after its media arrived a stream's text becomes final.

The gateway does not decode media, but every commit names a chunk and the moment of the stream's media that it reaches.
A live source sends one second of media a second, so from there the arrival of any other moment follows.
"""

from __future__ import annotations

from collections.abc import Callable

from talkup.v1 import task_pb2, transcript_pb2

from gateway.upstream.observer import UpstreamMetrics
from gateway.upstream.replay import ReplayBuffer


class CommitMeter:
    """Commits the results of one stream to its replay buffer, and observes how late they are.

    `clock` is the one of the replay buffer, in seconds.
    """

    def __init__(
        self, start: task_pb2.TaskRequest, replay: ReplayBuffer, metrics: UpstreamMetrics, clock: Callable[[], float]
    ) -> None:
        self._service = start.service_type
        self._is_file = start.start.speech.mode == transcript_pb2.SPEECH_MODE_FILE
        self._replay = replay
        self._metrics = metrics
        self._clock = clock
        # The latest commit: the moment of the media that it reaches, ms, and when the chunk that holds it arrived.
        self._anchor: tuple[int, float] | None = None

    def enter(self, result: task_pb2.TaskResult) -> bool:
        """Commit what a result covers; returns whether more is final than before."""
        progressed = result.HasField("progress") and self._commit(result.progress)
        if self._anchor is not None and not self._is_file and result.transcript.is_final:
            media_ms, arrived_at = self._anchor
            since_end = self._clock() - arrived_at + (media_ms - result.transcript.end_ms) / 1000
            self._metrics.finalised(max(0.0, since_end))
        return progressed

    def _commit(self, progress: task_pb2.Progress) -> bool:
        arrived_at = self._replay.arrival_of(progress.committed_sequence)
        rose = self._replay.commit(progress)
        if rose and arrived_at is not None:
            self._anchor = progress.committed_media_ms, arrived_at
            self._metrics.committed(self._service, max(0.0, self._clock() - arrived_at), is_file=self._is_file)
        return rose
