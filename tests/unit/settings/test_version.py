"""One version, in the sources and in the package."""

import tomllib
from pathlib import Path

from settings.version import VERSION


def test_sources_and_package_have_one_version() -> None:
    pyproject = tomllib.loads((Path(__file__).resolve().parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    assert pyproject["project"]["version"] == VERSION
