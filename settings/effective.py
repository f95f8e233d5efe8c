"""The settings in effect, as text: what a process was told, by whom, and its defaults. Secrets stay out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from settings.declaration import Declared, Settings, settings_of
from settings.kinds import shown

DEFAULTS: Final = "defaults"
_HIDDEN: Final = "(hidden)"


def effective(config: Settings, sources: Mapping[str, str]) -> str:
    """One line per setting, by source; `sources`: where each value comes from, by name, else it is a default.

    Lines of values that were given can be used in a settings file, except hidden ones; defaults are comments.
    """
    given = {sources[declared.name] for declared in settings_of(type(config)) if declared.name in sources}
    sections = [f"# {source}\n{''.join(_lines(config, sources, source))}" for source in sorted(given)]
    return "\n".join([*sections, f"# {DEFAULTS}\n{''.join(_lines(config, sources, DEFAULTS))}"])


def _lines(config: Settings, sources: Mapping[str, str], source: str) -> Iterator[str]:
    for declared in settings_of(type(config)):
        if sources.get(declared.name, DEFAULTS) == source:
            name = declared.name.replace("_", "-")
            mark = "# " if source == DEFAULTS else ""
            yield f"{mark}{name} = {_text(declared, getattr(config, declared.name))}\n"


def _text(declared: Declared, value: object) -> str:
    if declared.setting.is_url and isinstance(value, str):
        return _without_secrets(value)
    if declared.is_secret and value:
        return _HIDDEN
    return shown(value)


def _without_secrets(url: str) -> str:
    """A URL with neither user and password nor parameters."""
    parts = urlsplit(url)
    user, separator, host = parts.netloc.rpartition("@")
    shortened = f"{parts.scheme}://{_HIDDEN + separator if user or separator else ''}{host}{parts.path}"
    return f"{shortened}?{_HIDDEN}" if parts.query or parts.fragment else shortened
