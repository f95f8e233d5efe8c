"""Settings: their precedence, the values that are refused, and the errors for them."""

from pathlib import Path

import pytest
from talkup.v1 import task_pb2

from gateway.__main__ import main
from gateway.config import GatewayConfig, load
from gateway.parts import upstream_config
from gateway.store_url import sqlite_path
from gateway.upstream.config import Links, UpstreamConfig
from settings.declaration import env_of, from_values, settings_of
from settings.errors import ConfigError, SettingError, flag_of

KEY = {"api_keys": "a-key-that-is-long"}
OIDC = {"oidc_issuer": "https://id.example", "oidc_audience": "talkup"}


def test_flag_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    file = tmp_path / "gateway.conf"
    file.write_text("http-port = 1\nws-port = 1\nwss-port = 1\n")
    environment = {"GATEWAY_HTTP_PORT": "2", "GATEWAY_WS_PORT": "2"}
    config = load(["--config", str(file), "--http-port", "3"], environment)
    assert (config.http_port, config.ws_port, config.wss_port, config.drain_s) == (3, 2, 1, 7.0)


def test_variable_names_that_deployments_rely_on() -> None:
    environment = {
        "GATEWAY_STT_WORKERS": "a:1, b:2",
        "GATEWAY_VISION_WORKERS": "dns:///vision:50052",
        "GATEWAY_API_KEYS": "one,two",
        "GATEWAY_STORE": "memory://",
    }
    config = load([], environment)
    assert config.stt_workers == ("a:1", "b:2")
    assert config.vision_workers == ("dns:///vision:50052",)
    assert config.api_keys == ("one", "two")
    assert config.store == "memory://"


def test_switches_work_with_and_without_a_value() -> None:
    assert load(["--worker-plaintext"], {}).worker_plaintext
    assert not load([], {"GATEWAY_WORKER_PLAINTEXT": "false"}).worker_plaintext
    assert load([], {"GATEWAY_WORKER_PLAINTEXT": "1"}).worker_plaintext


def test_help_lists_every_setting_with_variable_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        load(["--help"], {})
    assert done.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for declared in settings_of(GatewayConfig):
        assert flag_of(declared.name) in shown
        assert f"[env {env_of(GatewayConfig, declared.name)}; default" in shown


@pytest.mark.parametrize(
    ("values", "setting"),
    [
        ({"http_port": "70000"}, "http_port"),
        ({"http_port": "many"}, "http_port"),
        ({"session_grace_s": "nan"}, "session_grace_s"),
        ({"drain_s": "-1"}, "drain_s"),
        ({"worker_plaintext": "perhaps"}, "worker_plaintext"),
        ({"log_level": "loud"}, "log_level"),
        ({"store": "redis://"}, "store"),
        ({"store": "redis://host:port/0"}, "store"),
        ({"store": "redis://localhost", **KEY}, "token_secret"),
        ({"store": "sqlite://"}, "store"),
        ({"store": "somewhere"}, "store"),
        ({"tls_cert": "/nowhere/cert.pem"}, "tls_cert"),
        ({"ws_enabled": "false"}, "ws_enabled"),
        ({"stt_worker_name": "stt-worker"}, "stt_worker_name"),
        ({"token_secret": "short"}, "token_secret"),
        ({"public_url": "https://host/ws"}, "public_url"),
        ({"http_host": "0.0.0.0"}, "api_keys"),
        ({"ws_host": "::"}, "api_keys"),
        ({"ws_host": "gateway.example", **KEY}, "ws_host"),
        ({"http_host": "0.0.0.0", **KEY}, "http_host"),
        ({"http_host": "0.0.0.0", "allow_plaintext": "yes", "api_keys": "x"}, "api_keys"),
        ({"api_keys_file": "/nowhere/keys.json"}, "api_keys_file"),
        ({"oidc_audience": "talkup"}, "oidc_issuer"),
        ({"oidc_issuer": "https://id.example"}, "oidc_audience"),
        ({"oidc_issuer": "http://id.example", "oidc_audience": "talkup"}, "oidc_issuer"),
        ({**OIDC, "oidc_jwks_url": "http://id.example/keys"}, "oidc_jwks_url"),
        ({**OIDC, "oidc_algorithms": "none"}, "oidc_algorithms"),
        ({**OIDC, "oidc_algorithms": "RS256,HS256"}, "oidc_algorithms"),
        ({**OIDC, "oidc_owner_claim": ""}, "oidc_owner_claim"),
        ({**OIDC, "oidc_ca": "/nowhere/ca.pem"}, "oidc_ca"),
        ({**OIDC, "store": "redis://localhost"}, "token_secret"),
        ({"token_secrets_older": "short"}, "token_secrets_older"),
        ({"trusted_proxies": "10.0.0.0/8,proxy.example"}, "trusted_proxies"),
        ({"wyoming_clients": "home.example"}, "wyoming_clients"),
        ({"wyoming_port": "10300", **KEY}, "wyoming_key"),
        ({"wyoming_port": "10300", "wyoming_host": "0.0.0.0"}, "api_keys"),
        ({"wyoming_port": "10300", "wyoming_host": "0.0.0.0", "wyoming_key": "k", **KEY}, "wyoming_clients"),
    ],
)
def test_errors_name_the_invalid_setting(values: dict[str, str], setting: str) -> None:
    with pytest.raises(SettingError) as refused:
        from_values(GatewayConfig, values)
    assert refused.value.setting == setting
    assert env_of(GatewayConfig, setting) in str(refused.value)


