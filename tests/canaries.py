"""What must never be in a log, a metric or an error: credentials, words of a transcript, media, names of files.

The suite plants these everywhere: the scripted engine speaks words that no other text contains, every token is a JWT,
and the recordings are known. So one search finds a leak from any test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from bench.harness.cluster import SECRET
from bench.harness.stack import KEY
from workers.fake.words import _SYLLABLES

CANARY: Final = "canary"
"""Part of everything private that a test makes up."""

DATA = Path(__file__).parent / "data"
_SPEECH_WORDS: Final = 4
_MEDIA_SUFFIXES: Final = {".ogg", ".opus", ".webm", ".mp4", ".mp3", ".flac", ".wav", ".jpg", ".png"}

_PATTERNS: Final = {
    "a word of the scripted engine": re.compile(rf"\b(?:{'|'.join(_SYLLABLES)}){{4}}\b"),
    "a word of the scripted worker": re.compile(r"\bw\d+:[0-9a-f]{8}\b"),
    "a token": re.compile(r"\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{20,}"),
    "an API key": re.compile(rf"(?<![\w-]){re.escape(KEY)}(?![\w-])"),
    "the secret of tokens": re.compile(re.escape(SECRET)),
    "a canary": re.compile(CANARY, re.IGNORECASE),
    "bytes of media": re.compile(r"\bb\\?['\"].*\\+x[0-9a-f]{2}|[A-Za-z0-9+/]{200,}"),
}


@cache
def _spoken() -> frozenset[str]:
    """Every run of four words in the texts of the recordings."""
    runs: set[str] = set()
    for file in (DATA / "speech").glob("*.txt"):
        runs.update(_runs(file.read_text(encoding="utf-8")))
    return frozenset(runs)


@cache
def _file_names() -> frozenset[str]:
    return frozenset(file.name for file in DATA.rglob("*") if file.suffix in _MEDIA_SUFFIXES)


def _runs(text: str) -> Iterator[str]:
    words = re.findall(r"[^\W\d_]+", text.lower())
    for at in range(len(words) - _SPEECH_WORDS + 1):
        yield " ".join(words[at : at + _SPEECH_WORDS])


def leaks_in(text: str, source: str) -> list[str]:
    """One line per leak: where it is and what it is."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        kinds = [kind for kind, pattern in _PATTERNS.items() if pattern.search(line)]
        kinds += ["a sentence of a recording"] * (not _spoken().isdisjoint(_runs(line)))
        kinds += ["the name of a recording"] * any(name in line for name in _file_names())
        found += [f"{source}, line {number}: {kind}: {line[:300]}" for kind in kinds]
    return found
