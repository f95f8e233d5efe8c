"""Settings: where they come from, and which ones cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from talkup.v1 import task_pb2

from settings.errors import ConfigError
from workers.__main__ import parse, parse_models
from workers.config import WorkerConfig
from workers.fake.settings import FakeSettings
from workers.vision.settings import VisionSettings


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "worker.conf"
    file.write_text("slots = 3\nmodel = small\nthreads = 7\n")
    environ = {"WORKER_CONFIG": str(file), "WORKER_MODEL": "tiny.en", "WORKER_SLOTS": "4"}
    config = parse("stt", ["--slots", "5"], environ)
    assert (config.slots, config.model, config.threads, config.port) == (5, "tiny.en", 7, 50051)
    assert parse("vision", [], {}).port == 50052


def test_the_fakes_script() -> None:
    config = parse("fake", ["--service", "vision", "--crash-after", "0", "--poison", "kill"], {"WORKER_DELAY_MS": "20"})
    assert isinstance(config, FakeSettings)
    script = config.script
    assert script.service_type == task_pb2.SERVICE_TYPE_VISION
    assert (script.crash_after, script.fail_after, script.delay_ms) == (0, None, 20)
    assert script.poison == b"kill"
    with pytest.raises(ConfigError, match="--crash-after"):
        parse("stt", ["--crash-after", "1"], {})


def test_only_vision_has_its_settings() -> None:
    config = parse("vision", ["--nets", "litert"], {"WORKER_NICE": "5"})
    assert isinstance(config, VisionSettings)
    assert (config.nets, config.nice) == ("litert", 5)
    assert (VisionSettings().nets, VisionSettings().nice) == ("opencv", 10)
    assert parse("vision", [], {}) == VisionSettings()
    with pytest.raises(ConfigError, match="nice"):
        parse("vision", ["--nice", "20"], {})
    with pytest.raises(ConfigError, match="--nets"):
        parse("stt", ["--nets", "litert"], {})


def test_secrets_are_not_shown() -> None:
    config = parse("stt", [], {"WORKER_TOKENS": "secret-one,secret-two"})
    assert config.tokens == ("secret-one", "secret-two")
    assert "secret" not in repr(config)


@pytest.mark.parametrize(
    ("argv", "environ", "message"),
    [
        (["--port", "70000"], {}, "port"),
        (["--no-such-flag"], {}, "--no-such-flag"),
        ([], {"WORKER_PORT": "x"}, "--port"),
        ([], {"WORKER_DEVICE": "tpu"}, "--device"),
        ([], {"WORKER_TOKENS": "short"}, "tokens"),
        (["--host", "0.0.0.0"], {}, "setting --host (WORKER_HOST): 0.0.0.0 is not loopback: give tls-cert"),
        (["--tls-cert", "x.pem"], {}, "setting --tls-key (WORKER_TLS_KEY): is needed with tls_cert"),
        (
            ["--tls-cert", "/no/x.pem", "--tls-key", "/no/x.key"],
            {},
            "setting --tls-cert (WORKER_TLS_CERT): /no/x.pem: No such file",
        ),
        (["--stream-seconds", "nan"], {}, "stream-seconds"),
        (["--config", "/no/file"], {}, "/no/file"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_in_one_line(argv: list[str], environ: dict, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse("stt", argv, environ)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_off_loopback_needs_tls_and_a_credential(tmp_path: Path) -> None:
    for name in ("cert", "key", "ca"):
        (tmp_path / name).write_bytes(b"pem")
    tls = ["--host", "::", "--tls-cert", str(tmp_path / "cert"), "--tls-key", str(tmp_path / "key")]
    with pytest.raises(ConfigError, match="tls-client-ca or tokens"):
        parse("stt", tls, {})
    mutual = [*tls, "--tls-client-ca", str(tmp_path / "ca")]
    assert parse("stt", [*mutual, "--allowed-clients", "gateway"], {}).allowed_clients == ("gateway",)
    assert parse("stt", [*tls, "--tokens", "a-long-token"], {}).tokens == ("a-long-token",)
    assert parse("stt", ["--host", "0.0.0.0", "--insecure"], {}).insecure


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        WorkerConfig().port = 1  # type: ignore[misc]


def test_switches_come_bare_or_with_a_word(tmp_path: Path) -> None:
    file = tmp_path / "worker.conf"
    file.write_text("reject = yes\ninsecure = false\n")
    assert parse("stt", ["--insecure"], {}).insecure
    assert parse("stt", [], {"WORKER_INSECURE": "1"}).insecure
    assert not parse("stt", [], {"WORKER_INSECURE": "false"}).insecure
    config = parse("fake", ["--config", str(file)], {})
    assert isinstance(config, FakeSettings)
    assert (config.script.reject, config.insecure) == (True, False)
    bare = parse("fake", ["--reject"], {})
    assert isinstance(bare, FakeSettings)
    assert bare.script.reject


def test_names_of_models() -> None:
    config = parse_models([], {"WORKER_MODEL_CACHE": "/cache", "WORKER_CONFIG": "/of/a/worker"})
    assert (config.names, config.model_cache) == (("base", "tiny.en"), Path("/cache"))
    config = parse_models(["small", "a,b", "--model-cache", "/x"], {})
    assert (config.names, config.model_cache) == (("small", "a,b"), Path("/x"))
    assert parse_models([], {}).model_cache == Path.home() / ".cache/talkup/models"
