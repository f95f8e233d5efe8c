"""Where the text goes: line by line to a pipe, whole documents to files, one for each recording into a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from talkup_client.errors import SettingError, UnwritableFileError
from talkup_client.output import Output

from tests.unit.client.test_layout import SPEECH


class Screen:
    def __init__(self) -> None:
        self.pieces: list[str] = []

    def write(self, text: str) -> None:
        self.pieces.append(text)


def transcribed(output: Output, *names: str) -> None:
    for number, name in enumerate(names):
        output.begin(number)
        for final in SPEECH[:4]:
            output.final(final)
        output.end(name, SPEECH[:4], 60_000)
    output.close()


TEXT = "And so, my fellow Americans.\nAsk not what.\n"


def test_text_comes_line_by_line_and_recordings_are_paragraphs() -> None:
    screen = Screen()
    transcribed(Output("txt", None, [Path("a.wav"), Path("b.wav")], screen.write), "a.wav", "b.wav")
    lines = ["And so, my fellow Americans.\n", "Ask not what.\n"]
    assert screen.pieces == [*lines, "\n", *lines]


def test_text_is_in_the_file_as_it_comes(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("what was there before")
    output = Output("txt", path, [Path("a.wav")], Screen().write)
    output.begin(0)
    assert path.read_text() == "what was there before"
    for final in SPEECH[:2]:
        output.final(final)
    assert path.read_text() == "And so, my fellow Americans.\n"
    output.close()


def test_several_recordings_have_one_header_on_standard_output() -> None:
    screen = Screen()
    transcribed(Output("vtt", None, [Path("a.wav"), Path("b.wav")], screen.write), "a.wav", "b.wav")
    (document,) = screen.pieces
    assert document.count("WEBVTT") == 1
    assert "00:01:00.000 -->" in document


def test_a_folder_gets_a_file_for_each_recording(tmp_path: Path) -> None:
    inputs = [Path("a.wav"), Path("b.wav"), Path("b.mp3"), Path("c/b.mp3")]
    transcribed(Output("srt", tmp_path, inputs, Screen().write), *map(str, inputs))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.srt", "b.mp3.2.srt", "b.mp3.srt", "b.wav.srt"]
    assert all(path.read_text().startswith("1\n00:00:00,000 --> ") for path in tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named_before_the_work(tmp_path: Path) -> None:
    inputs = [Path("a.wav")]
    with pytest.raises(SettingError, match="there is no such folder"):
        Output("txt", tmp_path / "missing" / "out.txt", inputs, Screen().write)
    with pytest.raises(UnwritableFileError, match=r"/proc/out\.txt cannot be written"):
        Output("txt", Path("/proc/out.txt"), inputs, Screen().write)
    Output("txt", tmp_path / "new.txt", inputs, Screen().write)
    assert not (tmp_path / "new.txt").exists()


def test_a_full_disk_is_reported_with_the_name_of_the_file() -> None:
    output = Output("txt", Path("/dev/full"), [Path("a.wav")], Screen().write)
    with pytest.raises(UnwritableFileError, match="/dev/full cannot be written: No space left"):
        transcribed(output, "a.wav")


def test_the_recording_is_not_written_over(tmp_path: Path) -> None:
    recording = tmp_path / "a.txt"
    recording.write_text("media")
    with pytest.raises(SettingError, match="one of the recordings"):
        Output("txt", recording, [recording], Screen().write)
    into_its_folder = Output("txt", tmp_path, [recording], Screen().write)
    with pytest.raises(SettingError, match="one of the recordings"):
        into_its_folder.begin(0)
    assert recording.read_text() == "media"


def test_a_pipe_is_opened_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    transcribed(Output("txt", pipe, [Path("a.wav")], Screen().write), "a.wav")
    assert os.read(reader, 1_000).decode() == TEXT
    os.close(reader)
