"""The progress bar on a terminal: the only module that knows the `rich` library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Meter(Protocol):
    """Is told how far a file is."""

    def update(self, sent_bytes: int, captioned_ms: int) -> None:
        """`sent_bytes` of the file have gone out, finals reach to `captioned_ms` on the media clock."""
        ...


class _Silent:
    def update(self, sent_bytes: int, captioned_ms: int) -> None:
        """Nobody looks."""


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def update(self, sent_bytes: int, captioned_ms: int) -> None:
        """Draw."""
        self._progress.update(self._task, completed=sent_bytes, captioned=f"{captioned_ms / 1000:.1f} s of text")


@contextmanager
def meter(name: str, size_bytes: int) -> Iterator[Meter]:
    """A bar on stderr when that is a terminal, else nothing."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Silent()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[captioned]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress, progress.add_task(name, total=size_bytes, captioned=""))
