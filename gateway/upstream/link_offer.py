"""Whether streams may share a link at an address: only if the address leads to one worker, which offers links.

All streams of a link are at one worker. An address that leads to several, through a proxy or a name that gRPC
resolves, must keep one RPC a stream, or the streams would not be spread. Each worker process names itself at random in
its answers to `Describe`; several answers in a row from one worker are the evidence. A process that comes back after
another one has answered proves that there are several. (A worker that sees a proxy's marks in a call makes no offer.)
"""

from __future__ import annotations

from typing import Final

from talkup.v1 import worker_service_pb2

from gateway.upstream.config import Links

_EVIDENCE: Final = 3
_MAX_IDS: Final = 64


class LinkOffers:
    """The offers made at one address."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._offer: worker_service_pb2.LinkOffer | None = None
        self._answers = 0
        self._earlier: list[str] = []
        self._several = False
        self._refused_by: str | None = None

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
            self._answers = 0
        self._offer = offer
        self._answers += 1

    def refused(self, worker_id: str) -> None:
        """A link to this worker was refused: it gets no other one."""
        self._refused_by = worker_id
