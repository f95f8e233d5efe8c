"""Fair shares: what each owner of API keys uses, and what it may still begin. Everything runs on the event loop.

An owner has a rate for what it begins, quotas, and a share of each service's slots by its weight. Some slots stay free
for owners with less than their share. When all are taken and such an owner asks for one, the stream that has sent
nothing for longest gives its slot back, first those of owners with more than their share.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from gateway.access.terms import Terms

_BURST_S: Final = 2.0
_DAY_S: Final = 86_400
# How long after a refusal for its rate an owner may be expected to send more.
_FLOOD_S: Final = 10.0
_RESERVE: Final = 8  # one slot in eight, rounded up
_RESERVE_FROM: Final = 4  # with fewer slots none is kept free
# When a refused owner should ask again: after an idle stream was asked for its slot, and else.
_SOON_S: Final = 0.5
_LATER_S: Final = 2.0
# For each new owner, so many others are looked at: those that use nothing are forgotten.
_LOOKS: Final = 2


@dataclass(frozen=True, slots=True)
class Refused:
    """Why an owner may not begin something. `reason`: rate, service, streams, media or slots.

    `wait_s`: when it may ask again; None: never.
    """

    reason: str
    text: str
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """The slots of a service, as far as this gateway knows."""

    total: int
    free: int


@dataclass(eq=False, slots=True)
class Slot:
    """A slot that a stream holds. `active_at`: when its client last sent something, by the clock of the shares.

    `give_back` asks the stream to end. It gets whether the owner has more than its share, and returns whether the
    stream agrees.
    """

    owner: str
    service: str
    weight: float
    active_at: float
    give_back: Callable[[bool], bool]
    is_leaving: bool = False


@dataclass(slots=True)
class _Use:
    """What one owner uses. From `full_at` on it may begin a whole burst."""

    tokens: float
    filled_at: float
    full_at: float
    slots: Counter[str] = field(default_factory=Counter)
    day: int = 0
    media_ms: int = 0

    def is_new(self, now: float, today: int) -> bool:
        """Whether it is as that of an owner that nobody has seen."""
        return now >= self.full_at and not self.slots.total() and (not self.media_ms or self.day != today)


class Shares:
    """The use of every owner. `clock`: seconds, without jumps. `owners`: how many owners have a valid key.

    An identity provider names ever new owners. Those that hold nothing and have used nothing lately are forgotten.
    """

    def __init__(
        self,
        owners: Callable[[], int],
        clock: Callable[[], float],
        idle_s: float,
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        """`idle_s`: a stream that has sent nothing for this long may lose its slot. `unix_clock`: for days."""
        self._owners = owners
        self._clock = clock
        self._unix_clock = unix_clock
        self._idle_s = idle_s
        self._flooded_at = -math.inf
        self._uses: dict[str, _Use] = {}  # those looked at longest ago come first
        self._slots: dict[Slot, None] = {}  # in the order in which they were taken

    def __len__(self) -> int:
        """How many owners are remembered."""
        return len(self._uses)

    @property
    def is_flooded(self) -> bool:
        """Whether an owner was above its rate a moment ago."""
        return self._clock() - self._flooded_at < _FLOOD_S

    def charge(self, terms: Terms) -> Refused | None:
        """Count something that an owner begins against its rate."""
        refused = self.over_rate(terms)
        if refused is None and terms.rate is not None:
            use = self._uses[terms.owner]
            use.tokens -= 1.0
            use.full_at = max(use.full_at, use.filled_at + (_burst(terms.rate) - use.tokens) / terms.rate)
        return refused

    def over_rate(self, terms: Terms) -> Refused | None:
        """The refusal of an owner above its rate; None for one that is not. Counts nothing against the rate."""
        if terms.rate is None:
            return None
        use, now = self._use(terms), self._clock()
        burst = _burst(terms.rate)
        elapsed = max(0.0, now - use.filled_at)
        use.tokens, use.filled_at = min(burst, use.tokens + elapsed * terms.rate), now
        if use.tokens >= 1.0:
            return None
        self._flooded_at = now
        return Refused("rate", "this key is over its rate", (1.0 - use.tokens) / terms.rate)

    def check_stream(self, terms: Terms, services: Collection[str], calls: int | None = None) -> Refused | None:
        """Whether an owner may begin a stream on these services, as far as its own terms go.

        `calls`: how many slots it takes, if that is not one for each service.
        """
        for service in services:
            if not terms.allows_service(service):
                return Refused("service", f"services: this key may not use {service}")
        use = self._use(terms)
        if (
            terms.streams is not None
            and use.slots.total() + (len(services) if calls is None else calls) > terms.streams
        ):
            return Refused("streams", f"this key may have {terms.streams} streams open at once", _LATER_S)
        return self.check_media(terms)

    def check_slots(self, terms: Terms, rooms: Mapping[str, Room | None]) -> Refused | None:
        """Whether an owner's share has a slot of each service; `rooms`: None if the slots of a service are unknown.

        Where every service is full, idle streams are asked for their slots.
        """
        rooms = {service: room and self._with_own(service, room) for service, room in rooms.items()}
        for service, room in rooms.items():
            if room is not None and room.free > 0 and not self._may_take(terms, service, room):
                return Refused("slots", f"every {service} slot of this key's share is taken", _LATER_S)
        full = [(service, room) for service, room in rooms.items() if room is not None and room.free <= 0]
        if len(full) < len(rooms):
            return None
        if any(self._ask_idle_stream(terms, *each) for each in full):
            return Refused("slots", "every worker slot is taken; an idle stream gives one back", _SOON_S)
        return Refused("slots", "every worker slot is taken", _LATER_S) if self._owners() > 1 else None

    def check_media(self, terms: Terms) -> Refused | None:
        """Whether an owner has media left for today."""
        if terms.media_minutes is None or self._media_today(terms) < terms.media_minutes * 60_000:
            return None
        return Refused("media", "this key has used its media of today (UTC)", _DAY_S - self._unix_clock() % _DAY_S)

    def add_media(self, terms: Terms, media_ms: int) -> None:
        """Count media that was worked on."""
        self._media_today(terms)
        self._use(terms).media_ms += media_ms

    def take(self, terms: Terms, service: str, give_back: Callable[[bool], bool]) -> Slot:
        """A stream takes a slot. It has to call `free` at its end."""
        slot = Slot(terms.owner, service, terms.weight, self._clock(), give_back)
        self._slots[slot] = None
        self._use(terms).slots[service] += 1
        return slot

    def free(self, slot: Slot) -> None:
        """A stream is over. Calling this again does nothing."""
        if slot in self._slots:
            del self._slots[slot]
            self._uses[slot.owner].slots[slot.service] -= 1

    def _use(self, terms: Terms) -> _Use:
        use = self._uses.get(terms.owner)
        if use is None:
            now = self._clock()
            self._forget(now)
            use = self._uses[terms.owner] = _Use(_burst(terms.rate or 0.0), now, now)
        return use

    def _forget(self, now: float) -> None:
        """Look at the next few owners."""
        for owner in list(islice(self._uses, _LOOKS)):
            use = self._uses.pop(owner)
            if not use.is_new(now, self._today()):
                self._uses[owner] = use

    def _today(self) -> int:
        return int(self._unix_clock() // _DAY_S)

    def _media_today(self, terms: Terms) -> int:
        use, today = self._use(terms), self._today()
        if use.day != today:
            use.day, use.media_ms = today, 0
        return use.media_ms

    def _with_own(self, service: str, room: Room) -> Room:
        """A room that counts every stream of this gateway, also those that have not reached a worker yet."""
        held = sum(slot.service == service for slot in self._slots)
        return Room(room.total, min(room.free, room.total - held))

    def _may_take(self, terms: Terms, service: str, room: Room) -> bool:
        if self._owners() <= 1:
            return True  # there is nobody to share with
        used = self._use(terms).slots[service]
        reserve = math.ceil(room.total / _RESERVE) if room.total >= _RESERVE_FROM else 0
        weights = self._weights(terms, service)
        if len(weights) < self._owners() and used >= max(1, room.total - reserve):
            return False
        return room.free > reserve or used < _share(room.total, terms.weight, weights)

    def _weights(self, terms: Terms, service: str) -> dict[str, float]:
        """The weights of the owners that use a service, and of the one that asks."""
        return {terms.owner: terms.weight} | {
            slot.owner: slot.weight for slot in self._slots if slot.service == service
        }

    def _ask_idle_stream(self, terms: Terms, service: str, room: Room) -> bool:
        """Whether an idle stream gives its slot back; one at a time, so that no more end than others wait."""
        if any(slot.is_leaving for slot in self._slots if slot.service == service):
            return True
        now, weights = self._clock(), self._weights(terms, service)
        # An owner that has its share already may only take from itself.
        own_only = self._use(terms).slots[service] >= _share(room.total, terms.weight, weights)
        idle = [
            (self._excess(slot, room, weights), now - slot.active_at, slot)
            for slot in self._slots
            if slot.service == service
            and now - slot.active_at >= self._idle_s
            and (not own_only or slot.owner == terms.owner)
        ]
        idle.sort(key=lambda each: (-each[0], -each[1]))
        for excess, _, slot in idle:
            if slot.give_back(excess > 0):
                slot.is_leaving = True
                return True
        return False

    def _excess(self, slot: Slot, room: Room, weights: Mapping[str, float]) -> float:
        """How many slots the owner of a slot has beyond its share; 0 if it has less."""
        if len(weights) <= 1:
            return 0.0
        used = self._uses[slot.owner].slots[slot.service]
        return max(0.0, used - _share(room.total, slot.weight, weights))


def _burst(rate: float) -> float:
    return max(1.0, rate * _BURST_S)


def _share(total: int, weight: float, weights: Mapping[str, float]) -> int:
    """How many slots an owner may have while the slots are short; at least one."""
    return max(1, math.floor(total * weight / sum(weights.values())))
