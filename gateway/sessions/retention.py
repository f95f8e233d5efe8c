"""Deletes transcripts when their retention time is over, and renews the retention of live sessions."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from gateway.sessions.context import GatewayContext
from gateway.sessions.directory import SessionDirectory
from gateway.store.base import StoreError

log = structlog.get_logger()

_MAX_INTERVAL_S: Final = 300.0
# Waiting finals come before renewals, so a round may skip sessions, and the next round renews them. With four rounds
# in the shortest retention time, a session outlives two rounds in a row that skip it. By default there are 288 rounds
# in 24 hours. Each write of a session renews it too, so only a session without finals depends on these rounds.
_ROUNDS_PER_RETENTION: Final = 4


class RetentionSweeper:
    """The rounds in which live sessions are renewed and old ones deleted. No error of the store ends them."""

    def __init__(self, context: GatewayContext, directory: SessionDirectory) -> None:
        self._store = context.store
        self._metrics = context.metrics
        self._retention_s = context.config.retention_s
        self._directory = directory

    @property
    def interval_s(self) -> float:
        """The time between two rounds."""
        return min(_MAX_INTERVAL_S, self._retention_s / _ROUNDS_PER_RETENTION)

    async def run(self) -> None:
        """Run a round now and then one in every interval, for ever."""
        while True:
            await self.sweep()
            await asyncio.sleep(self.interval_s)

    async def sweep(self) -> None:
        """Run one round. It deletes old sessions even if it could not renew the live ones."""
        await self._renew()
        try:
            gone = await self._store.sweep(self._retention_s)
        except StoreError:
            self._metrics.store.sweeps_failed.inc()
            log.warning("retention sweep failed")
        else:
            if gone:
                log.info("transcripts deleted after retention", sessions=gone)

    async def _renew(self) -> None:
        live = self._directory.stored_sessions()
        try:
            skipped = await self._store.touch(live)
        except StoreError:
            skipped = len(live)
        if skipped:
            self._metrics.store.renewals_skipped.inc(skipped)
            log.warning("session renewals skipped", sessions=skipped)
