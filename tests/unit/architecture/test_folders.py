"""The folders show the house: who may import each one, no import circle, and tests that mirror the packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.architecture.source import AROUND, MODULES, ROOT, own_imports, read, within

# Folder -> the folders whose modules may import it, besides itself.
IMPORTERS = {
    "gateway.access": {
        "gateway",
        "gateway.doors",
        "gateway.doors.deepgram",
        "gateway.doors.openai_realtime",
        "gateway.doors.wyoming",
        "gateway.sessions",
    },
    "gateway.certificates": {"gateway"},
    "gateway.doors": {
        "gateway",
        "gateway.doors.deepgram",
        "gateway.doors.openai",
        "gateway.doors.openai_realtime",
        "gateway.doors.telephony",
        "gateway.doors.wyoming",
    },
    "gateway.doors.deepgram": {"gateway.doors"},
    "gateway.doors.openai": {"gateway.doors", "gateway.doors.openai_realtime"},
    "gateway.doors.openai_realtime": {"gateway", "gateway.doors"},
    "gateway.doors.telephony": {"gateway", "gateway.doors"},
    "gateway.doors.wyoming": {"gateway"},
    "gateway.processes": {"gateway"},
    "gateway.protocol": {
        "gateway",
        "gateway.doors",
        "gateway.doors.deepgram",
        "gateway.doors.openai",
        "gateway.doors.openai_realtime",
        "gateway.doors.telephony",
        "gateway.doors.wyoming",
        "gateway.report",
        "gateway.sessions",
    },
    "gateway.report": {"gateway"},
    "gateway.sessions": {"gateway", "gateway.doors", "gateway.doors.wyoming"},
    "gateway.store": {"gateway", "gateway.doors", "gateway.sessions"},
    "gateway.upstream": {"gateway", "gateway.sessions"},
    "workers.delivery": {"workers.fake", "workers.stt"},
    "workers.fake": set(),
    "workers.media": {"workers.stt", "workers.vision", "workers.media.containers", "workers.media.isolation"},
    "workers.media.containers": {"workers.media"},
    "workers.media.isolation": {"workers.stt", "workers.vision"},
    "workers.stt": set(),
    "workers.vision": set(),
    "settings": {
        "gateway",
        "gateway.access",
        "gateway.certificates",
        "gateway.doors.wyoming",
        "gateway.upstream",
        "workers",
        "workers.fake",
        "workers.stt",
        "workers.vision",
        "tracing",
    },
    "multiplex": {"gateway.upstream", "workers"},
    "tracing": {"gateway", "gateway.sessions", "gateway.upstream", "workers", "workers.fake", "workers.vision"},
    "talkup_client": set(),
}

# Modules beside the folders of a package that its folders may import; all others import the folders, never the reverse.
SHARED = {
    "gateway.access": set(),
    "gateway.certificates": set(),
    "gateway.doors": {
        "admission",
        "auth",
        "config",
        "credentials",
        "expiry",
        "origins",
        "outbox",
        "refusal_pace",
        "refusals",
        "sender_tasks",
    },
    "gateway.doors.deepgram": {"auth", "credentials"},
    "gateway.doors.openai": {"auth", "config", "cues", "transcript", "transcript_formats"},
    "gateway.doors.openai_realtime": {"auth", "credentials"},
    "gateway.doors.telephony": {"auth", "credentials", "http_errors", "inbound"},
    "gateway.doors.wyoming": {"admission", "auth", "expiry", "listening", "refusal_pace"},
    "gateway.processes": {"admission", "config", "listening"},
    "gateway.report": {"analyses", "transcript"},
    "gateway.sessions": {
        "analyses",
        "auth",
        "config",
        "contract",
        "metrics",
        "outbox",
        "refusal_pace",
        "status",
        "transcript",
    },
    "gateway.store": {"analyses", "config", "store_url", "transcript"},
    "gateway.protocol": {"analyses", "contract"},
    "gateway.upstream": {"contract"},
    "workers.delivery": {"chunk", "engine"},
    "workers.media": {"chunk"},
    "workers.media.containers": {"chunk"},
    "workers.media.isolation": {"chunk"},
    "workers.stt": {"capacity", "chunk", "config", "engine", "machine", "models", "observer", "scheduler"},
    "workers.vision": {"capacity", "chunk", "config", "engine", "machine", "models", "observer"},
    "workers.fake": {"chunk", "config", "engine", "observer"},
}


def folder(name: str) -> str:
    """The folder that holds a module."""
    return MODULES[name].package


@pytest.mark.parametrize("imported_folder", sorted(IMPORTERS))
def test_a_folder_is_imported_by_those_who_may(imported_folder: str) -> None:
    broken = [
        f"{name} imports {imported}"
        for name, module in MODULES.items()
        for imported in own_imports(module)
        if folder(imported) == imported_folder
        and folder(name) != imported_folder
        and folder(name) not in IMPORTERS[imported_folder]
    ]
    assert not broken


@pytest.mark.parametrize("importing_folder", sorted(SHARED))
def test_a_folder_imports_few_modules_next_to_it(importing_folder: str) -> None:
    package = importing_folder.partition(".")[0]
    broken = [
        f"{name} imports {imported}"
        for name, module in MODULES.items()
        if folder(name) == importing_folder
        for imported in own_imports(module)
        if folder(imported) == package and imported.removeprefix(f"{package}.") not in SHARED[importing_folder]
    ]
    assert not broken


def test_every_folder_has_its_rule() -> None:
    folders = {module.package for module in MODULES.values()}
    assert folders - set(IMPORTERS) <= {"gateway", "gateway.web", "workers"}
    inside_a_package = {name for name in folders if "." in name} - {"gateway.web"}
    assert inside_a_package == set(SHARED)


def circles() -> Iterator[list[str]]:
    """Every import circle once, by Tarjan's search for strongly connected components."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(name: str) -> Iterator[list[str]]:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in sorted(own_imports(MODULES[name])):
            if other not in order:
                yield from visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], order[other])
        if low[name] == order[name]:
            circle = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(circle) > 1:
                yield circle

    for name in sorted(MODULES):
        if name not in order:
            yield from visit(name)


def test_no_imports_run_in_a_circle() -> None:
    assert not list(circles())


def test_benches_do_not_import_tests() -> None:
    around = read({name: ROOT for name in AROUND if name != "tests"})
    broken = [
        f"{name} imports {imported}"
        for name, module in around.items()
        for imported in module.imports()
        if within(imported, "tests")
    ]
    assert not broken


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py") if "node_modules" not in path.parts}
    bare = [path for path in folders if path.relative_to(ROOT).parts[:2] != ("tests", "data")]
    assert not [path for path in bare if not (path / "__init__.py").exists()]


def mirrored(tests: Path, package: Path) -> list[str]:
    """Folders of unit tests for which the package has no folder of that name."""
    return [
        str(path.relative_to(tests))
        for path in tests.rglob("*")
        if path.is_dir() and path.name != "__pycache__" and not (package / path.relative_to(tests)).is_dir()
    ]


def test_unit_tests_have_a_folder_per_package() -> None:
    folders = {path.name for path in (ROOT / "tests" / "unit").iterdir() if (path / "__init__.py").exists()}
    packages = {"gateway", "multiplex", "settings", "tracing", "workers"}
    assert folders == packages | {"architecture", "bench", "client", "deploy"}


@pytest.mark.parametrize("package", ["gateway", "workers"])
def test_unit_tests_mirror_the_packages(package: str) -> None:
    assert not mirrored(ROOT / "tests" / "unit" / package, ROOT / package)
