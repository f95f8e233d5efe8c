"""How settings are read into a frozen dataclass: flags win over the environment, that over a file, that over defaults.

A field is written `name: Annotated[type, Setting(parse, "what it is")] = default`; flag and variable follow from its
name.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_type_hints

import configargparse

ENV_PREFIX = "GATEWAY_"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """What a field needs beside its type: a parser of its text (raises ValueError) and a line of help."""

    parse: Callable[[str], object]
    help: str


class ConfigError(ValueError):
    """A setting that cannot be used.

    `setting` is the field's name, `problem` says in a few words what is wrong; neither repeats a secret value.
    """

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"setting {flag_of(setting)} ({env_of(setting)}): {problem}")
        self.setting = setting
        self.problem = problem


def flag_of(name: str) -> str:
    """The command line's name of a setting."""
    return "--" + name.replace("_", "-")


def env_of(name: str) -> str:
    """The environment's name of a setting."""
    return ENV_PREFIX + name.upper()


def text(value: str) -> str:
    """Any text, without the blanks around it."""
    return value.strip()


def names(value: str) -> tuple[str, ...]:
    """A comma-separated list."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def boolean(value: str) -> bool:
    """A switch, in the spellings that environment files use."""
    lowered = value.strip().lower()
    if lowered in {"1", "true", "yes", "on"}:
        return True
    if lowered in {"0", "false", "no", "off", ""}:
        return False
    raise ValueError("must be true or false")


def path(value: str) -> Path | None:
    """A file's path; empty for none."""
    return Path(value.strip()).expanduser() if value.strip() else None


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number between two bounds, both allowed."""

    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise ValueError("must be a whole number") from None
        if not low <= number <= high:
            raise ValueError(f"must lie between {low} and {high}")
        return number

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    """A number between two bounds, both allowed; never NaN."""

    def parse(value: str) -> float:
        try:
            parsed = float(value)
        except ValueError:
            raise ValueError("must be a number") from None
        if not low <= parsed <= high:
            raise ValueError(f"must lie between {low:g} and {high:g}")
        return parsed

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """One of a few words."""

    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return value

    return parse


class _OneLineParser(configargparse.ArgumentParser):  # type: ignore[misc]  # the library carries no types
    """A parser whose complaint is one line on stderr and status 2."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"gateway: {message}\n")
        sys.exit(2)


def settings_of(cls: type[Any]) -> dict[str, tuple[Field[Any], Setting]]:
    """Every setting of a dataclass by name."""
    hints = get_type_hints(cls, include_extras=True)
    return {item.name: (item, hints[item.name].__metadata__[0]) for item in fields(cls)}


def _shown_default(default: object) -> str:
    match default:
        case bool():
            return str(default).lower()
        case tuple():
            return ",".join(default) or "none"
        case float():
            return f"{default:g}"
        case None | "":
            return "none"
    return str(default)


def _parser(cls: type[Any], prog: str, description: str) -> _OneLineParser:
    parser = _OneLineParser(
        prog=prog,
        description=description,
        formatter_class=argparse.HelpFormatter,
        add_env_var_help=False,
        allow_abbrev=False,
    )
    config_help = f"settings file, one `name = value` a line [env {env_of('config')}]"
    parser.add_argument("--config", is_config_file=True, env_var=env_of("config"), metavar="FILE", help=config_help)
    for name, (item, setting) in settings_of(cls).items():
        switch: dict[str, str] = {"nargs": "?", "const": "true"} if setting.parse is boolean else {}
        parser.add_argument(
            flag_of(name),
            env_var=env_of(name),
            metavar="BOOL" if switch else "VALUE",
            help=f"{setting.help} [env {env_of(name)}; default {_shown_default(item.default)}]".replace("%", "%%"),
            **switch,
        )
    return parser


def from_values(cls: type[T], values: Mapping[str, str | None]) -> T:
    """Parse and check raw texts by setting name; absent ones take their defaults.

    Raises ConfigError, naming the setting and never repeating a value.
    """
    known: dict[str, object] = {}
    for name, (_, setting) in settings_of(cls).items():
        raw = values.get(name)
        if raw is None:
            continue
        try:
            known[name] = setting.parse(raw)
        except ValueError as error:
            raise ConfigError(name, str(error)) from None
    return cls(**known)


def load(
    cls: type[T], arguments: Sequence[str], environment: Mapping[str, str] | None = None, *, prog: str, description: str
) -> T:
    """Read the settings of this process.

    Exits with status 2 and one line on stderr when a setting cannot be used, with 0 after `--help`.
    """
    parser = _parser(cls, prog, description)
    variables = dict(os.environ if environment is None else environment)
    values = vars(parser.parse_args(list(arguments), env_vars=variables))
    try:
        return from_values(cls, values)
    except ConfigError as error:
        parser.error(str(error))
