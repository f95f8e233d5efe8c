"""The results about delivery of one stream, as its client gets them: numbered, on one clock, again on its return."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from msgspec import UNSET
from talkup.v1 import analysis_pb2, task_pb2, transcript_pb2

from gateway.analyses import StoredAnalysis
from gateway.protocol import messages as m
from gateway.protocol.analyses import delivery_results, event_key, key_of_part
from gateway.protocol.negotiation import StreamSpec
from gateway.protocol.snapshot import DeliverySnapshot
from gateway.protocol.spoken import Spoken
from gateway.protocol.translate_delivery import delivery_message, event_message
from gateway.protocol.turns import Span

_SERVICE: Final = "delivery"
MAX_WORDS: Final = 15_000
"""Words that wait for time 0, which a worker gives with its first result, or for the sound around them.

An hour of fast speech. The report does not have this bound.
"""


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
        self._spoken = Spoken()
        self._has_words = task_pb2.SERVICE_TYPE_STT in spec.services
        self._speech: list[Span] = []
        self._settled_ms = -math.inf
        self._forgotten = 0

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

    # --- speech ---

    def hear(self, final: transcript_pb2.Transcript) -> None:
        """Note when the words of a final were said."""
        self._spoken.say(Span(word.start_ms, word.end_ms) for word in final.words)
        self._forgotten += self._spoken.forget(MAX_WORDS)

    def measure(self, analyses: Iterable[analysis_pb2.Analysis]) -> None:
        """Note where the sound of a worker's results says that somebody speaks; the same results may come again."""
        for analysis in analyses:
            self._measure(analysis.delivery)

    def take_forgotten(self) -> int:
        """How many words were forgotten since the last call."""
        forgotten, self._forgotten = self._forgotten, 0
        return forgotten

    def take_speech(self, final_ms: float) -> tuple[list[Span], float]:
        """The speech that became certain since the last call, and before when no other begins, in UNIX ms.

        Every word before media time `final_ms` is final; infinity: the stream is over. Nothing is certain while time 0
        is not known.
        """
        if self._origin_ms is None:
            return [], math.inf if final_ms == math.inf else -math.inf
        if final_ms == math.inf:
            self._spoken.hear((), math.inf)
        origin = self._origin_ms
        spans, until_ms = self._spoken.take(final_ms)
        return [Span(origin + span.t0_ms, origin + span.t1_ms) for span in spans], origin + until_ms

    # --- for another gateway ---

    def snapshot(self) -> DeliverySnapshot:
        """What another gateway needs."""
        options = self._options.SerializeToString()
        speech = tuple((each.t0_ms, each.t1_ms) for each in self._speech)
        return DeliverySnapshot(options, self._started_at_ms, self._origin_ms, self._results, speech, self._settled_ms)

    def restore(self, snapshot: DeliverySnapshot, kept: Iterable[StoredAnalysis]) -> None:
        """Continue from another gateway's state and from what it stored."""
        self._origin_ms = snapshot.origin_ms
        results = delivery_results(kept)
        self._lasting = results[-self._kept :]
        known = [Span(each.t0_ms, each.t1_ms) for result in results for each in _speech_of(result)]
        self._hear_sound(sorted({*known, *(Span(*each) for each in snapshot.speech)}), snapshot.settled_ms)
        self._speech = [Span(*each) for each in snapshot.speech]
        last = self._lasting[-1].data.frame_seq if self._lasting else -1
        self._results = max(snapshot.results, last + 1)
        self._stored = frozenset(key for result in self._lasting if (key := key_of_part(result)) is not None)
        self._stored_events = frozenset(
            event_key(_SERVICE, event) for result in self._lasting for event in result.data.events
        )

    def _accept(self, analysis: analysis_pb2.Analysis) -> m.AnalysisResult | None:
        if self._origin_ms is None and analysis.delivery.HasField("origin_unix_ms"):
            self._origin_ms = analysis.delivery.origin_unix_ms
        self._measure(analysis.delivery)
        speech = None
        if analysis.delivery.HasField("window") or analysis.delivery.HasField("summary"):
            speech, self._speech = self._speech, []
        message = delivery_message(
            self._stream_id, analysis, number=self._results, origin_ms=self._origin_ms, speech=speech
        )
        if key_of_part(message) in self._stored:
            return None
        self._results += 1
        return self._keep(message)

    def _measure(self, delivery: analysis_pb2.Delivery) -> None:
        if delivery.HasField("speech"):
            stretches = [Span(each.t0_ms, each.t1_ms) for each in delivery.speech.stretches]
            self._speech += self._hear_sound(stretches, delivery.speech.settled_ms)
        elif self._settled_ms == -math.inf and not delivery.HasField("window"):
            self._hear_sound((), math.inf)  # a worker that gives no stretches
        elif delivery.HasField("frame"):
            self._hear_sound((), delivery.frame.t1_ms)  # such a worker goes on with the stream of one that does

    def _hear_sound(self, stretches: Iterable[Span], settled_ms: float) -> list[Span]:
        self._settled_ms = max(self._settled_ms, settled_ms)
        new = self._spoken.hear(stretches, settled_ms)
        if not self._has_words:
            self._spoken.take(math.inf)  # nobody else takes sound that no word will belong to
        return new

    def _next_number(self) -> int:
        self._results += 1
        return self._results - 1

    def _keep(self, message: m.AnalysisResult) -> m.AnalysisResult:
        if lasts(message):
            self._lasting.append(message)
            del self._lasting[: max(0, len(self._lasting) - self._kept)]
        return message


def _speech_of(result: m.AnalysisResult) -> Iterable[m.SpeechData]:
    delivery = result.data.delivery
    return () if delivery is UNSET or delivery.speech is UNSET else delivery.speech


def lasts(message: m.AnalysisResult) -> bool:
    """Whether a client must not miss a result: a window, a summary or an event of delivery."""
    delivery = message.data.delivery
    if delivery is UNSET:
        return False
    return delivery.window is not None or delivery.summary is not None or bool(message.data.events)
