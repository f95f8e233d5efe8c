"""Where the text of `talkup transcribe` goes: standard output, one file, or a folder with a file for each recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from talkup_client import captions
from talkup_client.captions import Part
from talkup_client.errors import SettingError, UnwritableFileError
from talkup_client.escapes import ESCAPED
from talkup_client.events import TranscriptUpdate
from talkup_client.lines import LineWriter

Write = Callable[[str], None]


class Output:
    """Takes finals in their order, of one recording after the other. `write` writes to standard output.

    Plain text is written line by line, as it comes. The other formats are documents, written when they are complete.
    Raises UnwritableFileError.
    """

    def __init__(self, format_: str, path: Path | None, inputs: Sequence[Path], write: Write) -> None:
        """Open the output. Raises SettingError for a place that does not exist, or that is one of the recordings."""
        self._format = format_
        self._folder = path if path is not None and path.is_dir() else None
        self._is_batch = len(inputs) > 1
        self._names = _file_names(inputs, format_)
        self._inputs = inputs
        self._write = write
        self._file: _File | None = None
        self._lines = LineWriter()
        self._parts: list[Part] = []
        self._offset_ms = 0
        self._has_text = self._has_begun = False
        if path is not None and self._folder is None:
            if not path.parent.is_dir():
                raise SettingError(f"{path}: there is no such folder", field="--output")
            _check_is_none_of(inputs, path)
            self._file = _File(path)

    def begin(self, number: int) -> None:
        """The recording of this number among `inputs` begins."""
        self._lines = LineWriter()
        self._has_begun = True
        if self._folder is not None:
            path = self._folder / self._names[number]
            _check_is_none_of(self._inputs, path)
            self._file = _File(path)
        elif self._has_text and self._format == "txt":
            self._emit("\n")

    def final(self, final: TranscriptUpdate) -> None:
        """A final of the recording."""
        if self._format == "txt":
            self._emit(self._lines.add(final))

    def end(self, name: str, segments: Sequence[TranscriptUpdate], playing_ms: int) -> None:
        """The recording has ended, with these finals."""
        if self._format == "txt":
            self._emit(self._lines.end())
        elif self._folder is not None or not self._is_batch:
            self._emit(captions.FORMATS[self._format](segments))
        else:
            self._parts.append(Part(name, tuple(segments), self._offset_ms))
            self._offset_ms += max(playing_ms, segments[-1].end_ms if segments else 0)
        if self._folder is not None and self._file is not None:
            self._file.close()
            self._file = None

    def close(self) -> None:
        """Write what is still to be written. Where no recording has begun, the file stays as it was."""
        if not self._has_begun:
            return
        if self._parts:
            self._emit(captions.as_one(self._format, self._parts))
            self._parts = []
        if self._file is not None:
            self._file.close()

    def _emit(self, text: str) -> None:
        if not text:
            return
        self._has_text = True
        if self._file is not None:
            self._file.write(text)
        else:
            self._write(text)


def try_to_write(path: Path) -> None:
    """Find out whether a file can be written, and leave it as it is. Raises OSError."""
    is_new = not path.exists()
    path.open("ab").close()
    if is_new:
        path.unlink()


class _File:
    """A file of text in UTF-8. It is opened before the work, so that a place that cannot be written is known then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: TextIO | None = None
        self._guarded(self._try)

    def _try(self) -> None:
        if self._path.exists() and not self._path.is_file():  # a pipe or a device is opened once
            self._stream = self._path.open("w", encoding="utf-8", errors=ESCAPED, newline="\n")
        else:
            try_to_write(self._path)

    def write(self, text: str) -> None:
        """Write at once. What was in the file before goes with the first text."""

        def write() -> None:
            if self._stream is None:
                self._stream = self._path.open("w", encoding="utf-8", errors=ESCAPED, newline="\n")
            self._stream.write(text)
            self._stream.flush()

        self._guarded(write)

    def close(self) -> None:
        """Leave the file, empty if nothing was written."""
        if self._stream is None:
            self.write("")
        if (stream := self._stream) is not None:
            self._guarded(stream.close)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            if self._stream is not None:
                with suppress(OSError):
                    self._stream.close()
            raise UnwritableFileError(f"{self._path} cannot be written: {error.strerror}") from None


def _file_names(inputs: Sequence[Path], format_: str) -> list[str]:
    """`talk.vtt` for talk.mp3; with the whole name in front, or a number too, where two would be the same."""
    names: list[str] = []
    for path in inputs:
        name, number = f"{path.stem}.{format_}", 1
        if sum(other.stem == path.stem for other in inputs) > 1:
            name = f"{path.name}.{format_}"
        while name in names:
            number += 1
            name = f"{path.name}.{number}.{format_}"
        names.append(name)
    return names


def _check_is_none_of(inputs: Sequence[Path], path: Path) -> None:
    for each in inputs:
        if path.exists() and each.exists() and path.samefile(each):
            raise SettingError(f"{path} is one of the recordings", field="--output")
