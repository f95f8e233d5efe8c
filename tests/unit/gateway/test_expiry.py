"""The credential of an open socket: the notice before its end, the grace after it, and what renews it."""

from __future__ import annotations

import pytest

from gateway.auth import Principal
from gateway.expiry import CredentialWatch


class Desk:
    """A watch on a clock of its own; its timers are called by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.valid = True
        self.notices: list[tuple[int, int]] = []
        self.over = 0
        self.watch = CredentialWatch(
            lambda: self.now,
            lambda _principal: self.valid,
            notice_s=60.0,
            grace_s=10.0,
            on_notice=lambda *times: self.notices.append(times),
            on_over=self.count_over,
        )

    def count_over(self) -> None:
        self.over += 1

    def at(self, now: float) -> tuple[list[tuple[int, int]], int]:
        self.now = now
        self.watch.check()
        return self.notices, self.over


@pytest.fixture
async def desk() -> Desk:
    return Desk()


async def test_one_notice_then_the_grace_then_the_end(desk: Desk) -> None:
    desk.watch.watch(Principal("abc", expires_at=1100))
    assert desk.at(1039.0) == ([], 0)
    assert desk.at(1040.0) == ([(1100, 1110)], 0)
    assert desk.at(1109.0) == ([(1100, 1110)], 0)
    assert desk.at(1110.0) == ([(1100, 1110)], 1)
    assert desk.at(2000.0) == ([(1100, 1110)], 1)
    desk.watch.stop()


async def test_a_renewal_starts_again(desk: Desk) -> None:
    desk.watch.watch(Principal("abc", expires_at=1100))
    desk.at(1105.0)
    desk.watch.watch(Principal("abc", expires_at=2000))
    assert desk.at(1939.0) == ([(1100, 1110)], 0)
    assert desk.at(1940.0) == ([(1100, 1110), (2000, 2010)], 0)
    desk.watch.stop()


async def test_a_revoked_credential_gets_the_grace_too(desk: Desk) -> None:
    desk.watch.watch(Principal())
    assert desk.at(1500.0) == ([], 0)
    desk.valid = False
    assert desk.at(1600.0) == ([(1600, 1610)], 0)
    assert desk.at(1610.0) == ([(1600, 1610)], 1)
    desk.watch.stop()
