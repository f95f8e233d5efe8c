"""Tracks what each service of a stream has committed, needs next and has not answered yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final

from talkup.v1 import task_pb2

from gateway.protocol.snapshot import PartSnapshot, service_of

MAX_FLUSHES: Final = 64
"""How many flushes per stream may be unanswered at once."""

# Sound before vision, because no client resends video frames.
_GOVERNING_ORDER: Final = (
    task_pb2.SERVICE_TYPE_STT,
    task_pb2.SERVICE_TYPE_DELIVERY,
    task_pb2.SERVICE_TYPE_VISION,
)


@dataclass(slots=True)
class ServiceProgress:
    """One service's progress, in worker sequences: what it needs next, and where another worker would start."""

    live: bool = True
    committed: int = -1
    media_ms: int = 0
    next_sequence: int = 0
    replay_from: int = 0
    resume_state: bytes = b""
    dropped: tuple[task_pb2.DropCount, ...] = ()


@dataclass(slots=True)
class _Flush:
    """A flush that some services have not answered yet; `flush_id` is the client's."""

    flush_id: int
    waiting: set[task_pb2.ServiceType]


@dataclass(frozen=True, slots=True)
class OpenFlush:
    """A flush to be sent: its number for the workers, and the services that have to answer it."""

    number: int
    services: tuple[task_pb2.ServiceType, ...]


class Services:
    """The services of one stream. `committed` is the worker sequence up to which the client may forget its chunks."""

    def __init__(self, services: Iterable[task_pb2.ServiceType]) -> None:
        self._progress = {service: ServiceProgress() for service in services}
        self._flushes: dict[int, _Flush] = {}
        self._flush_numbers = count(1)
        self.committed = -1

    @property
    def live(self) -> list[task_pb2.ServiceType]:
        """The services that have neither ended nor failed."""
        return [service for service, progress in self._progress.items() if progress.live]

    @property
    def has_open_flushes(self) -> bool:
        """Whether a flush is still unanswered."""
        return bool(self._flushes)

    @property
    def media_ms(self) -> int:
        """How far the media clock has advanced, milliseconds."""
        return max(progress.media_ms for progress in self._progress.values())

    @property
    def dropped(self) -> list[task_pb2.DropCount]:
        """Frames not analysed, by reason, of all services."""
        return [each for progress in self._progress.values() for each in progress.dropped]

    def get(self, service: task_pb2.ServiceType) -> ServiceProgress | None:
        """The progress of a live service; None for any other service."""
        progress = self._progress.get(service)
        return progress if progress is not None and progress.live else None

    def forward(self, worker_sequence: int) -> list[tuple[task_pb2.ServiceType, int]]:
        """The services that need this chunk, each with the number of chunks that it misses directly before it.

        In a restored stream a service may be ahead of, or behind, the chunk from which the client resends.
        """
        needing: list[tuple[task_pb2.ServiceType, int]] = []
        for service, progress in self._progress.items():
            if progress.live and worker_sequence >= progress.next_sequence:
                needing.append((service, worker_sequence - progress.next_sequence))
                progress.next_sequence = worker_sequence + 1
        return needing

    # --- flushes ---

    def open_flush(self, flush_id: int | None, *, bounded: bool = True) -> OpenFlush | None:
        """Open a flush; None: it is `bounded`, and the largest number of flushes is already unanswered."""
        if bounded and len(self._flushes) >= MAX_FLUSHES:
            return None
        number, live = next(self._flush_numbers), self.live
        self._flushes[number] = _Flush(number if flush_id is None else flush_id, set(live))
        return OpenFlush(number, tuple(live))

    def flush_answered(self, service: task_pb2.ServiceType, number: int | None = None) -> list[int]:
        """Record that a service answered every flush up to `number`, or will answer none any more (None).

        Returns the ids of the flushes that are now complete.
        """
        complete: list[int] = []
        for each in [flush for flush in self._flushes if number is None or flush <= number]:
            flush = self._flushes[each]
            flush.waiting.discard(service)
            if not flush.waiting:
                del self._flushes[each]
                complete.append(flush.flush_id)
        return complete

    # --- progress ---

    def advance(self, service: task_pb2.ServiceType, report: task_pb2.Progress, next_worker_sequence: int) -> None:
        """Record a live service's progress; chunks below `next_worker_sequence` were forwarded."""
        progress = self._progress[service]
        progress.committed = max(progress.committed, report.replay_from_sequence - 1)
        if progress.replay_from <= report.replay_from_sequence <= next_worker_sequence:
            progress.replay_from, progress.resume_state = report.replay_from_sequence, report.resume_state
        progress.media_ms = max(progress.media_ms, report.committed_media_ms)
        self.committed = max(self.committed, self._governing().committed)

    def ended(self, service: task_pb2.ServiceType, ended: task_pb2.Ended) -> None:
        """Record that a live service has sent its last result."""
        progress = self._progress[service]
        progress.live = False
        progress.media_ms = max(progress.media_ms, ended.media_ms)
        progress.dropped = tuple(ended.dropped) or progress.dropped

    def _governing(self) -> ServiceProgress:
        """The service whose commits count for the client."""
        for service in _GOVERNING_ORDER:
            if (progress := self.get(service)) is not None:
                return progress
        return max(self._progress.values(), key=lambda progress: progress.committed)

    # --- for another gateway ---

    def snapshot(self, *, ended: bool) -> tuple[PartSnapshot, ...]:
        """Every service's progress; an ended stream needs no resume states."""
        return tuple(
            PartSnapshot(service, each.live, each.replay_from, each.media_ms, b"" if ended else each.resume_state)
            for service, each in self._progress.items()
        )

    def restore(self, parts: Iterable[PartSnapshot], committed: int, *, ended: bool) -> None:
        """Continue from another gateway's state."""
        self.committed = committed
        for part in parts:
            self._progress[service_of(part)] = ServiceProgress(
                live=part.live and not ended,
                committed=part.replay_from - 1,
                media_ms=part.media_ms,
                next_sequence=part.replay_from,
                replay_from=part.replay_from,
                resume_state=part.resume_state,
            )

    def resume_states(self) -> Mapping[task_pb2.ServiceType, bytes]:
        """The state from which each live service resumes; empty: from the beginning."""
        return {service: self._progress[service].resume_state for service in self.live}
