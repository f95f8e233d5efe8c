"""The systemd units: settings that exist, files that the installation makes, and time enough to drain."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from deploy.dev.check_units import INSTALLED, UNITS, check
from gateway.config import load as load_gateway
from tests.unit.deploy.test_manifests import KNOWN
from workers.__main__ import SERVICES

UNIT_FILES = sorted(UNITS.glob("*.service"))
FILES = [*UNIT_FILES, *sorted(UNITS.glob("*.env")), *sorted(UNITS.glob("*.conf"))]
VARIABLE = re.compile(r"\b(?:GATEWAY|WORKER)_[A-Z_]+\b")


def entries(unit: Path, name: str) -> list[str]:
    """The values of a directive, in order."""
    lines = unit.read_text(encoding="utf-8").splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]


def environment(unit: Path) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in entries(unit, "Environment"))


def test_every_process_has_a_unit() -> None:
    commands = {unit.stem: entries(unit, "ExecStart") for unit in UNIT_FILES}
    python = f"{INSTALLED}/.venv/bin/python"
    assert commands == {
        "talkup-gateway": [f"{python} -m gateway"],
        "talkup-stt-worker": [f"{python} -m workers stt"],
        "talkup-vision-worker": [f"{python} -m workers vision"],
    }
    assert {"stt", "vision"} <= set(SERVICES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_setting_exists(file: Path) -> None:
    assert set(VARIABLE.findall(file.read_text(encoding="utf-8"))) <= KNOWN


@pytest.mark.parametrize("unit", UNIT_FILES, ids=lambda unit: unit.stem)
def test_every_credential_that_is_used_is_loaded(unit: Path) -> None:
    loaded = {entry.partition(":")[0] for entry in entries(unit, "LoadCredential")}
    used = {value.removeprefix("%d/") for value in environment(unit).values() if value.startswith("%d/")}
    assert used == loaded
    assert all(entry.partition(":")[2].startswith("/etc/talkup/") for entry in entries(unit, "LoadCredential"))


@pytest.mark.parametrize("unit", UNIT_FILES, ids=lambda unit: unit.stem)
def test_a_drain_ends_before_systemd_loses_patience(unit: Path) -> None:
    settings = environment(unit)
    [drain] = [float(settings[name]) for name in ("GATEWAY_DRAIN_S", "WORKER_DRAIN_SECONDS") if name in settings]
    [patience] = entries(unit, "TimeoutStopSec")
    assert drain + 10 <= float(patience)
    assert entries(unit, "KillSignal") == ["SIGTERM"]
    assert entries(unit, "KillMode") == ["mixed"]


@pytest.mark.parametrize("unit", UNIT_FILES, ids=lambda unit: unit.stem)
def test_an_environment_file_goes_with_each_unit(unit: Path) -> None:
    name = unit.stem.removeprefix("talkup-")
    assert entries(unit, "EnvironmentFile") == [f"/etc/talkup/{name}.env"]
    assert (UNITS / f"{name}.env").is_file()


def test_the_settings_of_the_gateway_are_accepted(tmp_path: Path) -> None:
    """Those of the unit and of its environment file together, with credentials in a folder of this test."""
    lines = (UNITS / "gateway.env").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    unit = UNITS / "talkup-gateway.service"
    given |= {name: value.replace("%d", str(tmp_path)) for name, value in environment(unit).items()}
    for entry in entries(unit, "LoadCredential"):
        (tmp_path / entry.partition(":")[0]).write_text("{}", encoding="ascii")
    config = load_gateway([], given)
    assert config.is_exposed
    assert config.stt_workers == ("gpu-1.internal:50051", "gpu-2.internal:50051")
    assert config.worker_cert == tmp_path / "gateway.pem"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_understands_the_units_and_finds_them_little_exposed(tmp_path: Path) -> None:
    assert check(tmp_path) == []
