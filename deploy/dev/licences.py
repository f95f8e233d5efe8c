"""`make sbom`: lists the licence of every component in a CycloneDX document, one a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

UNKNOWN = "not declared"


def licences_of(component: Mapping[str, Any]) -> str:
    """The declared licences of a component."""
    found = []
    for entry in component.get("licenses", []):
        licence = entry.get("license", {})
        name = entry.get("expression") or licence.get("id") or licence.get("name") or UNKNOWN
        found.append(name.removeprefix("License :: OSI Approved :: ").splitlines()[0])
    return ", ".join(dict.fromkeys(found)) or UNKNOWN


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """`name  version  licences`, by name."""
    for component in sorted(document.get("components", []), key=lambda each: str(each["name"]).lower()):
        yield f"{component['name']}  {component.get('version', '')}  {licences_of(component)}"


def main(arguments: Sequence[str]) -> int:
    """`licences.py SBOM`; returns the exit status."""
    document = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    sys.stdout.write("".join(f"{line}\n" for line in lines(document)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
