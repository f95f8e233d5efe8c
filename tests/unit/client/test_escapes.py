"""Terminals and pipes that cannot take every character get every text nevertheless."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from talkup_client.escapes import ESCAPED

from bench.harness.stack import child_environment


def talkup(*arguments: str | bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    code = "import sys; from talkup_client.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**child_environment({}), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("text", ["Ça va ?", "言葉", "😀", "caf\udce9"])
def test_what_an_encoding_lacks_becomes_an_escape_of_json(text: str) -> None:
    escaped = text.encode("ascii", errors=ESCAPED).decode()
    assert json.loads(f'"{escaped}"') == text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_message_names_a_file_on_any_terminal(tmp_path: Path, encoding: str) -> None:
    name = os.fsencode(tmp_path) + "/言葉 é ".encode() + b"\xff.wav"
    done = talkup("transcribe", name, PYTHONIOENCODING=encoding)
    said = done.stderr.decode(encoding)
    assert done.returncode == 1
    assert "Traceback" not in said
    assert "there is no such file (unreadable_file)" in said
    assert ("言葉" if encoding == "utf-8" else r"\u8a00\u8449") in said


def test_a_full_or_closed_standard_output_is_named_without_a_traceback() -> None:
    code = (
        "import asyncio, sys; from talkup_client import cli, terminal\n"
        "async def doctor(*_): terminal.Terminal().write('text')\n"
        "cli.run_doctor = doctor\n"
        "sys.exit(cli.main())"
    )
    for redirected, why in (("/dev/full", "No space left on device"), ("", "it is closed")):
        shell = f'exec "$0" -c "$1" doctor >{redirected or "&-"}'
        done = subprocess.run(
            ["sh", "-c", shell, sys.executable, code],
            env=child_environment({}),
            capture_output=True,
            check=False,
            timeout=60,
        )
        said = done.stderr.decode()
        assert said == f"talkup: standard output cannot be written: {why} (unwritable_file)\n"
        assert done.returncode == 1
