"""New credentials in time: what a client does when the gateway says that the present one expires."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from talkup_client.changes import CredentialNotRenewed, Listener
from talkup_client.gateways import Gateways

Renew: TypeAlias = Callable[[], Awaitable[str]]
"""Gives a new key, or a new token for the same session."""


class Renewal:
    """Asks the program for new credentials. `is_pending`: one was sent, and the gateway has not answered yet."""

    def __init__(self, renew: Renew | None, gateways: Gateways, notify: Listener, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._renew = renew
        self._gateways = gateways
        self._notify = notify
        self.is_pending = False

    @property
    def is_possible(self) -> bool:
        """Whether the program can give a new credential."""
        return self._renew is not None

    async def fetch(self) -> str | None:
        """A new credential, which later connections use too. None if there is none; `on_change` reports why."""
        if self._renew is None:
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                credential = await self._renew()
        # The program's own code: whatever it raises must not end the session.
        except Exception as error:  # noqa: BLE001
            self._notify(CredentialNotRenewed(type(error).__name__))
            return None
        self._gateways.use(credential)
        return credential

    def refused(self, reason: str) -> None:
        """The gateway refused the new credential; the one before stays until it expires."""
        self.is_pending = False
        self._notify(CredentialNotRenewed(reason))
