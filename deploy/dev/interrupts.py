"""What ^C, SIGTERM and SIGHUP do to a program: end it before it has begun, drain it while it runs, nothing after."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STATUS = 130


class Interrupts:
    """Takes the signals over for as long as its context lasts; what comes at its end is ignored."""

    def __init__(self) -> None:
        self._handle: Callable[[], object] | None = None

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def hand_to(self, handle: Callable[[], object]) -> None:
        """Have `handle` called, in the main thread between any two instructions, for every signal from now on."""
        self._handle = handle

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._handle is not None:
            self._handle()
            return
        sys.stderr.write("stopped before it began\n")
        sys.stderr.flush()
        os._exit(STATUS)
