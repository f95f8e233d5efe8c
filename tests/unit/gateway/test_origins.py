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


def test_subdomains_may_be_allowed_together_and_look_alikes_are_not_among_them() -> None:
    origins = Origins(["https://*.app.example", "https://*.other.example:8443"], Clock())
    assert origins.allows("https://a.app.example")
    assert origins.allows("https://a.b.app.example")
    assert origins.allows("https://a.other.example:8443")
    for other in (
        "https://app.example",
        "https://evilapp.example",
        "http://a.app.example",
        "https://a.app.example.evil.example",
        "https://a.other.example",
        "null",
    ):
        assert not origins.allows(other)
    assert Origins(["*"], Clock(), is_closed=True).allows("https://anybody.example")


def test_a_public_gateway_without_the_setting_takes_its_own_page_only() -> None:
    origins = Origins([], Clock(), is_closed=True)
    assert origins.allows("https://gateway.example", "gateway.example:8443")
    assert not origins.allows("https://anybody.example", "gateway.example")
    assert not origins.allows("null", "")
    assert origins.response_headers("https://anybody.example", "gateway.example") == {"Vary": "Origin"}


def test_cors_of_a_public_gateway_is_for_configured_origins_only() -> None:
    public = Origins([], Clock(), is_closed=True)
    assert public.response_headers("https://anybody.example", "localhost") == {"Vary": "Origin"}


def test_pages_of_any_origin_may_read_from_a_gateway_on_loopback() -> None:
    headers = Origins([], Clock()).response_headers("http://localhost:5173", "localhost:8080")
    assert headers["Access-Control-Allow-Origin"] == "http://localhost:5173"
