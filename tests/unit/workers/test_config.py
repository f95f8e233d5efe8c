"""Settings: where they come from, and which ones cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from talkup.v1 import task_pb2

from workers.config import ConfigError, WorkerConfig, is_loopback, parse, parse_models


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "worker.conf"
    file.write_text("slots = 3\nmodel = small\nthreads = 7\n")
    environ = {"WORKER_CONFIG": str(file), "WORKER_MODEL": "tiny.en", "WORKER_SLOTS": "4"}
    config = parse("stt", ["--slots", "5"], environ)
    assert (config.slots, config.model, config.threads, config.port) == (5, "tiny.en", 7, 50051)
    assert parse("vision", [], {}).port == 50052


def test_the_fakes_script() -> None:
    config = parse("fake", ["--service", "vision", "--crash-after", "0", "--poison", "kill"], {"WORKER_DELAY_MS": "20"})
    assert config.fake is not None
    assert config.fake.service_type == task_pb2.SERVICE_TYPE_VISION
    assert (config.fake.crash_after, config.fake.fail_after, config.fake.delay_ms) == (0, None, 20)
    assert config.fake.poison == b"kill"
    with pytest.raises(ConfigError, match="--crash-after"):
        parse("stt", ["--crash-after", "1"], {})


def test_only_vision_has_its_settings() -> None:
    config = parse("vision", ["--nets", "litert"], {"WORKER_NICE": "5"})
    assert (config.nets, config.nice) == ("litert", 5)
    assert (parse("vision", [], {}).nets, parse("vision", [], {}).nice) == ("opencv", 10)
    with pytest.raises(ConfigError, match="nice"):
        parse("vision", ["--nice", "20"], {})
    with pytest.raises(ConfigError, match="--nets"):
        parse("stt", ["--nets", "litert"], {})


def test_secrets_are_not_shown() -> None:
    config = parse("stt", [], {"WORKER_TOKENS": "secret-one,secret-two"})
    assert config.tokens == ("secret-one", "secret-two")
    assert "secret" not in repr(config)


@pytest.mark.parametrize(
    ("argv", "environ", "told"),
    [
        (["--port", "70000"], {}, "port"),
        (["--no-such-flag"], {}, "--no-such-flag"),
        ([], {"WORKER_PORT": "x"}, "--port"),
        ([], {"WORKER_DEVICE": "tpu"}, "--device"),
        ([], {"WORKER_TOKENS": "short"}, "tokens"),
        (["--host", "0.0.0.0"], {}, "host: 0.0.0.0 is not loopback: give tls-cert"),
        (["--tls-cert", "x.pem"], {}, "tls-cert, tls-key"),
        (["--tls-cert", "/no/x.pem", "--tls-key", "/no/x.key"], {}, "tls-cert: /no/x.pem: No such file"),
        (["--stream-seconds", "nan"], {}, "stream-seconds"),
        (["--config", "/no/file"], {}, "/no/file"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_in_one_line(argv: list[str], environ: dict, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse("stt", argv, environ)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_off_loopback_needs_tls_and_a_credential(tmp_path: Path) -> None:
    for name in ("cert", "key", "ca"):
        (tmp_path / name).write_bytes(b"pem")
    tls = ["--host", "::", "--tls-cert", str(tmp_path / "cert"), "--tls-key", str(tmp_path / "key")]
    with pytest.raises(ConfigError, match="tls-client-ca or tokens"):
        parse("stt", tls, {})
    assert parse("stt", [*tls, "--tls-client-ca", str(tmp_path / "ca")], {}).tls is not None
    assert parse("stt", [*tls, "--tokens", "a-long-token"], {}).tokens == ("a-long-token",)
    assert parse("stt", ["--host", "0.0.0.0", "--insecure"], {}).insecure


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("host", False)],
)
def test_what_counts_as_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        WorkerConfig(service="fake").port = 1  # type: ignore[misc]


def test_names_of_models() -> None:
    assert parse_models([], {"WORKER_MODEL_CACHE": "/cache"}) == (["base", "tiny.en"], Path("/cache"))
    assert parse_models(["small", "--model-cache", "/x"], {}) == (["small"], Path("/x"))
