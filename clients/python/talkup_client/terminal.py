"""What the user sees while a command runs: messages, a bar, live captions. The only module that imports `rich`."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from talkup_client.errors import UnwritableFileError

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
    """A bar of the media clock if the duration of the recording is known, else of the bytes sent."""

    def __init__(self, progress: Progress, name: str, size_bytes: int, playing_s: float | None) -> None:
        self._progress = progress
        self._playing_ms = round((playing_s or 0) * 1000)
        self._task = progress.add_task(name, total=self._playing_ms or size_bytes, reached="")

    def update(self, sent_bytes: int, captioned_ms: int) -> None:
        """Draw."""
        done = min(captioned_ms, self._playing_ms) if self._playing_ms else sent_bytes
        of_all = f" of {_clock(self._playing_ms)}" if self._playing_ms else ""
        self._progress.update(self._task, completed=done, reached=f"{_clock(captioned_ms)}{of_all}")


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
        self._live.console.print(Text.assemble((f"{_clock(start_ms)}  ", "dim"), text))


def _clock(milliseconds: int) -> str:
    """Minutes and seconds, with hours once there are any."""
    minutes, seconds = divmod(max(0, milliseconds) // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"


class Terminal:
    """Text goes to standard output, everything else to standard error."""

    def __init__(self) -> None:
        self._out = Console(highlight=False)
        self._err = Console(stderr=True, highlight=False)
        self._above_bar = False

    def say(self, text: str) -> None:
        """Print a message on standard error, above any bar or captions."""
        console = self._out if self._above_bar else self._err
        console.print(Text(f"talkup: {text}"), soft_wrap=True)

    def write(self, text: str) -> None:
        """Write whole lines to standard output, at once.

        Raises UnwritableFileError, or BrokenPipeError when nobody reads standard output any more.
        """
        if self._above_bar:
            self._out.print(Text(text), end="", soft_wrap=True)
            return
        try:
            if sys.stdout is None:
                raise OSError(errno.EBADF, "it is closed")
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UnwritableFileError(f"standard output cannot be written: {error.strerror}") from None

    @contextmanager
    def meter(self, name: str, size_bytes: int, playing_s: float | None = None) -> Iterator[Meter]:
        """A bar on a terminal, else nothing. On standard output's own terminal the text appears above it."""
        if not self._err.is_terminal or self._err.is_dumb_terminal:
            yield Silent()
            return
        shares_screen = self._out.is_terminal and not self._out.is_dumb_terminal
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[reached]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        # Redirected, text for a pipe or a file would be drawn on the screen instead.
        console = self._out if shares_screen else self._err
        drawn = Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
        with drawn as progress:
            self._above_bar = shares_screen
            try:
                yield _Bar(progress, name, size_bytes, playing_s)
            finally:
                self._above_bar = False

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
