"""How fast the gateway reads sockets whose messages it refuses: clients that send nonsense get little time.

Each socket has a pace of its own, and all sockets of an owner share one more, so that a new socket is no new burst. An
owner is that of an API key, or an address for clients without a key. The shared pace is for sockets with several
refused messages and few others: one that makes a mistake now and then never waits for what other sockets do.
"""

from __future__ import annotations

from typing import Final

from settings.network import client_network

# How many messages of a socket may be refused at once, and how many a second after that; of an owner alike.
REFUSED_BURST: Final = 20
REFUSED_PER_S: Final = 50.0
# So many refused messages of a new socket count for the socket alone, and one more for each accepted message, up to a
# burst: a stream that ends early leaves the chunks behind that were under way.
MISTAKES: Final = 3
# How many frames a socket may send, refused or not.
FRAMES_BURST: Final = 10_000
FRAMES_PER_S: Final = 5_000
# The longest that a socket waits because of other sockets.
LONGEST_WAIT_S: Final = 2.0


def pace_owner(owner: str, address: str) -> str:
    """Whose pace a client shares: that of its key's `owner`, or of its address if its key or the door names nobody."""
    return f"key {owner}" if owner else f"address {client_network(address)}"


class Pace:
    """The pace of one socket, or of all sockets of an owner. Every `now` is in seconds."""

    __slots__ = ("_at", "_burst", "_left", "_per_s")

    def __init__(self, burst: int = REFUSED_BURST, per_s: float = REFUSED_PER_S) -> None:
        self._burst = float(burst)
        self._per_s = per_s
        self._left = self._burst
        self._at = 0.0

    def pause_s(self, now: float) -> float:
        """A message was refused: seconds to wait before the next one is read, at most `LONGEST_WAIT_S`."""
        self._left = max(self._left_at(now) - 1.0, -LONGEST_WAIT_S * self._per_s)
        self._at = now
        return max(0.0, -self._left / self._per_s)

    def is_full(self, now: float) -> bool:
        """Whether a whole burst may be refused: nothing is left of what was."""
        return self._left_at(now) >= self._burst

    def _left_at(self, now: float) -> float:
        earned = max(0.0, now - self._at) * self._per_s
        return min(self._burst, self._left + earned)


class OwnerPaces:
    """The paces that sockets share, by owner. One that is full is forgotten.

    So it holds only owners with refused messages in the last seconds: a burst and the longest wait.
    """

    def __init__(self) -> None:
        self._paces: dict[str, Pace] = {}  # in the order of their latest refusals

    def __len__(self) -> int:
        return len(self._paces)

    def pause_s(self, owner: str, now: float) -> float:
        """A message of an owner's socket was refused: seconds to wait before that socket's next one is read."""
        while self._paces and self._paces[oldest := next(iter(self._paces))].is_full(now):
            del self._paces[oldest]
        pace = self._paces[owner] = self._paces.pop(owner) if owner in self._paces else Pace()
        return pace.pause_s(now)


class SocketPace:
    """The pace of one socket of some owner."""

    __slots__ = ("_accepted", "_mistakes", "_own", "_owners", "_refused")

    def __init__(self, owners: OwnerPaces) -> None:
        self._owners = owners
        self._own = Pace()
        self._mistakes = MISTAKES
        self._refused = 0
        self._accepted = 0

    def pause_s(self, owner: str, received: int, now: float) -> float:
        """A message was refused, the latest of `received`: seconds to wait before the next one is read."""
        self._refused += 1
        accepted = received - self._refused
        self._mistakes = min(REFUSED_BURST, self._mistakes + accepted - self._accepted)
        self._accepted = accepted
        pause_s = self._own.pause_s(now)
        if self._mistakes > 0:
            self._mistakes -= 1
            return pause_s
        return max(pause_s, self._owners.pause_s(owner, now))
