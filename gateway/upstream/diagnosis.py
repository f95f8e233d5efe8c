"""Why one endpoint cannot be used: keeps the cause, warns once about it, and has vague causes examined.

A warning comes for each new cause, and again for the same one after the worker was well in between. A host may have
several addresses (localhost has ::1 and 127.0.0.1), and gRPC reports now the failure of one, now that of another. So
the cause that got furthest stays until it was not seen for three seconds. An examination runs in a thread, one at a
time per service and at most every ten seconds per worker, and never delays a probe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from talkup.v1 import task_pb2

from gateway.upstream.causes import Cause
from gateway.upstream.channel import EndpointAddress
from gateway.upstream.config import UpstreamConfig
from gateway.upstream.examination import examine
from gateway.upstream.failures import CallFailed
from settings.network import host_of, is_loopback

log = structlog.get_logger()

_EXAMINE_EVERY_S: Final = 10.0
_STAYS_S: Final = 3.0
_BALANCED_BY_GRPC: Final = "xds:"


class Diagnosis:
    """The cause of one endpoint's trouble, None while there is none. `turn` limits the examinations of a service."""

    def __init__(
        self,
        address: EndpointAddress,
        service: task_pb2.ServiceType,
        config: UpstreamConfig,
        turn: asyncio.Semaphore,
        clock: Callable[[], float],
    ) -> None:
        self.cause: Cause | None = None
        self._service = service
        self._address = address
        self._tls = config.tls
        self._seconds = config.probing.timeout
        # What a proxy answers for, a direct connection cannot examine.
        proxied = config.use_proxy and not is_loopback(host_of(address.target))
        self._can_examine = not proxied and not address.target.startswith(_BALANCED_BY_GRPC)
        self._turn = turn
        self._clock = clock
        self._seen_at = 0.0
        self._examined: tuple[Cause, Cause, float] | None = None
        self._vague: Cause | None = None
        self._wanted = asyncio.Event()

    def answered(self, service: task_pb2.ServiceType) -> bool:
        """A worker of `service` answered a probe; returns whether it is the right one (0: it does not say)."""
        if service not in (self._service, task_pb2.SERVICE_TYPE_UNSPECIFIED):
            self.found(Cause.WRONG_SERVICE)
            return False
        self.cause = self._vague = self._examined = None
        self._wanted.clear()
        return True

    def failed(self, failure: CallFailed) -> None:
        """A probe failed. A vague cause counts once it has been examined, and if need be, is examined again."""
        cause = failure.cause
        if not cause.is_vague or not self._can_examine:
            self.found(cause)
            return
        if self._examined is not None and self._examined[0] is cause:
            _, found, at = self._examined
            self.found(found)
            if self._clock() - at < _EXAMINE_EVERY_S:
                return
        self._vague = cause
        self._wanted.set()

    def found(self, cause: Cause) -> None:
        """Keep a definite cause, and warn if it is new."""
        self._vague = None
        now = self._clock()
        if cause is self.cause:
            self._seen_at = now
        elif self.cause is None or cause.depth > self.cause.depth or now - self._seen_at >= _STAYS_S:
            self.cause = cause
            self._seen_at = now
            log.warning("worker cannot be used", target=self._address.target, cause=cause.word, advice=cause.advice)

    async def run(self) -> None:
        """Examine whenever a vague cause asks for it, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            vague = self._vague
            async with self._turn:
                found = await asyncio.to_thread(
                    examine, self._address.target, self._address.authority, self._tls, self._seconds
                )
            # Only if the worker still fails in the same way; an examination that finds no fault leaves the vague cause.
            if vague is not None and self._vague is vague:
                cause = vague if found is Cause.FAILED else found
                self._examined = (vague, cause, self._clock())
                self.found(cause)
