"""The clients as packages: what the docs promise is what `make packages` builds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

from bench.harness.stack import ROOT

TYPESCRIPT = ROOT / "clients" / "typescript"
PAGES = ("docs/clients.md", "clients/python/README.md", "clients/typescript/README.md")


def test_a_packed_npm_client_holds_its_code(tmp_path: Path) -> None:
    """As anybody packs it who has not built it before."""
    folder = tmp_path / "typescript"
    shutil.copytree(TYPESCRIPT, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (folder / "node_modules").symlink_to((TYPESCRIPT / "node_modules").resolve())
    packed = subprocess.run(
        ["npm", "pack", "--dry-run", "--json", "--silent"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert packed.returncode == 0, packed.stderr
    held = {file["path"] for file in _packages(packed.stdout)[0]["files"]}
    assert {"dist/index.js", "dist/index.d.ts", "package.json", "README.md"} <= held


def _packages(said: str) -> list[dict[str, list[dict[str, str]]]]:
    """npm's report, behind what its scripts print; a list, or since npm 12 an object by name."""
    found = json.loads(said[re.search(r"^[\[{]", said, re.MULTILINE).start() :])  # type: ignore[union-attr]
    return found if isinstance(found, list) else list(found.values())


def test_the_docs_name_the_files_that_are_built() -> None:
    python = tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text())["project"]
    npm = json.loads((TYPESCRIPT / "package.json").read_text())
    wheel = f"dist/{python['name'].replace('-', '_')}-{python['version']}-py3-none-any.whl"
    tarball = f"dist/{npm['name']}-{npm['version']}.tgz"
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert "make packages" in re.sub(r"\s", " ", text)
        assert not re.search(r"(pip|npm) install '?talkup-client", text)
        assert all(name in (wheel, tarball) for name in re.findall(r"dist/talkup[\w.-]*(?:whl|tgz)", text))
