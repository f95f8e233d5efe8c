"""Recordings from standard input and from pipes, and shells that complete the command."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from talkup_client import cli, completion
from talkup_client.errors import UnreadableFileError, UnsupportedFileError, UnwritableFileError
from talkup_client.spool import Spool

from bench.harness.stack import ROOT, child_environment
from tests.fakes.gateway_server import KEY, FakeGateway

RECORDING = (ROOT / "tests" / "data" / "speech" / "interview.ogg").read_bytes()


async def from_pipe(gateway: FakeGateway, *arguments: str, stdin: bytes, **environment: str) -> tuple[int, str]:
    """Status and messages of `talkup transcribe` with something on its standard input."""
    code = "import sys; from talkup_client.cli import main; sys.exit(main())"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "transcribe", "--url", gateway.url, "--key", KEY, *arguments),
        env={**child_environment({}), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(stdin), 60)
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
async def test_a_recording_comes_from_a_pipe_and_nothing_stays_behind(tmp_path: Path, name: str) -> None:
    async with FakeGateway().serving() as gateway:
        status, said = await from_pipe(gateway, name, stdin=RECORDING, TMPDIR=str(tmp_path))
    (stream,) = gateway.streams()
    assert (status, said) == (0, "")
    assert b"".join(stream.chunks) == RECORDING
    assert stream.start["format"] == "audio/ogg;codecs=opus"
    assert list(tmp_path.iterdir()) == []


async def test_what_comes_from_a_pipe_is_called_by_its_name(tmp_path: Path) -> None:
    async with FakeGateway().serving() as gateway:
        for content, complaint in ((b"", "standard input is empty"), (b"text", "standard input is not of a type")):
            status, said = await from_pipe(gateway, "-", stdin=content)
            assert status == 1
            assert said.startswith(f"talkup: {complaint}")
        status, said = await from_pipe(gateway, "-", stdin=RECORDING, TMPDIR="/proc/none", TMP="", TEMP="")
        assert "Traceback" not in said
    assert not tmp_path.joinpath("standard input").exists()


async def test_a_pipe_that_holds_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with Spool(max_bytes=1_000) as spool:
        reading = asyncio.create_task(spool.file(str(pipe)))
        with await asyncio.to_thread(pipe.open, "wb", buffering=0) as mouth:
            mouth.write(bytes(2_000))
        with pytest.raises(UnsupportedFileError, match="pipe holds more than"):
            await reading
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


async def test_a_full_disk_names_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with Spool() as spool, pytest.raises(UnwritableFileError, match=r"pipe cannot be kept in /proc/.*TMPDIR"):
        await spool.file(str(pipe))


async def test_files_are_read_where_they_are_and_addresses_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF")
    with Spool() as spool:
        assert await spool.file(str(path)) == path
        assert await spool.file(str(tmp_path / "missing")) == tmp_path / "missing"
        for address in ("https://example.org/a.wav", "HTTP://example.org/a.wav"):
            with pytest.raises(UnsupportedFileError, match=rf"{address} is an address.*curl -sL ADDRESS \| talkup"):
                await spool.file(address)


async def test_a_terminal_is_no_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as keyboard, Spool() as spool:
        monkeypatch.setattr(sys, "stdin", keyboard)
        with pytest.raises(UnreadableFileError, match="standard input is a terminal: pipe a recording into it"):
            await spool.file("-")
    os.close(ours)


def completed(line: str, shell: str = "bash") -> set[str]:
    """What bash would offer for the last word of a line."""
    code = completion.script(cli.parser(), shell)
    words = line.split(" ")
    given = f"COMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}"
    ask = f'{given}; _talkup; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", f"{code}\n{ask}"], capture_output=True, text=True, check=True, timeout=30)
    return set(done.stdout.split())


def test_bash_completes_commands_options_and_choices() -> None:
    assert completed("talkup tr") == {"transcribe"}
    assert {"transcribe", "watch", "--version"} <= completed("talkup ")
    assert completed("talkup transcribe --form") == {"--format"}
    assert completed("talkup transcribe --format ") == {"txt", "json", "srt", "vtt"}
    assert completed("talkup status --j") == {"--json"}
    assert completed("talkup transcribe a") == set()  # a file: bash completes it
    assert completion.script(cli.parser(), "zsh").startswith("autoload")


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parser().parse_args(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "talkup 0.1.0\n"
