"""docs/clients.md is correct: its examples run, and its tables name every command, status and code."""

from __future__ import annotations

import re
import subprocess
import sys
from argparse import _SubParsersAction
from pathlib import Path

import pytest
import talkup_client
from talkup_client import Client, Stream, TalkupError, cli

from bench.harness.stack import ROOT, Stack, child_environment
from deploy.dev import certs, plan
from deploy.dev.settings import DevSettings
from tests.e2e.test_talkup_command import samples
from tests.fakes.readme import example
from workers.fake.engine import expected_words

PAGE = "docs/clients.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "talk.s16le"
    path.write_bytes(samples(2))
    return path


def run(code: str, stack: Stack, *arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", code, stack.ws_url, stack.key, *arguments],
        env=child_environment({}),
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_the_stream_example_prints_finals_with_their_times(fake_stack: Stack, recording: Path) -> None:
    code = example("python-stream", PAGE).replace('format="audio"', 'format="audio/pcm"')
    done = run(code, fake_stack, recording)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert lines[-1] == "2.0 s of sound"
    assert [word for line in lines[:-1] for word in line.split()[1:]] == expected_words(recording.read_bytes())


def test_the_microphone_example_prints_finals(fake_stack: Stack) -> None:
    spoken = samples(2)
    done = run(example("python-microphone", PAGE), fake_stack, "-", stdin=spoken)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().split() == expected_words(spoken)


def test_every_command_and_exit_status_is_named() -> None:
    (commands,) = (each for each in cli.parser()._actions if isinstance(each, _SubParsersAction))
    assert {f"talkup {name}" for name in commands.choices} <= {
        " ".join(row.split()[:2]) for row in re.findall(r"^\| `(talkup [^`]*)`", TEXT, re.MULTILINE)
    }
    listed = {int(number) for number in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)}
    assert listed == {cli.EXIT_OK, cli.EXIT_FAILED, cli.EXIT_USAGE, cli.EXIT_LOST, cli.EXIT_INTERRUPTED}


def test_every_name_of_the_package_is_documented() -> None:
    assert not [name for name in talkup_client.__all__ if not re.search(rf"\b{name}\b", TEXT) and name not in INNER]
    for owner in (Client, Stream):
        public = {name for name in vars(owner) if not name.startswith("_")} - INNER
        assert not {name for name in public if f"`{name}" not in TEXT and f"{name}(" not in TEXT}


INNER = {
    # Types that the page describes by their contents.
    *("Change", "Status", "StreamEvent", "Word"),
    # Used between client, stream and command.
    *(
        "max_chunk_bytes",
        "deliver",
        "accepted",
        "acknowledged_bytes",
        "end_on_resumption",
        "fail",
        "leave",
        "hasten",
        "wait_over",
    ),
    *("has_repeated", "receive", "receive_acknowledge", "receive_error", "resumed", "started_again", "wait_accepted"),
}


def test_the_port_that_make_run_names_is_documented() -> None:
    identity = certs.identity(Path("tls"), "localhost")
    gateway = plan.gateway(DevSettings(), identity, Path("run"), "secret", has_vision=False)
    assert f"returns the address without TLS, `{gateway.environment['GATEWAY_PUBLIC_URL']}`" in TEXT


def test_every_code_of_the_package_is_documented() -> None:
    own = {error.code for error in descendants(TalkupError)} - {"internal", "unauthenticated", "session_expired"}
    assert own == set(re.findall(r"^\| `(\w+)` \| `\w+Error` \|", TEXT, re.MULTILINE))


def descendants(kind: type[TalkupError]) -> set[type[TalkupError]]:
    return {kind}.union(*(descendants(each) for each in kind.__subclasses__()))
