"""The version of gateway and workers. Images hold no package metadata, so the sources say it; pyproject.toml agrees."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
