"""Something begins, lasts and ends, with hysteresis at both edges; at most one event of a type is open. Pure.

A condition is looked at once a second or once a window. It begins an event when it has been met for `enter_ms`, and
ends it when it has failed for `leave_ms`. Between the thresholds to begin and to end, and where it cannot be measured,
nothing changes. Each look is at a stretch of media: an event reaches over the stretches in which the condition was met.

The thresholds describe; nobody is too fast or too slow. Pauses beyond a second are found in free speech alone, not in
reading (Campione & Véronis, "A large-scale multilingual study of silent pause duration", 2002); two seconds are long in
any language. In seven languages, readers speak 5.2 to 7.8 syllables a second (Pellegrino et al., "A cross-language
perspective on speech information rate", 2011). So the bounds are wide, and the speaker's own first minute has to be
passed, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
from talkup.v1 import analysis_pb2

LONG_PAUSE: Final = "long_pause"
SPEAKING_FAST: Final = "speaking_fast"
SPEAKING_SLOWLY: Final = "speaking_slowly"
TRAILING_OFF: Final = "trailing_off"
MONOTONE: Final = "monotone"

LONG_PAUSE_MS: Final = 2_000
TURN_MS: Final = 10_000
"""A silence of this length ends the turn: it is no pause of the speaker, who may be listening."""

FAST_SYLLABLES: Final = 330.0
SLOW_SYLLABLES: Final = 200.0
"""Syllables a minute of speech without pauses: 5.5 and 3.3 a second."""
FAST_OWN: Final = 1.2
SLOW_OWN: Final = 0.8
"""Against the speaker's own first minute."""
MONOTONE_SEMITONES: Final = 1.5
MONOTONE_OWN: Final = 0.7
"""Standard deviation of the pitch, and against the speaker's own first minute; 20 s of voiced speech."""
_SLACK: Final = 0.07
"""An event ends only when a threshold is passed by this share."""

_TRUST: Final = 0.7


@dataclass(frozen=True, slots=True)
class Condition:
    """How long a condition must be met to begin an event, and fail to end it, milliseconds."""

    type: str
    enter_ms: int
    leave_ms: int


CONDITIONS: Final = (
    Condition(SPEAKING_FAST, 2_000, 2_000),
    Condition(SPEAKING_SLOWLY, 2_000, 2_000),
    Condition(MONOTONE, 0, 0),
)


class Memory(msgspec.Struct, array_like=True):
    """What one condition remembers, media milliseconds; `began` None while there is no event.

    `since`: end of the first look that speaks for a change; `first`: start of the stretch that first met the condition;
    `seen`: end of the last one.
    """

    began: int | None = None
    since: int | None = None
    first: int = 0
    seen: int = 0


class EventFinder:
    """The events of one stream whose conditions are looked at again and again."""

    def __init__(self, memories: dict[str, Memory] | None = None) -> None:
        known = memories or {}
        self.memories = {condition.type: known.get(condition.type, Memory()) for condition in CONDITIONS}

    def look(self, type_: str, met: bool | None, t0_ms: int, t1_ms: int) -> list[analysis_pb2.VisionEvent]:
        """The event that begins or ends with a look at a stretch; `met` None: neither met nor failed."""
        if met is None:
            return []
        condition = next(each for each in CONDITIONS if each.type == type_)
        memory = self.memories[type_]
        if met and memory.began is None:
            return self._enter(condition, memory, t0_ms, t1_ms)
        if met:
            memory.seen, memory.since = t1_ms, None
            return []
        if memory.began is None:
            memory.since = None
            return []
        memory.since = t1_ms if memory.since is None else memory.since
        return self._end(type_, memory) if t1_ms - memory.since >= condition.leave_ms else []

    def finish(self) -> list[analysis_pb2.VisionEvent]:
        """End the events that still last, since the stream ends."""
        lasting = [(name, memory) for name, memory in self.memories.items() if memory.began is not None]
        return [event for name, memory in lasting for event in self._end(name, memory)]

    @staticmethod
    def _enter(condition: Condition, memory: Memory, t0_ms: int, t1_ms: int) -> list[analysis_pb2.VisionEvent]:
        if memory.since is None:
            memory.since, memory.first = t1_ms, t0_ms
        memory.seen = t1_ms
        if t1_ms - memory.since < condition.enter_ms:
            return []
        memory.began, memory.since = memory.first, None
        return [event(condition.type, memory.began, None)]

    @staticmethod
    def _end(type_: str, memory: Memory) -> list[analysis_pb2.VisionEvent]:
        ended = event(type_, memory.began or 0, memory.seen)
        memory.began = memory.since = None
        return [ended]


