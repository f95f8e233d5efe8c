"""The longest stretch in which someone speaks without a pause of two seconds. Pure."""

from __future__ import annotations

import msgspec


class Monologue(msgspec.Struct, array_like=True):
    """One stream's. `begun`: start of the stretch that lasts, milliseconds; `longest_ms`: of the whole stream."""

    begun: int | None = None
    longest_ms: int = 0
    longest_in_window_ms: int = 0

    def speak(self, from_ms: int, to_ms: int, window_from_ms: int) -> None:
        """Someone speaks from one time to another, and has begun at `from_ms` unless the stretch lasts already."""
        self.begun = from_ms if self.begun is None else self.begun
        self.longest_ms = max(self.longest_ms, to_ms - self.begun)
        self.longest_in_window_ms = max(self.longest_in_window_ms, to_ms - max(self.begun, window_from_ms))

    def end(self) -> None:
        """A long pause follows."""
        self.begun = None
