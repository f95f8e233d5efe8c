"""The directory that most tests of sessions use."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.sessions.directory import SessionDirectory
from tests.unit.gateway.sessions.rig import running_directory


@pytest.fixture
async def directory() -> AsyncIterator[SessionDirectory]:
    async with running_directory() as found:
        yield found
