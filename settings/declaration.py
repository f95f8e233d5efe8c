"""Settings, declared as fields of a frozen dataclass. Flag, variable, key, help and range check derive from the field.

A field is written `port: Annotated[int, Setting("port to listen on", 0, 65535)] = 8080`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args, get_type_hints

from settings.errors import SettingError
from settings.kinds import Kind, kind_of


@dataclass(frozen=True, slots=True)
class Setting:
    """Describes a field: a line of help and, for numbers, bounds (both inclusive).

    `positional`: the arguments without a flag; such a setting has neither flag nor variable. `aliases`: other names of
    the setting, as flag, variable and key in a file, for what another process calls differently. `is_url`: of a secret
    URL only user, password and parameters are secret.
    """

    help: str
    low: float | None = None
    high: float | None = None
    positional: bool = False
    aliases: tuple[str, ...] = ()
    is_url: bool = False

    @property
    def bounds(self) -> str:
        """The allowed range in words; empty without bounds."""
        if self.low is not None and self.high is not None:
            return f"{_plain(self.low)} to {_plain(self.high)}"
        if self.low is not None:
            return f"at least {_plain(self.low)}"
        return f"at most {_plain(self.high)}" if self.high is not None else ""

    def contains(self, value: float) -> bool:
        """Whether a number lies within the bounds; NaN never does."""
        low = float("-inf") if self.low is None else self.low
        high = float("inf") if self.high is None else self.high
        return low <= value <= high


@dataclass(frozen=True, slots=True)
class Declared:
    """A declared setting: its name, description, type and default. A secret never shows in a `repr`."""

    name: str
    setting: Setting
    kind: Kind
    default: object
    is_secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Base class of a process's settings. The constructor checks bounds and choices, then calls `check`.

    Raises SettingError. Paths may begin with `~`.
    """

    env_prefix: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for declared in settings_of(type(self)):
            value = getattr(self, declared.name)
            if isinstance(value, Path):
                object.__setattr__(self, declared.name, self._expanded(declared.name, value))
            elif declared.kind.choices and value not in declared.kind.choices:
                raise self.invalid(declared.name, f"must be one of {', '.join(declared.kind.choices)}")
            elif isinstance(value, int | float) and not declared.setting.contains(value):
                raise self.invalid(declared.name, f"must be {declared.setting.bounds}")
        self.check()

    def check(self) -> None:
        """Check settings against each other. Subclasses may override this. Raises SettingError."""

    @classmethod
    def invalid(cls, name: str, problem: str) -> SettingError:
        """The error for a setting of this class; `problem` must not repeat a secret value."""
        return SettingError(name, problem, cls.env_prefix)

    def _expanded(self, name: str, path: Path) -> Path:
        try:
            return path.expanduser()
        except RuntimeError:
            if any(path == declared.default for declared in settings_of(type(self)) if declared.name == name):
                return _NO_HOME.joinpath(*path.parts[1:])  # nobody asked for it: whoever needs it says what is wrong
            raise self.invalid(name, "the home directory that ~ names is unknown") from None


# The home directory of users that have none (Debian Policy 9.2.3): it does not exist, and only root can make it.
_NO_HOME = Path("/nonexistent")
S = TypeVar("S", bound=Settings)


def settings_of(cls: type[Settings]) -> tuple[Declared, ...]:
    """Every setting that a class declares, in order."""
    return tuple(_declared(cls))


def env_of(cls: type[Settings], name: str) -> str:
    """The environment variable of a setting."""
    return cls.env_prefix + name.upper()


def from_values(cls: type[S], values: Mapping[str, str | Sequence[str] | None]) -> S:
    """Parse and check texts by setting name; a setting without text gets its default. Raises SettingError."""
    known: dict[str, Any] = {}
    for declared in settings_of(cls):
        text = values.get(declared.name)
        if isinstance(text, str):
            try:
                known[declared.name] = declared.kind.parse(text)
            except ValueError as error:
                raise cls.invalid(declared.name, str(error)) from None
        elif text:
            known[declared.name] = tuple(text)
    return cls(**known)


def _declared(cls: type[Settings]) -> Iterator[Declared]:
    hints = get_type_hints(cls, include_extras=True)
    for field in fields(cls):
        declared_type, setting = get_args(hints[field.name])
        yield Declared(field.name, setting, kind_of(declared_type), field.default, is_secret=not field.repr)


def _plain(bound: float | None) -> str:
    return f"{bound:.12g}"
