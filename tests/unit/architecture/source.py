"""The source of the project as the tests of its architecture read it: modules, their imports, their functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# Import root of each package of the product.
PACKAGES = {
    "gateway": ROOT,
    "workers": ROOT,
    "settings": ROOT,
    "tracing": ROOT,
    "multiplex": ROOT,
    "talkup_client": ROOT / "clients" / "python",
}
# Folders that are not part of the product, read for one rule only.
AROUND = {"bench": ROOT, "deploy": ROOT, "tests": ROOT}


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name, its path and its syntax tree."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def package(self) -> str:
        """The dotted name of the folder that holds the file."""
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]

    def imports(self) -> set[str]:
        """Dotted names that the module imports, anywhere in it, for types too."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    package = self.name.split(".")[: -node.level]
                    base = ".".join([*package, base]).rstrip(".")
                found.add(base)
                found.update(f"{base}.{alias.name}" for alias in node.names)
        return found

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method of the module."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


def read(packages: dict[str, Path]) -> dict[str, Module]:
    """Every module below the packages, by dotted name."""
    modules: dict[str, Module] = {}
    for package, root in packages.items():
        for path in sorted((root / package).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            if "node_modules" not in path.parts:
                modules[name] = Module(name, path, ast.parse(path.read_text(encoding="utf-8")))
    return modules


MODULES = read(PACKAGES)


def own_imports(module: Module) -> set[str]:
    """The modules of the product that a module imports, itself excepted.

    `from package import module` imports the module, `from package import name` the package.
    """
    imported = module.imports()
    found: set[str] = set()
    for name in imported - {module.name}:
        parent = name.rpartition(".")[0]
        if name not in MODULES:
            found |= {parent} & set(MODULES)
        elif MODULES[name].path.name != "__init__.py":
            found.add(name)
    return found - {module.name}


def within(name: str, prefix: str) -> bool:
    """Whether a dotted name is `prefix` or lies below it."""
    return name == prefix or name.startswith(prefix + ".")
