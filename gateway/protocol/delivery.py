"""The results about delivery of one stream, as its client gets them: numbered, on one clock, again on its return."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import UNSET
from talkup.v1 import analysis_pb2, transcript_pb2

from gateway.analyses import StoredAnalysis
from gateway.protocol import messages as m
from gateway.protocol.analyses import delivery_results, event_key, key_of_part
from gateway.protocol.negotiation import StreamSpec
from gateway.protocol.snapshot import DeliverySnapshot
from gateway.protocol.translate_delivery import delivery_message, event_message
from gateway.protocol.turns import Span

_SERVICE: Final = "delivery"
# Words that wait for time 0, which a worker gives with its first result: an hour of fast speech.
_MAX_WORDS: Final = 15_000


class StreamDelivery:
    """Numbers the results of a stream and keeps those that its client must not miss.

    Invariant: each number is given once, from 0 upwards, also across gateways if each result is stored with a snapshot.
    """

    def __init__(self, spec: StreamSpec, options: analysis_pb2.DeliveryOptions, kept: int) -> None:
        """`kept`: how many of the latest results can be resent."""
        self._stream_id = spec.stream_id
        self._options = options
        self._started_at_ms = self._origin_ms = spec.started_at_ms
        self._kept = kept
        self._results = 0
        self._lasting: list[m.AnalysisResult] = []
        self._stored: frozenset[str] = frozenset()
        self._stored_events: frozenset[str] = frozenset()
        self._words: list[Span] = []

    @property
    def origin_ms(self) -> int | None:
        """Time 0 of the stream's media clock, UNIX ms: the client's, else the worker's; None: not known yet."""
        return self._origin_ms

    def accept(self, analyses: Iterable[analysis_pb2.Analysis]) -> list[m.AnalysisResult]:
        """The messages for a worker's results, in order, without those that an earlier gateway has stored.

        The end of a call comes without a progress. If a gateway dies when it has stored what came with the end, but not
        the end, its successor gets both again.
        """
        accepted = (self._accept(each) for each in analyses)
        return [message for message in accepted if message is not None]

    def report(self, event: m.EventData) -> m.AnalysisResult | None:
        """The message about an event that the gateway itself has seen; None if an earlier gateway has stored it."""
        if event_key(_SERVICE, event) in self._stored_events:
            return None
        return self._keep(event_message(self._stream_id, event, number=self._next_number(), origin_ms=self._origin_ms))

    def after(self, number: int) -> list[m.AnalysisResult]:
        """The results above this number that must not be missed and are still kept."""
        return [result for result in self._lasting if result.data.frame_seq > number]

    # --- words ---

    def hear(self, final: transcript_pb2.Transcript) -> None:
        """Note when the words of a final were said; of a stream whose clock is unknown, the last ones."""
        self._words += [Span(word.start_ms, word.end_ms) for word in final.words]
        del self._words[: max(0, len(self._words) - _MAX_WORDS)]

    def take_words(self) -> list[Span]:
        """When words were said since the last call, in UNIX ms; none while time 0 is not known."""
        if self._origin_ms is None:
            return []
        origin, words = self._origin_ms, self._words
        self._words = []
        return [Span(origin + word.t0_ms, origin + word.t1_ms) for word in words]

    # --- for another gateway ---

    def snapshot(self) -> DeliverySnapshot:
        """What another gateway needs."""
        options = self._options.SerializeToString()
        return DeliverySnapshot(options, self._started_at_ms, self._origin_ms, self._results)

    def restore(self, snapshot: DeliverySnapshot, kept: Iterable[StoredAnalysis]) -> None:
        """Continue from another gateway's state and from what it stored."""
        self._origin_ms = snapshot.origin_ms
        self._lasting = delivery_results(kept)[-self._kept :]
        last = self._lasting[-1].data.frame_seq if self._lasting else -1
        self._results = max(snapshot.results, last + 1)
        self._stored = frozenset(key for result in self._lasting if (key := key_of_part(result)) is not None)
        self._stored_events = frozenset(
            event_key(_SERVICE, event) for result in self._lasting for event in result.data.events
        )

    def _accept(self, analysis: analysis_pb2.Analysis) -> m.AnalysisResult | None:
        if self._origin_ms is None and analysis.delivery.HasField("origin_unix_ms"):
            self._origin_ms = analysis.delivery.origin_unix_ms
        message = delivery_message(self._stream_id, analysis, number=self._results, origin_ms=self._origin_ms)
        if key_of_part(message) in self._stored:
            return None
        self._results += 1
        return self._keep(message)

    def _next_number(self) -> int:
        self._results += 1
        return self._results - 1

    def _keep(self, message: m.AnalysisResult) -> m.AnalysisResult:
        if lasts(message):
            self._lasting.append(message)
            del self._lasting[: max(0, len(self._lasting) - self._kept)]
        return message


def lasts(message: m.AnalysisResult) -> bool:
    """Whether a client must not miss a result: a window, a summary or an event of delivery."""
    delivery = message.data.delivery
    if delivery is UNSET:
        return False
    return delivery.window is not None or delivery.summary is not None or bool(message.data.events)
