"""Who spoke when: the speech of several streams on one clock, their overlaps, interruptions and response times. Pure.

Words of one stream with less than `JOIN_MS` between them are one stretch of speech, as in Brady's talkspurts (Bell
System Technical Journal 47, 1968). Everything else follows from the stretches, so the order in which words arrive does
not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

JOIN_MS: Final = 200
"""Silence that ends a stretch of speech."""

MIN_OVERLAP_MS: Final = 500
"""Shorter overlaps are the ordinary changes of speaker, and within the error of word times without sound."""


class Span(NamedTuple):
    """A stretch of time in ms, from `t0_ms` up to but not including `t1_ms`."""

    t0_ms: int
    t1_ms: int


class Stretch(NamedTuple):
    """A stretch of speech of one stream, in ms on the common clock."""

    t0_ms: int
    t1_ms: int
    stream_id: str


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two streams speak at once. `first` began before `second`; if they began together, the names decide."""

    first: str
    second: str
    t0_ms: int
    t1_ms: int

    @property
    def length_ms(self) -> int:
        """How long both speak."""
        return self.t1_ms - self.t0_ms


@dataclass(frozen=True, slots=True)
class Interruption:
    """`by` begins while `of` speaks, and still speaks when `of` has stopped, after an overlap of `overlap_ms`."""

    by: str
    of: str
    t0_ms: int
    overlap_ms: int


@dataclass(frozen=True, slots=True)
class Latency:
    """`of` begins to speak `latency_ms` after `after` has stopped; nobody speaks between, and nobody spoke at once."""

    of: str
    after: str
    t0_ms: int
    latency_ms: int


class TurnTaking:
    """The turns of a conversation, one stream a speaker."""

    def __init__(self) -> None:
        self._spans: dict[str, list[Span]] = {}
        self._stretches: list[Stretch] | None = None

    def add(self, stream_id: str, t0_ms: int, t1_ms: int) -> None:
        """A word of a stream, in ms on the common clock. Words may come in any order, and more than once."""
        self._spans.setdefault(stream_id, []).append(Span(t0_ms, max(t0_ms, t1_ms)))
        self._stretches = None

    @property
    def stretches(self) -> list[Stretch]:
        """The speech of all streams, in order."""
        if self._stretches is None:
            found = [Stretch(*span, stream_id) for stream_id, spans in self._spans.items() for span in joined(spans)]
            self._stretches = sorted(found, key=lambda each: (each.t0_ms, each.stream_id))
        return self._stretches

    @property
    def talk_ms(self) -> Mapping[str, int]:
        """How long each stream speaks, in ms; the pauses between its stretches do not count."""
        talk = dict.fromkeys(self._spans, 0)
        for each in self.stretches:
            talk[each.stream_id] += each.t1_ms - each.t0_ms
        return talk

    @property
    def overlaps(self) -> list[Overlap]:
        """Every overlap of two streams, however short, in order."""
        return [overlap for overlap, _, _ in self._pairs()]

    @property
    def interruptions(self) -> list[Interruption]:
        """The overlaps of MIN_OVERLAP_MS and longer after which only the second speaker continues.

        An interruption to which the first speaker yields sooner is not distinguished from a change of speaker.
        """
        return [
            Interruption(overlap.second, overlap.first, overlap.t0_ms, overlap.length_ms)
            for overlap, earlier, later in self._pairs()
            if overlap.length_ms >= MIN_OVERLAP_MS and later.t1_ms > earlier.t1_ms
        ]

    @property
    def latencies(self) -> list[Latency]:
        """The gaps at changes of speaker, in order. A stream that continues after its own pause answers nobody."""
        found: list[Latency] = []
        last: Stretch | None = None
        for each in self.stretches:
            if last is not None and each.t0_ms >= last.t1_ms and each.stream_id != last.stream_id:
                found.append(Latency(each.stream_id, last.stream_id, each.t0_ms, each.t0_ms - last.t1_ms))
            if last is None or each.t1_ms >= last.t1_ms:
                last = each
        return found

    def _pairs(self) -> Iterator[tuple[Overlap, Stretch, Stretch]]:
        """Every overlap with the stretch that began earlier and the one that began later."""
        speaking: list[Stretch] = []
        for later in self.stretches:
            speaking = [each for each in speaking if each.t1_ms > later.t0_ms]
            for earlier in speaking:
                if (overlap := overlap_of(earlier, later)) is not None:
                    yield overlap, earlier, later
            speaking.append(later)


def joined(spans: Iterable[Span]) -> list[Span]:
    """The stretches that these words of one stream make up, in order."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.t0_ms - found[-1].t1_ms < JOIN_MS:
            found[-1] = Span(found[-1].t0_ms, max(found[-1].t1_ms, span.t1_ms))
        else:
            found.append(span)
    return found


def overlap_of(one: Stretch, other: Stretch) -> Overlap | None:
    """The time in which two stretches of different streams overlap; None if they do not."""
    earlier, later = sorted((one, other), key=lambda each: (each.t0_ms, each.stream_id))
    t1_ms = min(earlier.t1_ms, later.t1_ms)
    if earlier.stream_id == later.stream_id or t1_ms <= later.t0_ms:
        return None
    return Overlap(earlier.stream_id, later.stream_id, later.t0_ms, t1_ms)
