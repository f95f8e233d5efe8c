"""The settings in effect: complete, by source, usable as a file again, and without a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import GatewayConfig
from settings.command_line import faults, load
from settings.declaration import settings_of

SECRET = "swordfish-swordfish-swordfish-swordfish"


def shown(
    capsys: pytest.CaptureFixture[str], arguments: list[str], environment: dict[str, str]
) -> dict[str, dict[str, str]]:
    """Settings by source and name, as `--show-config` prints them."""
    with pytest.raises(SystemExit) as ended:
        load(GatewayConfig, [*arguments, "--show-config"], environment, prog="gateway", description="")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert SECRET not in text
    found: dict[str, dict[str, str]] = {}
    source = ""
    for line in text.splitlines():
        name, separator, value = line.removeprefix("# ").partition(" = ")
        if separator:
            found[source][name] = value
        elif line:
            source = name
            found[source] = {}
    return found


def test_every_setting_is_shown_once_under_its_source(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "gateway.conf"
    file.write_text("drain_s = 3\nhttp-port = 1\n", encoding="utf-8")
    secret = tmp_path / "token"
    secret.write_text(SECRET, encoding="utf-8")
    environment = {
        "GATEWAY_HTTP_PORT": "8088",
        "GATEWAY_WS_PORT": "2",
        "GATEWAY_API_KEYS": f"{SECRET},another",
        "GATEWAY_METRICS_TOKEN_FILE": str(secret),
        "GATEWAY_CONFIG": str(file),
    }
    found = shown(capsys, ["--ws-port", "8089", "--stt-workers=a:1,b:2"], environment)
    assert found["command line"] == {"ws-port": "8089", "stt-workers": "a:1,b:2"}
    assert found["environment"] == {"http-port": "8088", "api-keys": "(hidden)", "metrics-token": "(hidden)"}
    assert found[str(file)] == {"drain-s": "3"}
    assert found["defaults"]["token-secret"] == "none"
    names = [name for section in found.values() for name in section]
    assert sorted(names) == sorted(each.name.replace("_", "-") for each in settings_of(GatewayConfig))


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://redis:6379/0", "redis://redis:6379/0"),
        (f"rediss://user:{SECRET}@h:1/0", "rediss://(hidden)@h:1/0"),
        (f"redis://h:1/0?password={SECRET}", "redis://h:1/0?(hidden)"),
        ("sqlite:////var/lib/talkup/gateway.db", "sqlite:////var/lib/talkup/gateway.db"),
        ("memory://", "memory://"),
    ],
)
def test_a_url_shows_where_and_not_with_what(capsys: pytest.CaptureFixture[str], url: str, text: str) -> None:
    environment = {"GATEWAY_STORE": url, "GATEWAY_TOKEN_SECRET": SECRET}
    assert shown(capsys, [], environment)["environment"]["store"] == text


def test_the_lines_of_given_values_are_a_settings_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        load(GatewayConfig, ["--show-config"], {"GATEWAY_HTTP_PORT": "9"}, prog="gateway", description="")
    file = tmp_path / "gateway.conf"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    config = load(GatewayConfig, ["--config", str(file)], {}, prog="gateway", description="")
    assert config == load(GatewayConfig, [], {"GATEWAY_HTTP_PORT": "9"}, prog="gateway", description="")


def test_all_faults_are_found_at_once_and_none_repeats_a_secret() -> None:
    environment = {
        "GATEWAY_HTTP_PORT": "99999999",
        "GATEWAY_DRAIN_S": "soon",
        "GATEWAY_TLS_CERT": "/nowhere/cert.pem",
        "GATEWAY_STORE_KEYS": SECRET,
    }
    found = faults(GatewayConfig, ["--log-level", "loud"], environment)
    assert [line.split()[1] for line in found] == [
        "--drain-s", "--http-port", "--log-level", "--tls-cert", "--store-keys"
    ]  # fmt: skip
    assert SECRET not in "".join(found)
    assert faults(GatewayConfig, [], {}) == []
    assert faults(GatewayConfig, ["--no-such-flag"], {}) == ["unknown setting --no-such-flag"]


def test_what_follows_from_another_fault_is_not_reported() -> None:
    """Without the key file, nobody could be asked for a key: the second complaint would mislead."""
    found = faults(GatewayConfig, [], {"GATEWAY_WS_HOST": "0.0.0.0", "GATEWAY_API_KEYS_FILE": "/nowhere"})
    assert found[0].startswith("setting --api-keys-file")
    assert len(found) <= 2
