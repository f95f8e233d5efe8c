"""Refused clients: counted per network, given a time to retry, logged once per minute."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from structlog.testing import capture_logs

from gateway.auth import AuthError
from gateway.metrics import Metrics
from gateway.refusals import BURST, CredentialFailures, LateAnswers, OncePerInterval


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_line_at_first_then_one_per_interval_with_the_count(clock: Clock) -> None:
    lines = OncePerInterval(60.0, 2, clock)
    assert [lines.due("a"), lines.due("a"), lines.due("b")] == [1, None, 1]
    clock.now += 60.0
    assert lines.due("a") == 2
    assert lines.due("c") == 1
    assert lines.due("b") == 1  # forgotten, as there is room for two


def test_failures_above_the_limit_give_a_time_and_one_line(clock: Clock) -> None:
    failures = CredentialFailures(Metrics(), clock)
    with capture_logs() as logs:
        for _ in range(BURST + 10):
            failures.record("http", "192.0.2.1")
        assert failures.retry_after_s("192.0.2.1") == 3
        assert failures.retry_after_s("192.0.2.2") is None
        assert len(logs) == 1
        assert logs[0].items() >= {"address": "192.0.2.1", "door": "http", "log_level": "warning"}.items()
        clock.now += 60.0
        assert failures.retry_after_s("192.0.2.1") is None


def test_one_bad_credential_limits_itself_and_not_its_address(clock: Clock) -> None:
    """As behind a NAT: one client repeats its expired token, and its neighbours still learn why theirs is refused."""
    failures = CredentialFailures(Metrics(), clock)
    expired, wrong = AuthError("expired", "expired"), AuthError("wrong", "unknown")
    for _ in range(BURST):
        failures.record("message", "192.0.2.1", "an expired token", expired)
        failures.record("message", "192.0.2.1", "a wrong key", wrong)
    assert failures.retry_after_s("192.0.2.1", "an expired token") == 3
    assert failures.retry_after_s("192.0.2.1", "a wrong key") == 3
    assert failures.retry_after_s("192.0.2.1", "another expired token") is None
    for number in range(BURST):
        failures.record("http", "192.0.2.1", f"guess {number}", wrong)
    assert failures.retry_after_s("192.0.2.1", "the next guess") is not None


def test_a_refused_credential_leaves_one_line_a_minute_without_the_credential(clock: Clock) -> None:
    failures = CredentialFailures(Metrics(), clock)
    with capture_logs() as logs:
        for number in range(5):
            failures.record("http", "192.0.2.1", f"guess {number}", AuthError("wrong", "unknown"))
        failures.record("http", "192.0.2.1", "old key", AuthError("expired", "expired", "0123456789ab"))
        clock.now += 60.0
        failures.record("http", "192.0.2.1", "guess", AuthError("wrong", "unknown"))
    lines = [each for each in logs if each["event"] == "credential refused"]
    assert [(each["reason"], each["key_id"], each["count"]) for each in lines] == [
        ("unknown", None, 1),
        ("expired", "0123456789ab", 1),
        ("unknown", None, 5),
    ]
    assert "guess" not in str(logs)


def test_a_trusted_proxy_names_its_client(clock: Clock) -> None:
    failures = CredentialFailures(Metrics(), clock, ["10.0.0.0/8", "2001:db8::/32"])
    assert failures.client_of("10.1.2.3", ["192.0.2.9, 198.51.100.7", "10.0.0.1"]) == "198.51.100.7"
    assert failures.client_of("::ffff:10.1.2.3", ["[2001:db9::1]:443"]) == "2001:db9::1"
    assert failures.client_of("10.1.2.3", ["192.0.2.9:5000"]) == "192.0.2.9"
    assert failures.client_of("10.1.2.3", ["garbage"]) == "10.1.2.3"
    assert failures.client_of("10.1.2.3", []) == "10.1.2.3"
    assert failures.client_of("192.0.2.1", ["198.51.100.7"]) == "192.0.2.1"  # anybody may send this header


async def test_refusals_of_a_flood_are_delayed_up_to_a_bound() -> None:
    late = LateAnswers(delay_s=3600.0, bound=2)
    waiting = [asyncio.create_task(late.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await late.wait()
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    brief = LateAnswers(delay_s=0.0, bound=1)
    await brief.wait()


@pytest.mark.parametrize(
    ("first", "second", "is_shared"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::1", "::2", False),
        ("unknown", "unknown", True),
    ],
)
def test_what_counts_as_one_address(clock: Clock, first: str, second: str, is_shared: bool) -> None:
    failures = CredentialFailures(Metrics(), clock)
    for _ in range(BURST):
        failures.record("http", first)
    assert (failures.retry_after_s(second) is not None) is is_shared


async def test_a_turn_of_the_event_loop_gives_one_answer() -> None:
    """Those who are served meanwhile wait for one refusal at most."""
    late = LateAnswers(delay_s=0.0, bound=3)
    loop, turn, given = asyncio.get_running_loop(), 0, list[int]()

    def count() -> None:
        nonlocal turn
        turn += 1
        if len(given) < 3:
            loop.call_soon(count)

    count()
    for _ in range(3):
        late.call(lambda: given.append(turn))
    async with asyncio.timeout(60):
        while len(given) < 3:
            await asyncio.sleep(0)
    assert len(set(given)) == 3


async def test_whoever_is_refused_next_brings_two_due_answers_and_no_early_one() -> None:
    late, given = LateAnswers(delay_s=0.0), list[int]()
    for number in range(3):
        late.call(partial(given.append, number))
    late.give_due()
    assert given == [0, 1]
    late.give_due()
    assert given == [0, 1, 2]
    early = LateAnswers(delay_s=60.0)
    early.call(partial(given.append, 3))
    early.give_due()
    assert given == [0, 1, 2]


async def test_an_answer_that_fails_holds_up_no_other() -> None:
    def fail() -> None:
        raise ValueError("the answer")

    loop, failures = asyncio.get_running_loop(), list[BaseException]()
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
    late, given = LateAnswers(delay_s=0.0), asyncio.Event()
    late.call(fail)
    late.call(given.set)
    async with asyncio.timeout(60):
        await given.wait()
    assert [str(each) for each in failures] == ["the answer"]
