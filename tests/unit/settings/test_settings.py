"""A settings class: what follows from one declaration, where values come from, how errors read."""

from __future__ import annotations

import pwd
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Never

import pytest

from settings.command_line import load
from settings.declaration import Setting, Settings, from_values
from settings.errors import ConfigError, SettingError

SECRET = "hunter2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example(Settings):
    """One setting of every type."""

    env_prefix: ClassVar[str] = "EXAMPLE_"

    http_port: Annotated[int, Setting("a port", 0, 65535)] = 80
    rate: Annotated[float, Setting("a rate, 100 %", 0.5)] = 1.5
    limit: Annotated[int | None, Setting("a limit", 0, aliases=("most", "max_limit"))] = None
    mode: Annotated[Literal["fast", "exact"], Setting("a mode")] = "fast"
    quiet: Annotated[bool, Setting("a switch")] = False
    file: Annotated[Path | None, Setting("a file")] = None
    folder: Annotated[Path, Setting("a folder")] = Path("~/data")
    names: Annotated[tuple[str, ...], Setting("some names")] = ()
    token_secret: Annotated[str, Setting("a secret")] = field(default="", repr=False)


def read(*arguments: str, **environment: str) -> Example:
    return load(Example, arguments, environment, prog="example", description="An example.")


def test_every_type_has_its_default() -> None:
    assert read() == Example()
    assert (Example().limit, Example().names, Example().folder) == (None, (), Path.home() / "data")


def test_a_user_without_a_home_needs_none_until_asked_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(user: int) -> Never:
        raise KeyError(user)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert read().folder == Path("/nonexistent/data")
    with pytest.raises(ConfigError, match=r"EXAMPLE_FOLDER.*home directory that ~ names is unknown"):
        read(EXAMPLE_FOLDER="~/elsewhere")


def test_every_type_is_parsed() -> None:
    config = from_values(
        Example,
        {
            "http_port": "1",
            "rate": "2.5",
            "limit": "0",
            "mode": "exact",
            "quiet": "on",
            "file": "~/x",
            "folder": "y",
            "names": "a, b,",
            "token_secret": " s ",
        },
    )
    assert config == Example(
        http_port=1,
        rate=2.5,
        limit=0,
        mode="exact",
        quiet=True,
        file=Path.home() / "x",
        folder=Path("y"),
        names=("a", "b"),
        token_secret="s",
    )


@pytest.mark.parametrize("name", ["http-port", "http_port", "--http-port"])
@pytest.mark.parametrize("line", ["{} = 1", "{}=1", "{}: 1", "{} 1", "{} = '1'  # a port"])
def test_a_file_takes_names_with_hyphens_and_underscores(tmp_path: Path, name: str, line: str) -> None:
    file = tmp_path / "example.conf"
    file.write_text(f"# settings\n[example]\n{line.format(name)}\n")
    assert read("--config", str(file)).http_port == 1
    assert read(EXAMPLE_CONFIG=str(file)).http_port == 1


@pytest.mark.parametrize("name", ["http-port", "http_port"])
def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path, name: str) -> None:
    file = tmp_path / "example.conf"
    file.write_text(f"{name} = 1\n")
    arguments = ("--config", str(file))
    assert read(*arguments, "--http-port", "3", EXAMPLE_HTTP_PORT="2").http_port == 3
    assert read(*arguments, EXAMPLE_HTTP_PORT="2").http_port == 2
    assert read(*arguments).http_port == 1
    assert read().http_port == 80


@pytest.mark.parametrize("line", ["names = a, b", "names = [a, b]", 'names = ["a", "b"]'])
def test_a_file_takes_lists_with_and_without_brackets(tmp_path: Path, line: str) -> None:
    file = tmp_path / "example.conf"
    file.write_text(line)
    assert read("--config", str(file)).names == ("a", "b")


@pytest.mark.parametrize(("text", "quiet"), [("true", True), ("1", True), ("no", False), ("off", False)])
def test_switches_take_words_everywhere(tmp_path: Path, text: str, quiet: bool) -> None:
    file = tmp_path / "example.conf"
    file.write_text(f"quiet = {text}\n")
    assert read("--config", str(file)).quiet is quiet
    assert read(EXAMPLE_QUIET=text).quiet is quiet
    assert read("--quiet", text).quiet is quiet
    assert read("--quiet").quiet
    assert not read("--quiet", "false", EXAMPLE_QUIET="true").quiet
    assert not read(EXAMPLE_QUIET="").quiet


def test_a_bare_name_in_a_file_turns_a_switch_on(tmp_path: Path) -> None:
    file = tmp_path / "example.conf"
    file.write_text("quiet\n")
    assert read("--config", str(file)).quiet


