"""The start of a speech worker's engine: the model and the decoder processes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from workers.stt.config import SttConfig
from workers.stt.engine import SttEngine
from workers.stt.service import SttService

CONFIG = SttConfig(model="toy", path=Path("toy"))


class Meeting:
    """A pool and a model that both wait until the other has begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pool_began, self.model_began = asyncio.Event(), asyncio.Event()
        monkeypatch.setattr(SttEngine, "load", self.load_model)

    async def start(self) -> None:
        self.pool_began.set()
        async with asyncio.timeout(60):
            await self.model_began.wait()

    async def load_model(self, *_: object) -> None:
        self.model_began.set()
        async with asyncio.timeout(60):
            await self.pool_began.wait()


async def test_the_model_loads_while_the_decoder_processes_start(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = Meeting(monkeypatch)
    await SttService(CONFIG, cast("Any", meeting)).load()
    assert meeting.pool_began.is_set()
    assert meeting.model_began.is_set()


async def test_decoder_processes_that_do_not_start_are_the_error_of_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Meeting):
        async def start(self) -> None:
            self.pool_began.set()
            raise OSError("no process")

    with pytest.raises(OSError, match="no process"):
        await SttService(CONFIG, cast("Any", Broken(monkeypatch))).load()
