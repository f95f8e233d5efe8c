"""Microphones: a sound card's samples arrive whole and in order, what is lost is counted, what is missing is named."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

import pytest
from talkup_client import Client
from talkup_client.errors import MicrophoneError
from talkup_client.live import listen
from talkup_client.microphone import Microphone, SampleSource, open_microphone
from talkup_client.terminal import Silent
from talkup_client.transcribe import Transcript

from tests.fakes.gateway_server import KEY, FakeGateway
from tests.fakes.sound_card import SoundCard

SECOND_BYTES = 32_000


def plug_in(monkeypatch: pytest.MonkeyPatch, card: SoundCard) -> SoundCard:
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    return card


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    path = tmp_path / "speech.raw"
    path.write_bytes(random.Random(7).randbytes(2 * SECOND_BYTES))
    return path


async def hear(microphone: Microphone, size: int) -> list[bytes]:
    """Slices of up to `size` bytes in all."""
    slices: list[bytes] = []
    async with asyncio.timeout(10):
        async for chunk in microphone.chunks():
            slices.append(chunk)
            if sum(map(len, slices)) >= size:
                break
    return slices


async def test_samples_arrive_whole_and_in_order(monkeypatch: pytest.MonkeyPatch, speech: Path) -> None:
    card = plug_in(monkeypatch, SoundCard({"built-in": speech.with_name("other"), "desk": speech}))
    async with Microphone("desk") as microphone:
        slices = await hear(microphone, 2 * SECOND_BYTES)
    assert b"".join(slices) == speech.read_bytes()
    assert {len(each) for each in slices} == {SECOND_BYTES // 10}
    assert microphone.format == "audio/pcm;rate=16000;channels=1;encoding=s16le"
    assert (microphone.lost_ms, card.open_streams) == (0, 0)


async def test_a_microphone_that_is_unplugged_ends_with_what_it_heard(
    monkeypatch: pytest.MonkeyPatch, speech: Path
) -> None:
    plug_in(monkeypatch, SoundCard({"desk": speech}))
    async with Microphone() as microphone, asyncio.timeout(10):
        assert b"".join([chunk async for chunk in microphone.chunks()]) == speech.read_bytes()


async def test_a_card_that_does_not_convert_is_taken_at_its_own_rate(
    monkeypatch: pytest.MonkeyPatch, speech: Path
) -> None:
    plug_in(monkeypatch, SoundCard({"desk": speech}, rates=(44_100,)))
    async with Microphone() as microphone:
        assert microphone.format == "audio/pcm;rate=44100;channels=1;encoding=s16le"


async def test_what_nobody_takes_for_a_minute_is_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "long.raw"
    path.write_bytes(bytes(62 * SECOND_BYTES))
    plug_in(monkeypatch, SoundCard({"desk": path}))
    async with Microphone() as microphone:
        async with asyncio.timeout(10):
            while microphone.lost_ms < 2_000:
                await asyncio.sleep(0)
        assert sum(map(len, await hear(microphone, 60 * SECOND_BYTES))) == 60 * SECOND_BYTES
    assert microphone.lost_ms == 2_000


@pytest.mark.parametrize("device", ["attic", 5])
async def test_a_microphone_that_is_not_there_is_named_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, speech: Path, device: str | int
) -> None:
    card = plug_in(monkeypatch, SoundCard({"desk": speech}))
    with pytest.raises(MicrophoneError, match=f"no microphone is named {device}.*available .*: desk"):
        await Microphone(device).__aenter__()
    assert card.open_streams == 0


async def test_no_microphone_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, SoundCard({}))
    with pytest.raises(MicrophoneError, match=r"no microphone was found.*available .*: none"):
        await Microphone().__aenter__()


def test_a_device_is_a_number_a_name_or_a_path() -> None:
    assert isinstance(open_microphone(), Microphone)
    assert isinstance(open_microphone("2"), Microphone)
    assert isinstance(open_microphone("USB Audio"), Microphone)
    assert isinstance(open_microphone("/dev/stdin"), SampleSource)
    assert isinstance(open_microphone("-"), SampleSource)


async def test_a_source_that_is_stopped_while_silent_ends_its_stream(tmp_path: Path) -> None:
    fifo = tmp_path / "microphone"
    os.mkfifo(fifo)
    stop, transcript = asyncio.Event(), Transcript()
    async with (
        FakeGateway().serving() as gateway,
        Client(gateway.url, key=KEY) as client,
        SampleSource(str(fifo)) as source,
    ):
        listening = asyncio.create_task(listen(client, source, transcript, Silent(), stop=stop))
        writer = await asyncio.to_thread(os.open, fifo, os.O_WRONLY)
        os.write(writer, b"\1" * 9_600)
        async with asyncio.timeout(10):
            while not gateway.streams() or len(gateway.streams()[0].chunks) < 3:
                await asyncio.sleep(0.001)
            stop.set()
            await listening
        os.close(writer)
    assert transcript.complete
    assert b"".join(gateway.streams()[0].chunks) == b"\1" * 9_600
