"""The encodings of the states of streams: neighbouring releases read each other's, or refuse them by the version.

`states/NAME-VERSION.txt` holds the encoding of each version, one field a line. A field whose line ends in `?` may be
left out. While a version stays, its lines stay; a state may gain fields that older processes skip and newer ones can do
without. Everything else, also another meaning of a field, needs a new version, and a new file:

    python -m tests.contract.test_state_encodings
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from msgspec import inspect

from gateway.protocol import snapshot
from workers.media import checkpoint, video
from workers.stt import delivery_session, file_state
from workers.stt import state as speech
from workers.vision import state as vision

FOLDER = Path(__file__).parent / "states"


class State(NamedTuple):
    """A kind of state: its type, and the version that is written."""

    type: type[msgspec.Struct]
    version: int


STATES = {
    "speech": State(speech.ResumeState, speech.VERSION),
    "file": State(file_state.FileResumeState, speech.VERSION),
    "delivery": State(delivery_session.AloneState, speech.VERSION),
    "vision": State(vision.VisionState, vision.VERSION),
    "decoder": State(checkpoint.DecoderState, checkpoint._VERSION),
    "video": State(video.VideoState, vision.VERSION),
    "gateway": State(snapshot.StreamSnapshot, snapshot._VERSION),
}


def encoding(kind: type[Any]) -> list[str]:
    """A line for each field of a type and of what it holds: its place, its type, and `?` if it may be left out."""
    return list(_lines("", inspect.type_info(kind)))


def _lines(place: str, kind: inspect.Type) -> Iterator[str]:
    match kind:
        case inspect.StructType(fields=fields, array_like=is_array):
            for index, field in enumerate(fields):
                inner = f"{place}[{index}]{field.encode_name}" if is_array else f"{place}.{field.encode_name}"
                yield f"{inner} {_name(field.type)}{'' if field.required else ' ?'}"
                yield from _lines(inner, field.type)
        case inspect.NamedTupleType(fields=fields):  # none may be added: older processes refuse a longer one
            for index, field in enumerate(fields):
                yield f"{place}[{index}]{field.encode_name} {_name(field.type)}"
                yield from _lines(f"{place}[{index}]{field.encode_name}", field.type)
        case inspect.UnionType(types=types):
            for each in types:
                yield from _lines(place, each)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            yield from _lines(f"{place}[]", item)
        case inspect.DictType(value_type=value):
            yield from _lines(f"{place}{{}}", value)
        case inspect.TupleType(item_types=items):
            for index, each in enumerate(items):
                yield from _lines(f"{place}[{index}]", each)


def _name(kind: inspect.Type) -> str:
    match kind:
        case inspect.StructType(array_like=is_array):
            return "array" if is_array else "map"
        case inspect.NamedTupleType():
            return "array"
        case inspect.UnionType(types=types):
            return "|".join(sorted(_name(each) for each in types))
        case inspect.LiteralType(values=values):
            return "|".join(sorted(map(repr, values)))
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return f"list[{_name(item)}]"
        case inspect.DictType(key_type=key, value_type=value):
            return f"dict[{_name(key)},{_name(value)}]"
        case inspect.TupleType(item_types=items):
            return f"tuple[{','.join(map(_name, items))}]"
        case _:
            return type(kind).__name__.removesuffix("Type").lower()


def broken(known: list[str], now: list[str]) -> list[str]:
    """The lines for which a new version is due: known ones that are no more, new ones that may not be left out."""
    gone = [line for line in known if line not in now]
    new = [line for line in now if line not in known]
    optional = tuple(line.split()[0] for line in new if line.endswith("?"))
    return gone + [line for line in new if not line.startswith(optional)]


def file_of(name: str) -> Path:
    return FOLDER / f"{name}-{STATES[name].version}.txt"


def written_down(name: str) -> list[str]:
    return file_of(name).read_text().splitlines() if file_of(name).is_file() else []


@pytest.mark.parametrize("name", STATES)
def test_a_state_keeps_its_encoding_while_its_version_stays(name: str) -> None:
    assert broken(written_down(name), encoding(STATES[name].type)) == [], "raise the version, and write a new file"


@pytest.mark.parametrize("name", STATES)
def test_every_field_of_a_state_is_written_down(name: str) -> None:
    assert encoding(STATES[name].type) == written_down(name)


class Inner(msgspec.Struct, array_like=True):
    first: int
    second: int = 0


class Outer(msgspec.Struct, omit_defaults=True):
    version: int
    kept: int = 0
    inner: Inner | None = None


class Renamed(msgspec.Struct, omit_defaults=True):
    version: int
    held: int = 0
    inner: Inner | None = None


class Retyped(msgspec.Struct, omit_defaults=True):
    version: int
    kept: float = 0
    inner: Inner | None = None


class Demanding(msgspec.Struct, kw_only=True, omit_defaults=True):
    version: int
    kept: int = 0
    inner: Inner | None = None
    needed: int


class Swapped(msgspec.Struct, array_like=True):
    second: int
    first: int = 0


class Longer(msgspec.Struct, array_like=True):
    first: int
    second: int = 0
    third: Inner | None = None


def test_a_change_that_another_release_would_misread_is_found() -> None:
    known = encoding(Outer)
    assert known == [
        ".version int",
        ".kept int ?",
        ".inner array|none ?",
        ".inner[0]first int",
        ".inner[1]second int ?",
    ]
    assert broken(known, encoding(Renamed)) == [".kept int ?"]
    assert broken(known, encoding(Retyped)) == [".kept int ?"]
    assert broken(known, encoding(Demanding)) == [".needed int"]
    assert broken(encoding(Inner), encoding(Swapped)) == ["[0]first int", "[1]second int ?", "[0]second int"]
    assert broken(encoding(Inner), encoding(Longer)) == []


if __name__ == "__main__":
    for each, (kind, _) in STATES.items():
        if broken(written_down(each), encoding(kind)) and file_of(each).exists():
            raise SystemExit(f"{each}: raise the version first")
        file_of(each).write_text("\n".join(encoding(kind)) + "\n")
