"""The published Python wheel: built, and installed into an empty environment with its declared dependencies only."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from talkup_client.extras import EXTRAS

from bench.harness.stack import ROOT, Stack
from tests.e2e.test_talkup_command import samples
from tests.fakes.talkup import at, over_http
from workers.fake.engine import expected_words

SOURCE = ROOT / "clients" / "python"


def command(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program far from the source tree, without its import path."""
    return subprocess.run(
        arguments, cwd=folder, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False, timeout=100
    )


def needed(names: list[str]) -> Iterator[metadata.Distribution]:
    """The installed distributions that the requirements resolve to."""
    waiting, known = list(names), set[str]()
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name in known or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        known.add(requirement.name)
        found = metadata.distribution(requirement.name)
        assert found.version in requirement.specifier
        waiting += found.requires or []
        yield found


def copy(distribution: metadata.Distribution, target: Path) -> None:
    for file in distribution.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(distribution.locate_file(file)), target / file)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel and its declared dependencies, nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    source = shutil.copytree(SOURCE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    built = command(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source, folder=folder)
    assert built.returncode == 0, built.stderr
    venv.create(folder / "venv")
    python = folder / "venv" / "bin" / "python"
    (wheel,) = folder.glob("talkup_client-*.whl")
    installed = command(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel, folder=folder)
    assert installed.returncode == 0, installed.stderr
    (target,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (mine,) = metadata.distributions(name="talkup-client", path=[str(target)])
    for distribution in needed(mine.requires or []):
        copy(distribution, target)
    return folder / "venv" / "bin"


def test_the_installed_command_transcribes(environment: Path, fake_stack: Stack, tmp_path: Path) -> None:
    recording = tmp_path / "talk.s16le"
    recording.write_bytes(samples(2))
    done = command(environment / "talkup", "transcribe", *at(fake_stack), recording, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == expected_words(recording.read_bytes())


def test_the_installed_command_carries_its_clip(environment: Path, fake_stack: Stack, tmp_path: Path) -> None:
    done = command(environment / "talkup", "doctor", *over_http(fake_stack), folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "first words" in done.stdout


def test_neither_whisper_nor_opencv_nor_grpc_came_along(environment: Path, tmp_path: Path) -> None:
    for module in ("faster_whisper", "ctranslate2", "cv2", "numpy", "grpc", "sounddevice", "gateway", "workers"):
        assert command(environment / "python", "-c", f"import {module}", folder=tmp_path).returncode == 1


def test_both_packages_of_the_client_agree() -> None:
    own = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert own["version"] == whole["version"]
    assert own["dependencies"] == whole["optional-dependencies"]["client"]
    assert {name: tuple(needs) for name, needs in own["optional-dependencies"].items()} == EXTRAS
    for extra, needs in EXTRAS.items():
        assert set(needs) < set(whole["optional-dependencies"][extra])
    assert set(own["optional-dependencies"]["microphone"]) < set(whole["optional-dependencies"]["microphone"])
    assert own["requires-python"] == whole["requires-python"]
    assert (SOURCE / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
