"""Reads settings: flags override the environment, which overrides the settings file, which overrides defaults."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Never, TextIO

import configargparse

from settings.declaration import Declared, S, Settings, env_of, from_values, settings_of
from settings.effective import effective
from settings.errors import ConfigError, SettingError, flag_of
from settings.kinds import shown

_SHOW = "show_config"


def load(
    cls: type[S],
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    prog: str,
    description: str,
    config_file: bool = True,
) -> S:
    """Read the settings of this process; without `config_file` there is neither `--config` nor `--show-config`.

    Raises ConfigError; `--help` and `--show-config` print and raise SystemExit(0).
    """
    parser = _parser(cls, prog, description, config_file=config_file)
    values = _read(parser, cls, arguments, environment)
    config = from_values(cls, values)
    if values.get(_SHOW):
        sys.stdout.write(effective(config, _sources(parser, cls, values)))
        raise SystemExit(0)
    return config


def faults(cls: type[Settings], arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> list[str]:
    """Everything that is wrong with the settings of this process, a line each, as far as it can be known at once."""
    parser = _parser(cls, cls.__name__, "", config_file=True)
    try:
        values = _read(parser, cls, arguments, environment)
    except ConfigError as error:
        return [str(error)]
    found: dict[str, str] = {}
    while True:
        try:
            from_values(cls, values)
        except SettingError as error:
            if error.setting in found:  # it follows from the value that was left out
                return list(found.values())
            found[error.setting] = str(error)
            values[error.setting] = None
        else:
            return list(found.values())


def _read(
    parser: _Parser, cls: type[Settings], arguments: Sequence[str], environment: Mapping[str, str] | None
) -> dict[str, str | Sequence[str] | None]:
    """The texts of all settings, by name. Raises ConfigError."""
    variables = _with_secrets(cls, _without_aliases(cls, os.environ if environment is None else environment))
    namespace, unknown = parser.parse_known_args(list(arguments), env_vars=variables)
    if unknown:
        raise ConfigError(_unknown(unknown))
    return dict(vars(namespace))


def _sources(parser: _Parser, cls: type[Settings], values: Mapping[str, object]) -> dict[str, str]:
    """Where the values come from that are no defaults, by the name of the setting."""
    given = (declared.name for declared in settings_of(cls) if values.get(declared.name) is not None)
    found = dict.fromkeys(given, "command line")
    for source, settings in parser.get_source_to_settings_dict().items():
        kind, _, path = source.partition("|")
        name = {"environment_variables": "environment", "config_file": path}.get(kind)
        if name is not None:
            found.update({action.dest: name for action, _ in settings.values() if action is not None})
    return found


def _without_aliases(cls: type[Settings], environment: Mapping[str, str]) -> dict[str, str]:
    """The variables, each under its first name. Raises ConfigError where two names of one setting disagree."""
    variables = dict(environment)
    for declared in settings_of(cls):
        name = env_of(cls, declared.name)
        for other in (env_of(cls, alias) for alias in declared.setting.aliases):
            if other in variables and variables.setdefault(name, variables[other]) != variables[other]:
                raise ConfigError(f"{name} and {other} name the same setting, with different values")
    return variables


def _with_secrets(cls: type[Settings], variables: Mapping[str, str]) -> dict[str, str]:
    """The variables, with each secret that `NAME_FILE` keeps in a file, as container platforms do.

    Raises ConfigError if the file cannot be read, or if the variable itself is set as well.
    """
    found = dict(variables)
    for declared in settings_of(cls):
        name, file = env_of(cls, declared.name), _file_variable(cls, declared)
        if file is None or not variables.get(file):
            continue
        if variables.get(name):
            raise ConfigError(f"{name} and {file} are both set")
        try:
            found[name] = Path(variables[file]).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"{file}: {variables[file]}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{file}: {variables[file]}: not UTF-8 text") from None
    return found


def _file_variable(cls: type[Settings], declared: Declared) -> str | None:
    """The variable that names a file with this secret; None for what is no secret or has a setting of that name."""
    file = f"{declared.name}_file"
    if not declared.is_secret or any(other.name == file for other in settings_of(cls)):
        return None
    return env_of(cls, file)


class _Parser(configargparse.ArgumentParser):  # type: ignore[misc]  # the library carries no types
    """A parser that raises ConfigError instead of printing usage and exiting."""

    def error(self, message: str) -> Never:
        raise ConfigError(" ".join(message.split()))


class _File(configargparse.DefaultConfigFileParser):  # type: ignore[misc]  # the library carries no types
    """A settings file: one `name = value` per line, names with hyphens or underscores, lists as `[a, b]` or `a, b`.

    Its errors name the line and never repeat it, since it may hold a secret.
    """

    def parse(self, stream: TextIO) -> dict[str, str]:
        found: dict[str, str] = {}
        try:
            for number, line in enumerate(stream, 1):
                for name, value in self._line(line, f"{stream.name}, line {number}").items():
                    found[name.replace("_", "-")] = value if isinstance(value, str) else ",".join(map(str, value))
        except UnicodeDecodeError:
            raise configargparse.ConfigFileParserException(f"{stream.name}: not UTF-8 text") from None
        return found

    def _line(self, line: str, where: str) -> Mapping[str, str | Sequence[object]]:
        try:
            parsed: Mapping[str, str | Sequence[object]] = super().parse([line])
        except configargparse.ConfigFileParserException:
            raise configargparse.ConfigFileParserException(f"{where}: expected `name = value`") from None
        return parsed


def _parser(cls: type[Settings], prog: str, description: str, *, config_file: bool) -> _Parser:
    parser = _Parser(
        prog=prog,
        description=description,
        formatter_class=argparse.HelpFormatter,
        config_file_parser_class=_File,
        add_config_file_help=False,
        add_env_var_help=False,
        allow_abbrev=False,
    )
    if config_file:
        variable = env_of(cls, "config")
        text = f"settings file, one `name = value` per line [env {variable}; default none]"
        parser.add_argument("--config", is_config_file=True, env_var=variable, metavar="FILE", help=text)
        text = "print the settings in effect and where each comes from, without secrets, and exit"
        parser.add_argument("--show-config", action="store_true", help=text)
    for declared in settings_of(cls):
        _add(parser, cls, declared)
    return parser


def _add(parser: _Parser, cls: type[Settings], declared: Declared) -> None:
    setting, kind = declared.setting, declared.kind
    facts = [f"default {shown(declared.default)}"]
    if kind.choices:
        facts.append(f"one of {', '.join(kind.choices)}")
    if setting.bounds:
        facts.append(setting.bounds)
    facts += [f"also {flag_of(alias)}" for alias in setting.aliases]
    if (file := _file_variable(cls, declared)) is not None:
        facts.append(f"or in the file that {file} names")
    if setting.positional:
        text = f"{setting.help} [{'; '.join(facts)}]".replace("%", "%%")
        parser.add_argument(declared.name, nargs="*", metavar="NAME", help=text)
        return
    variable = env_of(cls, declared.name)
    parser.add_argument(
        *(flag_of(name) for name in (declared.name, *setting.aliases)),
        dest=declared.name,
        env_var=variable,
        help=f"{setting.help} [{'; '.join([f'env {variable}', *facts])}]".replace("%", "%%"),
        **({"nargs": "?", "const": "true", "metavar": "BOOL"} if kind.is_switch else {"metavar": "VALUE"}),
    )


def _unknown(words: Iterable[str]) -> str:
    """Name unknown flags and keys without their values: a mistyped name may be followed by a secret."""
    flags = [word.partition("=")[0] for word in words if word.startswith("--")]
    if not flags:
        return "unexpected argument"
    return f"unknown setting {', '.join(flags)}"
