"""Errors in a process's settings. Each message is one line and never repeats a secret value."""

from __future__ import annotations


class ConfigError(ValueError):
    """The command line, the environment or the settings file is invalid."""


class SettingError(ConfigError):
    """A setting has an invalid value: `setting` is the field's name, `problem` the reason in a few words."""

    def __init__(self, setting: str, problem: str, env_prefix: str = "") -> None:
        super().__init__(f"setting {flag_of(setting)} ({env_prefix + setting.upper()}): {problem}")
        self.setting = setting
        self.variable = env_prefix + setting.upper()
        self.problem = problem


def flag_of(name: str) -> str:
    """The command-line name of a setting."""
    return "--" + name.replace("_", "-")
