"""Pages of other origins: who may read, and what a refusal leaves in the log."""

from __future__ import annotations

from structlog.testing import capture_logs

from gateway.origins import Origins


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_settings_in_any_spelling_allow_what_browsers_send() -> None:
    origins = Origins(["HTTPS://App.Example:443/", "http://localhost:5173/"], Clock())
    assert origins.allows("https://app.example")
    assert origins.allows("http://localhost:5173")
    for other in ("https://app.example.evil", "http://app.example", "null", ""):
        assert not origins.allows(other)
    assert Origins([], Clock()).allows("https://anybody.example")
    assert Origins(["null"], Clock()).allows("null")


def test_a_refused_origin_is_named_once_a_minute() -> None:
    clock = Clock()
    origins = Origins(["https://app.example"], clock)
    with capture_logs() as logs:
        for _ in range(5):
            origins.allows("https://other.example" + "x" * 1000)
        clock.now = 60.0
        origins.allows("https://other.example" + "x" * 1000)
    assert [(line["event"], line["refused"]) for line in logs] == [("origin refused", 1), ("origin refused", 5)]
    assert logs[0]["origin"].startswith("https://other.example")
    assert len(logs[0]["origin"]) == 200


def test_only_allowed_pages_may_read_and_the_gateways_own_need_no_leave() -> None:
    origins = Origins(["https://app.example"], Clock())
    allowed = origins.response_headers("https://app.example", "gateway.example")
    assert allowed["Access-Control-Allow-Origin"] == "https://app.example"
    assert allowed["Vary"] == "Origin"
    with capture_logs() as logs:
        assert origins.response_headers("http://gateway.example:8080", "gateway.example:8080") == {"Vary": "Origin"}
        assert origins.response_headers(None, "gateway.example") == {"Vary": "Origin"}
        assert logs == []
        assert origins.response_headers("https://evil.example", "gateway.example") == {"Vary": "Origin"}
        assert len(logs) == 1
