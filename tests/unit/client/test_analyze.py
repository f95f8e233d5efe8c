"""What `talkup analyze` prints of a result."""

from __future__ import annotations

import asyncio
from pathlib import Path

import talkup_client.analyze as analyze_module
from talkup_client import Client
from talkup_client.analyze import analyze, lines_of
from talkup_client.media_file import identify

from tests.fakes.gateway_server import KEY, FakeGateway


def test_events_are_told_when_they_end() -> None:
    events = [
        {"type": "smile", "t0_ms": 300, "t1_ms": None, "confidence": 0.7},
        {"type": "face_lost", "t0_ms": 1_200, "t1_ms": 2_500, "confidence": 0.9},
    ]
    assert lines_of({"events": events, "window": None}) == ["    1.20 s to     2.50 s  face_lost"]


def test_the_summary_tells_what_could_not_be_measured() -> None:
    window = {"whole_session": True, "frames": 12, "presence_ratio": {"value": 0.5, "confidence": 0.9}, "nods": None}
    lines = lines_of({"window": window})
    assert "frames                    12" in lines
    assert "face present              50.0% (confidence 0.90)" in lines
    assert "nods                      not measurable" in lines


def test_a_window_of_ten_seconds_is_not_told() -> None:
    assert lines_of({"window": {"whole_session": False, "frames": 3}}) == []


async def test_a_recording_is_sent_two_windows_ahead_and_no_further(tmp_path: Path) -> None:
    """The worker has a window to work on while the next is on its way; the sender waits for the worker."""
    recording = tmp_path / "tone.pcm"
    recording.write_bytes(bytes(640) * 200)
    async with FakeGateway().serving() as gateway, Client(gateway.url, key=KEY) as client, asyncio.timeout(20):
        gateway.may_flush.clear()
        running = asyncio.ensure_future(analyze(client, identify(recording), [].append))
        await gateway.start_came.wait()
        (stream,) = gateway.streams()
        assert stream.start["every_frame"] is True
        while len(gateway.answers) < 2:
            await asyncio.sleep(0.01)
        assert len(stream.chunks) == 2 * analyze_module._WINDOW_SLICES
        gateway.may_flush.set()
        await running
        assert b"".join(stream.chunks) == recording.read_bytes()


async def test_a_stream_that_the_gateway_ends_is_not_played_to_its_end(tmp_path: Path) -> None:
    hour = tmp_path / "hour.pcm"
    with hour.open("wb") as file:
        file.truncate(3_600 * 32_000)
    async with FakeGateway(end_after_chunks=1).serving() as gateway, Client(gateway.url, key=KEY) as client:
        async with asyncio.timeout(5):
            await analyze(client, identify(hour), [].append)
