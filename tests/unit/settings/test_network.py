"""Which addresses are on this machine only."""

from __future__ import annotations

import pytest

from settings.network import host_of, is_loopback


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
