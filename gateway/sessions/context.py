"""What every session of a gateway shares."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.access.shares import Shares
from gateway.auth import Authenticator
from gateway.config import GatewayConfig
from gateway.metrics import Metrics
from gateway.protocol.limits import Limits
from gateway.refusal_pace import OwnerPaces
from gateway.status import StatusSource
from gateway.store.base import Store
from gateway.upstream.pool import Upstream
from tracing.spans import NO_TRACER, Tracer


@dataclass(frozen=True, slots=True)
class GatewayContext:
    """The settings and the components of one gateway.

    `clock` gives UNIX seconds, for dates and expiry. It may jump, so all that takes time is measured with `monotonic`.
    """

    config: GatewayConfig
    limits: Limits
    upstream: Upstream
    store: Store
    metrics: Metrics
    authenticator: Authenticator
    status: StatusSource
    clock: Callable[[], float]
    shares: Shares
    tracer: Tracer = NO_TRACER
    paces: OwnerPaces = field(default_factory=OwnerPaces)
    monotonic: Callable[[], float] = time.monotonic

    def steady_clock(self) -> Callable[[], float]:
        """A clock of its own for a conversation: UNIX seconds at this moment, and no jumps from here on."""
        monotonic, offset = self.monotonic, self.clock() - self.monotonic()
        return lambda: monotonic() + offset
