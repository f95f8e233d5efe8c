"""Fixtures for the whole suite: the corpus, and the real processes on the scripted engine."""

from __future__ import annotations

import ast
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from talkup_client.transport import Transport

from bench.harness import stack
from bench.harness.schema_check import Ledger
from bench.harness.stack import Program, Stack, running_stack
from tests.canaries import leaks_in
from workers.media.isolation.lockdown import leave_real_time

# Property tests take the same examples in every run; `pytest --hypothesis-profile random` takes new ones.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.register_profile("random", deadline=None)
hypothesis.settings.load_profile("repeatable")

if sys.version_info < (3, 11, 8):
    # A garbage collection in the middle of it makes it fail with SystemError (python/cpython#106905).
    _parse = ast.parse

    def _parse_without_collection(*arguments: Any, **options: Any) -> ast.AST:
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            return _parse(*arguments, **options)
        finally:
            if was_enabled:
                gc.enable()

    ast.parse = _parse_without_collection  # type: ignore[assignment]

# Marks of tests that run only if `-m` names them.
GROUNDS = ("browsers", "containers", "netns", "programs", "prometheus", "root")
SPEECH = Path(__file__).parent / "data" / "speech"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--agents", action="store_true", help="run the tests marked agents")
    parser.addoption("--corpus", type=Path, default=None, help="folder with manifest.jsonl, for tests marked corpus")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without their ground, tests are left out, not skipped: a skip would look like something to be mended."""
    wanted = str(config.getoption("markexpr")).split()
    grounds = [name for name in GROUNDS if name not in wanted]
    grounds += [name for name in ("corpus", "agents") if not config.getoption(f"--{name}")]
    without = {item for item in items if any(map(item.get_closest_marker, grounds))}
    if without:
        config.hook.pytest_deselected(items=list(without))
        items[:] = [item for item in items if item not in without]


@pytest.fixture(autouse=True)
def ordinary_scheduling() -> Iterator[None]:
    """The encoder of AV1 makes the process of a privileged user real-time; nothing else would run then."""
    yield
    leave_real_time()


@pytest.fixture(autouse=True)
def what_the_client_hears(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """Every message that the Python client receives is what the specification says.

    A test in which a server speaks nonsense on purpose clears `faults`.
    """
    ledger, receive = Ledger(), Transport.receive

    async def listening(transport: Transport) -> str | bytes:
        message = await receive(transport)
        if isinstance(message, str):
            ledger.enter(message)
        return message

    monkeypatch.setattr(Transport, "receive", listening)
    yield ledger
    assert ledger.faults == []


@pytest.fixture(scope="session", autouse=True)
def no_log_holds_what_is_private() -> Iterator[None]:
    """The logs of all gateways and workers that the tests start hold no credential, word, media or file name."""
    found: list[str] = []
    searched: set[Path] = set()

    def search(program: Program) -> None:
        if program.log.exists():
            searched.add(program.log)
            found.extend(leaks_in(program.log_text(), program.name))

    stack.observers.append(search)
    yield
    stack.observers.remove(search)
    for program in stack.started:  # those that a test killed
        if program.log not in searched:
            search(program)
    assert found == []


@pytest.fixture(scope="session")
def corpus(request: pytest.FixtureRequest) -> Path:
    """The folder given by --corpus."""
    folder = request.config.getoption("--corpus")
    assert isinstance(folder, Path)
    return folder.resolve()


@pytest.fixture(scope="module")
def fake_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway with one speech worker, both real processes, on the scripted engine."""
    with running_stack(folder=tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="module")
def model_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway with one speech worker, both real processes, on the real model (Whisper tiny.en)."""
    folder = tmp_path_factory.mktemp("model-stack")
    settings = {"WORKER_MODEL": "tiny.en", "WORKER_SLOTS": "8"}
    with running_stack(folder=folder, worker_arguments=("stt",), worker_settings=settings) as running:
        yield running


@pytest.fixture(scope="session")
def speech_ogg() -> Path:
    """16 s of synthetic speech, Ogg Opus."""
    return SPEECH / "interview.ogg"


@pytest.fixture(scope="session")
def speech_text() -> str:
    """What is said in `speech_ogg`."""
    return (SPEECH / "interview.txt").read_text(encoding="utf-8")
