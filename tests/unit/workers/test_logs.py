"""What a worker's log shows, whoever writes to it, and what it never shows."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from workers import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_lines_of_libraries_look_like_our_own(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    structlog.get_logger().info("stream opened", attempt=1, text="secret", media=b"secret")
    logging.getLogger("some.library").warning("noted")
    logging.getLogger("some.library").info("unseen")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["stream opened", "noted"]
    assert lines[0]["attempt"] == 1
    assert set(lines[1]) == {"event", "level", "timestamp"}
    assert "secret" not in json.dumps(lines)


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_an_error_is_logged_by_class_and_place_never_by_its_text(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    logs.configure("info", log_format)
    for log in (structlog.get_logger(), logging.getLogger("some.library")):
        try:
            raise ValueError("hidden words")
        except ValueError:
            log.exception("failed")
    shown = capsys.readouterr().err
    assert shown.count("ValueError") == 2
    assert shown.count("test_logs.py") == 2
    assert "hidden words" not in shown
