"""The protocol versions that the gateway supports: every 1.x is served as 1.0."""

from __future__ import annotations

import re
from typing import Final

PROTOCOL_VERSION: Final = "1.0"
SUPPORTED_VERSIONS: Final = (PROTOCOL_VERSION,)

_VERSION: Final = re.compile(r"(\d{1,4})(?:\.(\d{1,4}))?")


class MalformedVersionError(ValueError):
    """The text is not a version number."""


def is_supported(declared: str) -> bool:
    """Whether a client that declares this version can be served.

    Raises MalformedVersionError for anything but `MAJOR` or `MAJOR.MINOR`.
    """
    match = _VERSION.fullmatch(declared.strip())
    if match is None:
        raise MalformedVersionError("not a version number")
    return int(match.group(1)) == 1
