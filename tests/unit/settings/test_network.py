"""Which addresses are on this machine only; how origins of pages are written."""

from __future__ import annotations

import pytest

from settings.network import browser_origin, host_of, is_loopback


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("host", False)],
)
def test_what_counts_as_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("target", "loopback"),
    [
        ("localhost:1", True),
        ("127.0.0.1:1", True),
        ("[::1]:1", True),
        ("10.0.0.1:1", False),
        ("stt:1", False),
        ("xds:///stt", False),
    ],
)
def test_targets_on_loopback(target: str, loopback: bool) -> None:
    assert is_loopback(host_of(target)) is loopback


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://app.example", "https://app.example"),
        ("HTTPS://App.Example/", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:80/", "http://app.example"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("https://app.example:80", "https://app.example:80"),
        (" https://bücher.example ", "https://xn--bcher-kva.example"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("null", "null"),
    ],
)
def test_origins_become_what_browsers_send(written: str, origin: str) -> None:
    assert browser_origin(written) == origin
    assert browser_origin(origin) == origin


@pytest.mark.parametrize(
    "written",
    [
        "app.example",
        "*",
        "https://*.app.example",
        "https://app.example/page",
        "https://app.example?x=1",
        "https://user@app.example",
        "https://app.example:port",
        "wss://app.example",
        "https://",
        "https://a..b",
    ],
)
def test_what_is_no_origin_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="origin"):
        browser_origin(written)