def test_help_shows_variable_default_bound_and_choices(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        read("--help")
    assert done.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for line in (
        "--http-port VALUE a port [env EXAMPLE_HTTP_PORT; default 80; 0 to 65535]",
        "a rate, 100 % [env EXAMPLE_RATE; default 1.5; at least 0.5]",
        "--limit VALUE, --most VALUE, --max-limit VALUE a limit",
        "[env EXAMPLE_LIMIT; default none; at least 0; also --most; also --max-limit]",
        "a mode [env EXAMPLE_MODE; default fast; one of fast, exact]",
        "--quiet [BOOL] a switch [env EXAMPLE_QUIET; default false]",
        "a folder [env EXAMPLE_FOLDER; default ~/data]",
        "some names [env EXAMPLE_NAMES; default none]",
        "[env EXAMPLE_CONFIG; default none]",
    ):
        assert line in shown
    assert "://" not in shown  # the library would add an address of its own


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"http_port": "x"}, "must be a whole number"),
        ({"http_port": "65536"}, "must be 0 to 65535"),
        ({"rate": "x"}, "must be a number"),
        ({"rate": "nan"}, "must be at least 0.5"),
        ({"limit": "-1"}, "must be at least 0"),
        ({"mode": "slow"}, "must be one of fast, exact"),
        ({"quiet": "perhaps"}, "must be true or false"),
    ],
)
def test_an_invalid_value_is_named(values: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingError) as refused:
        from_values(Example, values)
    assert (refused.value.setting, refused.value.problem) == (next(iter(values)), problem)
    flag = "--" + refused.value.setting.replace("_", "-")
    assert str(refused.value) == f"setting {flag} (EXAMPLE_{refused.value.setting.upper()}): {problem}"


def test_bounds_hold_however_settings_are_made() -> None:
    with pytest.raises(SettingError, match="EXAMPLE_HTTP_PORT"):
        Example(http_port=-1)


@pytest.mark.parametrize(
    "text",
    [
        f"= {SECRET}",
        f"token-secre = {SECRET}",
        f"token_secre {SECRET}",
        f"api-keys = [{SECRET}, {SECRET}]",
        f"http_port = {SECRET}",
        f"quiet = [{SECRET}]",
        f"quiet = {SECRET}",
    ],
)
def test_an_invalid_file_is_one_line_without_its_values(tmp_path: Path, text: str) -> None:
    file = tmp_path / "example.conf"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read("--config", str(file))
    assert SECRET not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--token-secre", SECRET),
        (f"--token-secre={SECRET}",),
        ("--token-secret", "a", SECRET),
        ("--http-port", SECRET),
        ("--quiet", SECRET),
    ],
)
def test_an_invalid_command_line_is_one_line_without_its_values(arguments: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as refused:
        read(*arguments)
    assert SECRET not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "example.conf"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"example\.conf: not UTF-8 text"):
        read("--config", str(file))
    with pytest.raises(ConfigError, match=str(tmp_path)):
        read("--config", str(tmp_path))


@pytest.mark.parametrize("name", ["limit", "most", "max_limit"])
def test_every_name_of_a_setting_is_taken_everywhere(tmp_path: Path, name: str) -> None:
    file = tmp_path / "example.conf"
    file.write_text(f"{name} = 7\n")
    assert read("--config", str(file)).limit == 7
    assert read(**{f"EXAMPLE_{name.upper()}": "7"}).limit == 7
    assert read(f"--{name.replace('_', '-')}", "7", EXAMPLE_LIMIT="3").limit == 7


def test_two_names_of_a_setting_must_agree() -> None:
    assert read(EXAMPLE_LIMIT="7", EXAMPLE_MOST="7").limit == 7
    with pytest.raises(ConfigError, match="EXAMPLE_LIMIT and EXAMPLE_MOST"):
        read(EXAMPLE_LIMIT="7", EXAMPLE_MOST="8")


def test_a_secret_may_be_kept_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n", encoding="utf-8")
    assert read(EXAMPLE_TOKEN_SECRET_FILE=str(file)).token_secret == SECRET
    assert read("--token-secret", "other", EXAMPLE_TOKEN_SECRET_FILE=str(file)).token_secret == "other"
    with pytest.raises(ConfigError, match="EXAMPLE_TOKEN_SECRET and EXAMPLE_TOKEN_SECRET_FILE are both set"):
        read(EXAMPLE_TOKEN_SECRET="other", EXAMPLE_TOKEN_SECRET_FILE=str(file))


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"EXAMPLE_TOKEN_SECRET_FILE: .*/absent: No such file"):
        read(EXAMPLE_TOKEN_SECRET_FILE=str(tmp_path / "absent"))
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        read(EXAMPLE_TOKEN_SECRET_FILE=str(tmp_path / "bytes"))


def test_only_secrets_are_read_from_files(tmp_path: Path) -> None:
    file = tmp_path / "mode"
    file.write_text("exact", encoding="utf-8")
    assert read(EXAMPLE_MODE_FILE=str(file)).mode == "fast"