class LongPauses(msgspec.Struct, array_like=True):
    """The pauses of two seconds and longer of one stream.

    `began`: start of the one that lasts; `turned`: start of the last silence that ended a turn.
    """

    began: int | None = None
    turned: int | None = None

    def ended(self, t0_ms: int, t1_ms: int) -> list[analysis_pb2.VisionEvent]:
        """A pause or a longer silence has ended."""
        if self.began is not None:
            self.began = None
            return [event(LONG_PAUSE, t0_ms, min(t1_ms, t0_ms + TURN_MS))]
        # One that was over before anybody looked; the end of a turn has been told already, even if the speech behind it
        # turns out to have begun a little earlier.
        if t0_ms != self.turned and LONG_PAUSE_MS <= t1_ms - t0_ms < TURN_MS:
            return [event(LONG_PAUSE, t0_ms, t1_ms)]
        return []

    def lasts(self, t0_ms: int | None, now_ms: int) -> list[analysis_pb2.VisionEvent]:
        """A pause since `t0_ms` lasts, or none does; the end of a turn ends it."""
        if t0_ms is None or now_ms - t0_ms < LONG_PAUSE_MS:
            return []
        if now_ms - t0_ms >= TURN_MS:
            lasting, self.began, self.turned = self.began, None, t0_ms
            return [] if lasting is None else [event(LONG_PAUSE, t0_ms, t0_ms + TURN_MS)]
        if self.began is not None:
            return []
        self.began = t0_ms
        return [event(LONG_PAUSE, t0_ms, None)]

    def finish(self, media_ms: int) -> list[analysis_pb2.VisionEvent]:
        """The stream ends: nobody goes on after the silence."""
        lasting, self.began = self.began, None
        return [] if lasting is None else [event(LONG_PAUSE, lasting, media_ms)]


def is_fast(rate: float | None, own: float | None) -> bool | None:
    """Whether an articulation rate is high against the bound and the speaker's own first minute."""
    if rate is None or own is None:
        return None
    bound = max(FAST_SYLLABLES, FAST_OWN * own)
    return True if rate >= bound else False if rate < bound * (1 - _SLACK) else None


def is_slow(rate: float | None, own: float | None) -> bool | None:
    """Whether it is low against both."""
    if rate is None or own is None:
        return None
    bound = min(SLOW_SYLLABLES, SLOW_OWN * own)
    return True if rate <= bound else False if rate > bound * (1 + _SLACK) else None


def is_monotone(spread: float | None, own: float | None) -> bool | None:
    """Whether the pitch hardly moves against the bound and the speaker's own first minute."""
    if spread is None or own is None:
        return None
    bound = min(MONOTONE_SEMITONES, MONOTONE_OWN * own)
    return True if spread <= bound else False if spread > bound * (1 + _SLACK) else None


def event(type_: str, t0_ms: int, t1_ms: int | None, confidence: float = _TRUST) -> analysis_pb2.VisionEvent:
    """An event; `t1_ms` None: it lasts."""
    return analysis_pb2.VisionEvent(type=type_, t0_ms=t0_ms, t1_ms=t1_ms, confidence=confidence)
