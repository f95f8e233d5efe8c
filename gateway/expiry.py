"""The end of a credential while its socket is open: its client is warned, and loses the socket unless it renews it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.auth import Principal

_CHECK_S: Final = 30.0


class CredentialWatch:
    """Watches the credential of one socket. `clock`: UNIX seconds.

    `on_notice` gets the times at which the credential expires and the socket closes, once per credential. `on_over` is
    called when the time has come.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        is_valid: Callable[[Principal], bool],
        *,
        notice_s: float,
        grace_s: float,
        on_notice: Callable[[int, int], None],
        on_over: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._is_valid = is_valid
        self._notice_s = notice_s
        self._grace_s = grace_s
        self._on_notice = on_notice
        self._on_over = on_over
        self._principal: Principal | None = None
        self._expires_at: float | None = None
        self._is_announced = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def principal(self) -> Principal | None:
        """Whose credential is watched; None before the first one."""
        return self._principal

    def watch(self, principal: Principal) -> None:
        """Watch this credential from now on, instead of the previous one."""
        self._principal = principal
        self._expires_at = principal.expires_at
        self._is_announced = False
        self.check()

    def check(self) -> None:
        """Do what is due, and set the timer. Call this too when keys may have been revoked."""
        self.stop()
        if self._principal is None:
            return
        now = self._clock()
        if (self._expires_at is None or self._expires_at > now) and not self._is_valid(self._principal):
            self._expires_at = now
        if self._expires_at is None:
            self._schedule(_CHECK_S)
            return
        closes_at = self._expires_at + self._grace_s
        notice_at = self._expires_at - self._notice_s
        if now >= notice_at and not self._is_announced:
            self._is_announced = True
            self._on_notice(int(self._expires_at), int(closes_at))
        if now >= closes_at:
            self._principal = None
            self._on_over()
            return
        self._schedule((notice_at if now < notice_at else closes_at) - now)

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, delay: float) -> None:
        # Not longer than _CHECK_S: the clock may be set, and keys of a file expire without a change of the file.
        self._timer = asyncio.get_running_loop().call_later(min(max(delay, 0.01), _CHECK_S), self.check)
