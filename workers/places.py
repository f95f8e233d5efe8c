"""Places for calls that wait, bounded and shared fairly between peers. Pure bookkeeping.

The invariant: at most `total` places are taken. Whoever floods displaces its own calls: when every place is taken, the
oldest call of the peer with the most calls ends (the new call counts as well).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class Place:
    """One waiting call of a peer. `on_displaced` is called when another call takes its place."""

    peer: str
    on_displaced: Callable[[], None]


class FairPlaces:
    """The places of one kind of call."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._taken = 0
        self._by_peer: dict[str, dict[Place, None]] = {}  # each peer's places, the oldest first

    def __len__(self) -> int:
        return self._taken

    def take(self, peer: str, on_displaced: Callable[[], None]) -> Place:
        """Take a place, if necessary that of another call."""
        place = Place(peer, on_displaced)
        self._by_peer.setdefault(peer, {})[place] = None
        self._taken += 1
        if self._taken > self._total:
            self._displace()
        return place

    def release(self, place: Place) -> None:
        """Give a place back. Does nothing for a place that another call has taken."""
        places = self._by_peer.get(place.peer, {})
        if place in places:
            del places[place]
            self._taken -= 1
            if not places:
                del self._by_peer[place.peer]

    def _displace(self) -> None:
        """End the oldest call of the peer with the most calls; among equals, of the one that came first."""
        greediest = max(self._by_peer.values(), key=len)
        victim = next(iter(greediest))
        self.release(victim)
        victim.on_displaced()
