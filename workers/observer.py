"""What engines report about their work, as a Protocol: workers/metrics.py implements it with the metrics library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol


class EngineObserver(Protocol):
    """Receives events about work, from any thread. Words among the arguments are from closed sets, fit for labels.

    `kind`: `closing`, `step`, `interim`, `ahead` and `file` for speech, `frame` for pictures.
    """

    def waited(self, kind: str, seconds: float) -> None:
        """A job left the queue after `seconds`."""
        ...

    def worked(self, kind: str, seconds: float) -> None:
        """A thread worked for `seconds` on a step: one model run, for one or several jobs."""
        ...

    def late(self, seconds: float) -> None:
        """A live stream's hypothesis was ready `seconds` after it was due; zero or less: in time."""
        ...

    def decoder_ended(self, ending: str) -> None:
        """A decoder process ended and is replaced: one of ENDINGS."""
        ...

    def watch_queue(self, length: Callable[[], float]) -> None:
        """Ask `length` how many jobs wait, whenever somebody wants to know."""
        ...


ENDINGS: Final = ("died", "hung", "broke protocol")


class NoObserver:
    """Ignores everything."""

    def waited(self, kind: str, seconds: float) -> None:
        """Ignored."""

    def worked(self, kind: str, seconds: float) -> None:
        """Ignored."""

    def late(self, seconds: float) -> None:
        """Ignored."""

    def decoder_ended(self, ending: str) -> None:
        """Ignored."""

    def watch_queue(self, length: Callable[[], float]) -> None:
        """Ignored."""


NO_OBSERVER: Final = NoObserver()
