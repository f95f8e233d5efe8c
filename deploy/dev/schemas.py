"""Writes the protocol's JSON Schemas where the TypeScript client's types are made from them."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.schemas import SCHEMA_NAMES, schema

FOLDER = Path(__file__).resolve().parents[2] / "clients" / "typescript" / "schema"


def main() -> None:
    """Overwrite the schemas."""
    FOLDER.mkdir(exist_ok=True)
    for name in SCHEMA_NAMES:
        (FOLDER / name).write_text(json.dumps(schema(name), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
