"""The state of the gateway and its services, as `status` and /readyz report it."""

from __future__ import annotations

from typing import Final

from talkup.v1 import task_pb2

from gateway.protocol.messages import Service, ServiceStatus, WorkerTrouble
from gateway.protocol.status import GatewaySnapshot
from gateway.upstream.pool import Upstream
from settings.version import VERSION

_FRESH_FOR_S: Final = 1.0
_NAMES: Final[dict[task_pb2.ServiceType, Service]] = {
    task_pb2.SERVICE_TYPE_STT: "stt",
    task_pb2.SERVICE_TYPE_VISION: "vision",
}


class StatusSource:
    """The current state of the gateway, collected at most once per second. `started_at` is UNIX seconds."""

    def __init__(self, upstream: Upstream, started_at: float) -> None:
        self.draining = False
        self._upstream = upstream
        self._started_at = started_at
        self._collected_at = 0.0
        self._snapshot = GatewaySnapshot()

    def services(self) -> tuple[ServiceStatus, ...]:
        """The current state of every configured service."""
        return tuple(
            ServiceStatus(
                service=_NAMES[service],
                workers_total=found.workers_total,
                workers_serving=found.workers_serving,
                free_slots=found.slots_free,
                models=list(found.models),
                languages=list(found.languages),
                formats=list(found.formats),
                troubles=[
                    WorkerTrouble(cause=cause.word, message=cause.advice, workers=count)
                    for cause, count in found.troubles
                ],
            )
            for service, found in self._upstream.snapshot().items()
            if service in _NAMES
        )

    def current(self, now: float) -> GatewaySnapshot:
        """The answer to `status`; `now` is UNIX seconds."""
        if not 0 <= now - self._collected_at < _FRESH_FOR_S or self._snapshot.draining != self.draining:
            self._collected_at = now
            self._snapshot = GatewaySnapshot(VERSION, self._started_at, self.draining, self.services())
        return self._snapshot


def readiness(status: ServiceStatus) -> dict[str, object]:
    """One service in the answer of /readyz, which everyone may read: causes without addresses."""
    counts: dict[str, object] = {"workers": status.workers_total, "serving": status.workers_serving}
    if status.troubles:
        counts["troubles"] = {trouble.cause: trouble.workers for trouble in status.troubles}
    return counts
