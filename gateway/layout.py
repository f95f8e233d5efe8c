"""Cues as they fit on a screen: at most two lines of 42 columns, as broadcasters set them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final
from unicodedata import east_asian_width

from gateway.cues import Piece

LINE_COLUMNS: Final = 42
"""Columns of a line; a Chinese or Japanese character takes two."""

CUE_LINES: Final = 2
_WIDE: Final = frozenset("WF")
_LINE_PENALTY: Final = 10 * LINE_COLUMNS**2
_BREAK_PENALTY: Final = 12**2  # for a line that ends without punctuation: as much as 12 columns left empty
_PUNCTUATION: Final = (",", ";", ":", ".", "!", "?", "…", "，", "、", "；", "：", "。", "！", "？")


def laid_out(cue: Piece) -> list[Piece]:
    """A cue in lines. One that needs more than two lines becomes several, which share its time by their length."""
    lines = _wrapped(cue.text)
    pieces = ["\n".join(lines[at : at + CUE_LINES]) for at in range(0, len(lines), CUE_LINES)]
    total = sum(map(len, pieces)) or 1
    bounds, seen = [cue.start_ms], 0
    for piece in pieces:
        seen += len(piece)
        bounds.append(cue.start_ms + (cue.end_ms - cue.start_ms) * seen // total)
    return [
        cue._replace(start_ms=start, end_ms=end, text=text)
        for (start, end), text in zip(pairwise(bounds), pieces, strict=True)
    ]


def columns(text: str) -> int:
    """How many columns of a terminal or a caption a text takes."""
    return sum(2 if east_asian_width(character) in _WIDE else 1 for character in text)


def _wrapped(text: str) -> list[str]:
    """As few lines as do, of similar length, ended by punctuation where that costs little."""
    words = list(_words(text))
    best: list[tuple[int, int]] = [(0, 0)]  # for each number of words: the least cost, and where its line begins
    for end in range(1, len(words) + 1):
        line, found = "", None
        for begin in range(end - 1, -1, -1):
            line = words[begin] + line
            width = columns(line.strip())
            if width > LINE_COLUMNS and begin < end - 1:
                break
            space = max(0, LINE_COLUMNS - width)
            is_broken = end < len(words) and not line.rstrip().endswith(_PUNCTUATION)
            cost = best[begin][0] + _LINE_PENALTY + space**2 + _BREAK_PENALTY * is_broken
            if found is None or cost < found[0]:
                found = (cost, begin)
        assert found is not None
        best.append(found)
    lines: list[str] = []
    end = len(words)
    while end:
        begin = best[end][1]
        lines.append("".join(words[begin:end]).strip())
        end = begin
    return lines[::-1]


def _words(text: str) -> Iterator[str]:
    """The pieces between which a line may end, each with the space behind it; wide characters are pieces alone."""
    piece = ""
    for word in text.split():
        for character in word:
            may_end = piece and character not in _PUNCTUATION
            if may_end and (columns(character) == 2 or columns(piece[-1]) == 2 or columns(piece) == LINE_COLUMNS):
                yield piece
                piece = ""
            piece += character
        yield piece + " "
        piece = ""