def test_a_bad_setting_is_one_line_and_status_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--ws-port", "many"]) == 2
    assert capsys.readouterr().err == "gateway: setting --ws-port (GATEWAY_WS_PORT): must be a whole number\n"


def test_an_unknown_flag_is_one_line_and_status_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--colour", "blue"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_certificate_without_key_names_the_key(tmp_path: Path) -> None:
    cert = tmp_path / "cert.pem"
    cert.write_text("x")
    with pytest.raises(SettingError) as refused:
        from_values(GatewayConfig, {"tls_cert": str(cert)})
    assert refused.value.setting == "tls_key"


def test_beyond_loopback_with_key_and_flag() -> None:
    config = from_values(
        GatewayConfig, {"http_host": "0.0.0.0", "allow_plaintext": "yes", "trusted_proxies": "10.0.0.0/8", **KEY}
    )
    assert not config.open_access


def test_secrets_stay_out_of_repr() -> None:
    config = from_values(
        GatewayConfig, {"api_keys": "hidden-1", "token_secret": "hidden-2" * 8, "worker_token": "hidden-3"}
    )
    assert "hidden" not in repr(config)


def test_a_store_in_the_home_of_nobody_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"GATEWAY_STORE.*home directory that ~ names is unknown"):
        load([], {"GATEWAY_STORE": "sqlite:///~nobody-of-this-name/g.db"})


@pytest.mark.parametrize(("url", "path"), [("sqlite:///a/b.db", "a/b.db"), ("sqlite:////a/b.db", "/a/b.db")])
def test_sqlite_urls(url: str, path: str) -> None:
    assert sqlite_path(url) == Path(path)


def test_the_upstream_configuration_follows_the_settings() -> None:
    values = {
        "worker_hung_s": "5",
        "worker_attempts": "3",
        "worker_strikes": "4",
        "worker_eject_s": "9",
        "worker_resolve_s": "7",
        "worker_behind_ms": "2000",
        "replay_bytes": "1000000",
        "replay_s": "30",
        "worker_links": "never",
    }
    upstream = upstream_config(from_values(GatewayConfig, values))
    assert upstream.deadlines.hung == 5
    assert (upstream.retry.attempts, upstream.retry.strikes, upstream.retry.eject_last) == (3, 4, 9)
    assert upstream.probing.resolve == 7
    assert upstream.links is Links.NEVER
    assert (upstream.buffer.replay_bytes, upstream.buffer.replay_seconds) == (1_000_000, 30)
    assert (upstream.buffer.high_ms, upstream.buffer.low_ms) == (2000, 500)
    assert upstream_config(GatewayConfig()) == UpstreamConfig(
        endpoints={task_pb2.SERVICE_TYPE_STT: (), task_pb2.SERVICE_TYPE_VISION: ()}
    )


def test_an_origin_that_no_browser_sends_is_refused_and_other_spellings_are_not() -> None:
    assert load([], {"GATEWAY_ALLOWED_ORIGINS": "HTTPS://App.Example/, http://localhost:5173"}).allowed_origins
    with pytest.raises(SettingError, match="an origin such as") as caught:
        load([], {"GATEWAY_ALLOWED_ORIGINS": "app.example"})
    assert caught.value.setting == "allowed_origins"


@pytest.mark.parametrize(
    "origin", ["https://*.example", "https://*", "https://*.*.example", "https://a.*.example", "*.a.example"]
)
def test_a_wildcard_stands_for_the_subdomains_of_a_name_and_nothing_else(origin: str) -> None:
    with pytest.raises(SettingError) as refused:
        load([], {"GATEWAY_ALLOWED_ORIGINS": origin})
    assert refused.value.setting == "allowed_origins"


@pytest.mark.parametrize(
    ("values", "is_exposed"),
    [
        ({}, False),
        ({"public_url": "ws://localhost:8081/ws"}, False),
        ({"public_url": "wss://gateway.example/ws"}, True),
        ({"trusted_proxies": "127.0.0.1"}, True),
        ({"wyoming_host": "0.0.0.0"}, False),
        ({"wyoming_host": "0.0.0.0", "wyoming_port": "1", "wyoming_clients": "::1", "wyoming_key": "k", **KEY}, True),
    ],
)
def test_a_gateway_is_public_if_other_machines_reach_it(values: dict[str, str], is_exposed: bool) -> None:
    assert from_values(GatewayConfig, values).is_exposed is is_exposed


def test_plaintext_beyond_loopback_needs_the_addresses_of_its_proxies() -> None:
    exposed = {"http_host": "0.0.0.0", "allow_plaintext": "yes", **KEY}
    for proxies in ("", "nowhere"):
        with pytest.raises(SettingError) as refused:
            from_values(GatewayConfig, {**exposed, "trusted_proxies": proxies})
        assert refused.value.setting == "trusted_proxies"
