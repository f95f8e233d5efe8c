"""Pipes, devices and standard input, opened so that an event loop can wait for what they give."""

from __future__ import annotations

import os
import selectors
import sys
from typing import BinaryIO

# Open a FIFO without waiting for its writer. Reading begins once there is one (on Linux, epoll reports nothing before).
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)


def open_path(path: str) -> int:
    """Open a path, or standard input (`-`), and return its descriptor.

    Raises OSError, or ValueError for a standard input that is a terminal, or closed.
    """
    if path != "-":
        return os.open(path, _READ)
    if sys.stdin is None or sys.stdin.isatty():
        raise ValueError("standard input is a terminal")
    return os.dup(sys.stdin.fileno())


def can_be_polled(pipe: BinaryIO) -> bool:
    """Whether the event loop can wait for data; it cannot for regular files or /dev/null."""
    with selectors.DefaultSelector() as selector:
        try:
            selector.register(pipe, selectors.EVENT_READ)
        except (OSError, ValueError):
            return False
    return True
