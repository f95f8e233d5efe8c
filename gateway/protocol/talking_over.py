"""Streams of one session that speak at once, as soon as their words are final: the event `talking_over`.

Words say that it is speech, the sound that a worker measured says from when to when (`gateway.protocol.spoken`). An
overlap is reported once both stretches of speech are over and everything before is final, so it does not depend on
which stream's words come first. It becomes an event of the stream that began second, on that stream's media clock.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from talkup.v1 import task_pb2

from gateway.protocol.actions import Action, CountForgotten, TaskKey
from gateway.protocol.messages import EventData
from gateway.protocol.stream import Stream
from gateway.protocol.turns import JOIN_MS, MIN_OVERLAP_MS, Overlap, Span, Stretch, joined, overlap_of

EVENT: Final = "talking_over"

MAX_STRETCHES: Final = 4096
"""The speech of a stream that waits for a silent one: an hour and more. The report does not have this bound."""

# Without a measured sound, edges are uncertain by a tenth of a second and more: an overlap of a second is certain.
_CERTAIN_MS: Final = 1000


class _Voice:
    """The speech of one stream that may still overlap with another's; everything before `until_ms` is final."""

    def __init__(self) -> None:
        self.until_ms = -math.inf
        self.open: list[Span] = []
        self.closed: list[Span] = []
        self.forgotten = 0

    def hear(self, spans: Iterable[Span], until_ms: float) -> list[Span]:
        """Add speech that is certain; returns the stretches that are over now."""
        self.until_ms = max(self.until_ms, until_ms)
        stretches = joined([*self.open, *spans])
        over = [each for each in stretches if each.t1_ms + JOIN_MS <= self.until_ms]
        self.open = stretches[len(over) :]
        closed = [*self.closed, *over]
        self.forgotten += max(0, len(closed) - MAX_STRETCHES)
        self.closed = closed[-MAX_STRETCHES:]
        return over

    def overlaps_with(self, stretch: Stretch, own_id: str) -> Iterator[Overlap]:
        """The overlaps of another stream's stretch with those that are over; the latest first."""
        for span in reversed(self.closed):
            if span.t1_ms <= stretch.t0_ms:
                return
            if (overlap := overlap_of(stretch, Stretch(*span, own_id))) is not None:
                yield overlap

    @property
    def is_spent(self) -> bool:
        """Whether the stream is over and nothing can overlap with it any more."""
        return self.until_ms == math.inf and not self.closed

    @property
    def settled_ms(self) -> float:
        """Speech that is not over yet begins here or later."""
        return self.open[0].t0_ms if self.open else self.until_ms

    def forget_before(self, ms: float) -> None:
        """Forget the stretches with which nothing can overlap any more."""
        self.closed = [each for each in self.closed if each.t1_ms > ms]


class TalkingOver:
    """The streams of one session whose words are on a common clock, in ms."""

    def __init__(self) -> None:
        self._voices: dict[str, _Voice] = {}

    @property
    def waiting(self) -> list[str]:
        """The streams that were expected or heard and are not over."""
        return [name for name, voice in self._voices.items() if voice.until_ms < math.inf]

    def expect(self, stream_id: str) -> None:
        """A stream will speak: keep what could overlap with it."""
        self._voices.setdefault(stream_id, _Voice())

    def close(self, stream_ids: Iterable[str]) -> list[Overlap]:
        """These streams are over. Returns the overlaps that are certain now."""
        return [overlap for name in tuple(stream_ids) for overlap in self.hear(name, (), math.inf)]

    def hear(self, stream_id: str, spans: Iterable[Span], until_ms: float) -> list[Overlap]:
        """The speech of a stream, which has no other before `until_ms`; infinity: it is over.

        Returns the overlaps that are certain now, in order.
        """
        self.expect(stream_id)
        found: list[Overlap] = []
        for span in self._voices[stream_id].hear(spans, until_ms):
            stretch = Stretch(*span, stream_id)
            for other_id, other in self._voices.items():
                overlaps = other.overlaps_with(stretch, other_id)
                found += [overlap for overlap in overlaps if overlap.length_ms >= MIN_OVERLAP_MS]
        self._forget()
        return sorted(found, key=lambda overlap: (overlap.t0_ms, overlap.first, overlap.second))

    def take_forgotten(self) -> int:
        """How many stretches waited too long for a silent stream since the last call: they were compared with none."""
        forgotten = sum(voice.forgotten for voice in self._voices.values())
        for voice in self._voices.values():
            voice.forgotten = 0
        return forgotten

    def _forget(self) -> None:
        """Forget speech with which no other stream's can overlap any more, and streams of which nothing is left."""
        slowest = heapq.nsmallest(2, ((voice.settled_ms, name) for name, voice in self._voices.items()))
        for name, voice in list(self._voices.items()):
            voice.forget_before(min((ms for ms, other in slowest if other != name), default=math.inf))
            if voice.is_spent:
                del self._voices[name]


def confidence_of(overlap: Overlap) -> float:
    """How certain it is that two streams spoke at once, 0 to 1."""
    return min(1.0, overlap.length_ms / _CERTAIN_MS)


class Voices:
    """The streams of one session whose words are final and whose delivery is measured: they share a clock."""

    def __init__(self) -> None:
        self._talking = TalkingOver()

    def follow(self, stream: Stream, streams: Mapping[str, Stream], *, is_last: bool = False) -> list[Action]:
        """What follows from the words of a stream that are final by now; `is_last`: no others will come."""
        if stream.delivery is None or not _has_words(stream):
            return []
        for each in streams.values():
            if _has_words(each) and each.ended_message is None:
                self._talking.expect(each.stream_id)
        gone = (name for name in self._talking.waiting if name not in streams or streams[name].ended_message)
        overlaps = self._talking.close(gone)
        spans, until = stream.delivery.take_speech(math.inf if is_last else stream.heard_ms)
        overlaps += self._talking.hear(stream.stream_id, spans, until)
        actions = [action for overlap in overlaps for action in _report(overlap, streams)]
        if words := stream.delivery.take_forgotten():
            actions.append(CountForgotten("words", words))
        if stretches := self._talking.take_forgotten():
            actions.append(CountForgotten("stretches", stretches))
        return actions

    def before(self, key: TaskKey, streams: Mapping[str, Stream], result: task_pb2.TaskResult) -> list[Action]:
        """What is due before a result is handled: once a stream has ended, nothing more is said about it."""
        if not result.HasField("ended") or key.service_type != task_pb2.SERVICE_TYPE_STT:
            return []
        stream = streams[key.stream_id]
        if stream.delivery is not None:
            stream.delivery.measure(result.delivery)
        return self.follow(stream, streams, is_last=True)

    def restore(self, streams: Mapping[str, Stream]) -> list[Action]:
        """The same for streams that another gateway held; what that gateway reported is not reported again."""
        for stream in filter(_has_words, streams.values()):
            self._talking.expect(stream.stream_id)
        return [action for stream in streams.values() for action in self.follow(stream, streams)]


def _has_words(stream: Stream) -> bool:
    return stream.delivery is not None and task_pb2.SERVICE_TYPE_STT in stream.spec.services


def _report(overlap: Overlap, streams: Mapping[str, Stream]) -> list[Action]:
    stream = streams.get(overlap.second)
    if stream is None or stream.delivery is None or (origin := stream.delivery.origin_ms) is None:
        return []
    event = EventData(
        type=EVENT,
        t0_ms=overlap.t0_ms - origin,
        t1_ms=overlap.t1_ms - origin,
        confidence=confidence_of(overlap),
    )
    return stream.report(event)
