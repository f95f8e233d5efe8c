"""The tables of docs/recordings.md: what each door answers to each kind of recording, picture and video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.kinds.doors import DOORS, FACE, READ, Answer, check
from tests.kinds.oddities import ODDITIES
from tests.kinds.recordings import EMPTY, HEARD, REFUSED, Recording

PAGE = Path(__file__).parents[2] / "docs" / "recordings.md"
RECORDINGS = [*HEARD, *REFUSED, EMPTY, *ODDITIES]
Cells = tuple[str, ...]


def read(section: str, doors: int, good: str) -> dict[str, Cells]:
    """What the page says of every kind in a section: the kinds in its list are `good` at every door."""
    body = PAGE.read_text(encoding="utf-8").partition(f"<!-- {section} -->\n")[2].partition(f"<!-- /{section} -->")[0]
    listed, _, table = body.partition("\n| ")
    names = listed.partition(".\n")[0].replace("\n", " ")
    known = {name.strip(): (good,) * doors for name in names.split(";")}
    for line in table.splitlines()[2:]:
        name, *cells = (cell.strip() for cell in line.strip(" |").split(" | "))
        known[name] = tuple(cells)
    return known


def write(answers: Mapping[str, Cells], header: Cells, good: str) -> str:
    """The list and the table of a section."""
    listed = "; ".join(name for name, cells in answers.items() if set(cells) == {good})
    rows = [(name, *cells) for name, cells in answers.items() if set(cells) != {good}]
    rule = ("---",) * len(header)
    return f"{listed}.\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows)) + "\n"


def recordings() -> dict[str, Cells]:
    """The answers of the command, the page and a raw socket."""
    return read("recordings", 3, READ)


def sights() -> dict[str, Cells]:
    """The answers of `talkup analyze`."""
    return read("sights", 1, FACE)


def wrong(door: str, rows: Sequence[Recording], answers: Sequence[Answer]) -> list[str]:
    """What is wrong with a door's answers: neither the words nor one sentence, or not what the page says."""
    documented, column = recordings(), DOORS.index(door)
    found = [f"{row.name}: {fault}" for row, answer in zip(rows, answers, strict=True) if (fault := check(row, answer))]
    cells = [(row.name, documented[row.name][column], answer.cell()) for row, answer in zip(rows, answers, strict=True)]
    return found + [f"{name}: the page says {said!r}, it is {is_!r}" for name, said, is_ in cells if said != is_]
