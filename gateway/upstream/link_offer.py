"""Whether streams may share a link at an address: only if the address leads to one worker, which offers links.

All streams of a link are at one worker. An address that leads to several, through a proxy or a name that gRPC
resolves, must keep one RPC a stream, or the streams would not be spread. Each worker process names itself at random in
its answers to `Describe`; several answers in a row from one worker are the evidence. A process that comes back after
another one has answered proves that there are several. (A worker that sees a proxy's marks in a call makes no offer.)
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from talkup.v1 import worker_service_pb2

from gateway.upstream.config import Links

_EVIDENCE: Final = 3
# When this many links in a row break before the worker's first batch, something refuses links.
_STILLBORN: Final = 3
_MAX_IDS: Final = 64


class LinkEnd(Enum):
    """How a link ended."""

    SERVED = auto()
    """After the worker's first batch, or by the gateway itself."""
    REFUSED = auto()
    """The RPC itself was refused, by the worker or by something on the way to it."""
    BROKE = auto()
    """The RPC was reset before the worker's first batch."""
    UNREACHED = auto()
    """The worker could not be reached, or was too busy; another link may well come about."""


class LinkOffers:
    """The offers made at one address."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._offer: worker_service_pb2.LinkOffer | None = None
        self._answers = 0
        self._earlier: list[str] = []
        self._several = False
        self._refused_by: str | None = None
        self._stillborn = 0

    @property
    def usable(self) -> worker_service_pb2.LinkOffer | None:
        """The offer that may be used now; None: each stream needs an RPC of its own."""
        offer = self._offer
        if offer is None or self._links is Links.NEVER or offer.worker_id == self._refused_by:
            return None
        if self._links is Links.ALWAYS:
            return offer
        return offer if self._answers >= _EVIDENCE and not self._several else None

    def described(self, description: worker_service_pb2.DescribeResponse) -> None:
        """A worker answered at the address."""
        if not description.HasField("link"):
            self._offer = None
            self._answers = 0
            return
        offer = description.link
        if self._offer is None or offer.worker_id != self._offer.worker_id:
            self._several = self._several or offer.worker_id in self._earlier
            self._earlier = [*self._earlier[-_MAX_IDS:], offer.worker_id]
            self._answers = self._stillborn = 0
        self._offer = offer
        self._answers += 1

    def is_outdated(self, offer: worker_service_pb2.LinkOffer) -> bool:
        """Whether another process has answered since this offer."""
        return self._offer is not None and self._offer.worker_id != offer.worker_id

    def ended(self, worker_id: str, end: LinkEnd) -> bool:
        """A link to this worker has ended; returns whether that shows for the first time that it gets no other one."""
        self._stillborn = 0 if end is LinkEnd.SERVED else self._stillborn + (end is LinkEnd.BROKE)
        if end is not LinkEnd.REFUSED and self._stillborn < _STILLBORN:
            return False
        is_new, self._refused_by = worker_id != self._refused_by, worker_id
        return is_new
