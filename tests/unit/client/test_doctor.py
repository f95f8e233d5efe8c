"""What the doctor says of what it measured: levels and hints, as values."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from talkup_client.doctor import (
    Heard,
    Level,
    captions_finding,
    certificate_finding,
    clock,
    http_findings,
    round_trip,
    workers,
)
from talkup_client.errors import RefusedError
from talkup_client.http_api import HttpApi
from talkup_client.transport import Certificate

DAY = 86_400.0
SAID = "My name is Alice and I have worked as a software engineer for seven years."


EXPIRED = {"cause": "tls_expired", "message": "it has expired", "workers": 1}


def service(**more: Any) -> dict[str, Any]:
    sound = {"service": "stt", "workers_total": 2, "workers_serving": 2, "free_slots": 3, "models": ["base"]}
    return {**sound, **more}


@pytest.mark.parametrize(
    ("found", "level", "words"),
    [
        (service(), Level.OK, "2 of 2 workers serve, 3 streams free, base"),
        (service(workers_serving=1), Level.WARN, "does not serve"),
        (service(workers_serving=0, models=[]), Level.FAIL, "no model"),
        (service(free_slots=0), Level.WARN, "add workers"),
        (service(workers_serving=1, troubles=[EXPIRED]), Level.WARN, "1 x tls_expired: it has expired"),
        (service(workers_serving=0, troubles=[EXPIRED]), Level.FAIL, "1 x tls_expired: it has expired"),
    ],
)
def test_workers(found: dict[str, Any], level: Level, words: str) -> None:
    (finding,) = workers([found])
    assert finding.level is level
    assert words in str(finding)


def test_a_gateway_without_services_fails() -> None:
    (finding,) = workers([])
    assert (finding.level, "GATEWAY_STT_WORKERS" in finding.hint) == (Level.FAIL, True)


def test_certificates() -> None:
    assert certificate_finding(None).level is Level.OK
    assert certificate_finding(Certificate(("a.example",), 90 * DAY)).level is Level.OK
    soon = certificate_finding(Certificate(("a.example", "b.example"), 29 * DAY))
    assert (soon.level, soon.text) == (Level.WARN, "certificate for a.example, b.example, valid for 29 days")


def test_clock_and_round_trip() -> None:
    assert (clock(1.9).level, clock(-2.1).level) == (Level.OK, Level.WARN)
    assert "behind" in clock(-2.1).text
    assert (round_trip(0.01).level, round_trip(0.4).level) == (Level.OK, Level.WARN)


@pytest.mark.parametrize(
    ("heard", "level", "words"),
    [
        (Heard(1.3, 5.3, 5.1, SAID), Level.OK, "first words 1.0 s after the speaker began, last 0.2 s after the end"),
        (Heard(1.3, 9.1, 5.1, SAID), Level.WARN, "slow"),
        (Heard(1.3, 5.3, 5.1, "something else altogether"), Level.WARN, "scripted engine"),
        (Heard(None, None, 5.1, ""), Level.FAIL, "no captions arrived"),
        (Heard(problem=RefusedError("Every slot is taken.", code="busy")), Level.FAIL, "add workers"),
    ],
)
def test_captions(heard: Heard, level: Level, words: str) -> None:
    finding = captions_finding(heard)
    assert finding.level is level
    assert words in str(finding)


def test_a_finding_is_a_line() -> None:
    assert str(clock(0.0)) == "ok    clock       the gateway's is 0.0 s behind this machine's"


@pytest.mark.parametrize(
    ("paths", "levels"), [(("/healthz",), [Level.OK, Level.OK]), (("/",), [Level.FAIL])], ids=["proxy", "stranger"]
)
async def test_a_proxy_that_keeps_readiness_to_itself_is_no_fault(paths: tuple[str, ...], levels: list[Level]) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    app = web.Application()
    for path in paths:
        app.router.add_get(path, answer)
    async with TestServer(app) as server:
        found = [finding async for finding in http_findings(HttpApi(str(server.make_url("/"))))]
    assert [finding.level for finding in found] == levels
