"""Scripts with which a shell completes the `talkup` command: made from its own options. Pure."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

SHELLS = ("bash", "zsh")

_BASH = """\
_talkup() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} words=
  case ${{COMP_WORDS[1]}} in
{commands}
  esac
  case $previous in
{choices}
  esac
  if (( COMP_CWORD == 1 )); then words="{names}"; fi
  if [[ $current == -* || -n $exact || COMP_CWORD -eq 1 ]]; then COMPREPLY=($(compgen -W "$words" -- "$current")); fi
}}
complete -o default -F _talkup talkup
"""
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for one of SHELLS. File names are completed where no word fits."""
    commands = dict(_commands(parser))
    options = "\n".join(f'    {name}) words="{" ".join(_options(command))}" ;;' for name, command in commands.items())
    choices = "\n".join(
        f'    {" | ".join(action.option_strings)}) words="{" ".join(map(str, action.choices or ()))}"; local exact=1 ;;'
        for action in _unique_choices(commands.values())
    )
    names = " ".join((*commands, *_options(parser)))
    return (_ZSH if shell == "zsh" else "") + _BASH.format(commands=options, choices=choices, names=names)


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if not action.option_strings and action.choices and not isinstance(action, argparse._SubParsersAction):
            yield from map(str, action.choices)


def _unique_choices(parsers: object) -> Iterator[argparse.Action]:
    seen = set[str]()
    for parser in parsers:  # type: ignore[attr-defined]
        for action in parser._actions:
            if action.option_strings and action.choices and not seen & set(action.option_strings):
                seen.update(action.option_strings)
                yield action
