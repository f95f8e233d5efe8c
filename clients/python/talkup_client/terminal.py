"""What the user sees while a command runs: messages, a bar, live captions. The only module that imports `rich`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

_REFRESH_HZ = 8


class Meter(Protocol):
    """Shows the progress of a file."""

    def update(self, sent_bytes: int, captioned_ms: int) -> None:
        """`sent_bytes` of the file are sent; finals reach up to `captioned_ms` on the media clock."""
        ...


class Captions(Protocol):
    """Shows captions."""

    def interim(self, text: str) -> None:
        """Show words that may still change, in place of the previous ones."""
        ...

    def final(self, start_ms: int, text: str) -> None:
        """Show words that will not change; `start_ms` on the media clock."""
        ...


class Silent:
    """A Meter and Captions that show nothing."""

    def update(self, sent_bytes: int, captioned_ms: int) -> None:
        """Do nothing."""

    def interim(self, text: str) -> None:
        """Do nothing."""

    def final(self, start_ms: int, text: str) -> None:
        """Do nothing."""


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def update(self, sent_bytes: int, captioned_ms: int) -> None:
        """Draw."""
        self._progress.update(self._task, completed=sent_bytes, captioned=f"{captioned_ms / 1000:.1f} s of text")


class _Lines:
    """Prints only finals, one per line: for pipes and files."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def interim(self, text: str) -> None:
        """Do nothing: what is printed cannot be taken back."""

    def final(self, start_ms: int, text: str) -> None:
        """Print."""
        self._console.print(Text(text), soft_wrap=True)


class _Screen:
    """Finals scroll up with their time; the interim stays below, dimmed."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def interim(self, text: str) -> None:
        """Show."""
        self._live.update(Text(text, style="dim italic"))

    def final(self, start_ms: int, text: str) -> None:
        """Print above the interim."""
        self._live.update(Text(""), refresh=True)  # else the interim would be drawn once more below
        minutes, seconds = divmod(max(0, start_ms) // 1000, 60)
        self._live.console.print(Text.assemble((f"{minutes:02}:{seconds:02}  ", "dim"), text))


class Terminal:
    """Text goes to standard output, everything else to standard error."""

    def __init__(self) -> None:
        self._out = Console(highlight=False)
        self._err = Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """Print a message on standard error, above any bar or captions."""
        self._err.print(Text(f"talkup: {text}"), soft_wrap=True)

    @contextmanager
    def meter(self, name: str, size_bytes: int) -> Iterator[Meter]:
        """A bar on standard error when that is a terminal, else nothing."""
        if not self._err.is_terminal or self._err.is_dumb_terminal:
            yield Silent()
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[captioned]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._err, transient=True) as progress:
            yield _Bar(progress, progress.add_task(name, total=size_bytes, captioned=""))

    @contextmanager
    def captions(self, *, on_stdout: bool) -> Iterator[Captions]:
        """Live captions: on standard output, or only for a person's eyes, on standard error if that is a terminal."""
        console = self._out if on_stdout else self._err
        if console.is_terminal and not console.is_dumb_terminal:
            with Live(console=console, refresh_per_second=_REFRESH_HZ, transient=True) as live:
                yield _Screen(live)
        elif on_stdout:
            yield _Lines(console)
        else:
            yield Silent()
