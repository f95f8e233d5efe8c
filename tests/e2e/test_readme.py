"""Runs the README's Python example against a gateway on the scripted engine."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

from bench.harness.stack import Stack, child_environment
from tests.fakes.readme import example


def test_the_python_client_of_the_readme_prints_finals(fake_stack: Stack, tmp_path: Path) -> None:
    code = example("python-example")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    recording = tmp_path / "talk.wav"
    with wave.open(str(recording), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(index * 7 % 256 for index in range(96_000)))
    script = tmp_path / "client.py"
    script.write_text(code.replace("ws://localhost:8081/ws", fake_stack.ws_url).replace("dev-key", fake_stack.key))
    result = subprocess.run(
        [sys.executable, script, recording],
        env=child_environment({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


def test_the_python_client_of_the_readme_says_when_a_file_is_no_recording(model_stack: Stack, tmp_path: Path) -> None:
    code = example("python-example")
    script, notes = tmp_path / "client.py", tmp_path / "notes.txt"
    script.write_text(code.replace("ws://localhost:8081/ws", model_stack.ws_url).replace("dev-key", model_stack.key))
    notes.write_text("these are words already " * 1000)
    result = subprocess.run(
        [sys.executable, script, notes],
        env=child_environment({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    assert "RefusedError: the first bytes are of no known container" in result.stderr


def test_the_command_transcribes_and_shows_status(fake_stack: Stack, tmp_path: Path) -> None:
    recording = tmp_path / "talk.s16le"
    recording.write_bytes(bytes(index * 7 % 256 for index in range(96_000)))
    talkup = [sys.executable, "-c", "import sys; from talkup_client.cli import main; sys.exit(main())"]
    common = ["--url", fake_stack.ws_url, "--key", fake_stack.key]
    for arguments, expected in (
        (["transcribe", *common, "--format", "vtt", recording], "WEBVTT"),
        (["status", *common], "serving"),
        (["status", "--json", *common], '"serving"'),
    ):
        result = subprocess.run(
            [*talkup, *arguments], env=child_environment({}), capture_output=True, text=True, check=False, timeout=60
        )
        assert result.returncode == 0, result.stderr
        assert expected in result.stdout
