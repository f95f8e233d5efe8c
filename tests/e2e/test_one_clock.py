"""One session, camera and microphone, real engines: a word and a smile of the same moment carry the same time."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.harness.stack import HOST, Stack, free_port, running_stack, start
from tests.e2e.wire import Message, open_wire
from tests.unit.workers.media.video_material import filmed, timeslices
from tests.unit.workers.vision import faces, puppet

pytestmark = pytest.mark.model

SPEECH = Path(__file__).parents[1] / "data" / "speech" / "interview.ogg"
FPS = 12
MOMENT_MS = 2_500
"""When the face begins to smile and the voice to speak."""

EDGE_MS = 300


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with both_services(tmp_path_factory.mktemp("one-clock")) as running:
        yield running


@contextmanager
def both_services(folder: Path) -> Iterator[Stack]:
    """A gateway, a speech worker with tiny.en and a vision worker."""
    port = free_port()
    worker = start("vision-1", ("-m", "workers", "vision"), {"WORKER_PORT": str(port), "WORKER_SLOTS": "16"}, folder)
    try:
        with running_stack(
            folder=folder,
            worker_arguments=("stt",),
            worker_settings={"WORKER_MODEL": "tiny.en", "WORKER_SLOTS": "8"},
            gateway_settings={"GATEWAY_VISION_WORKERS": f"{HOST}:{port}"},
        ) as running:
            yield running
    finally:
        worker.stop()


def voice(path: Path = SPEECH) -> np.ndarray:
    """Silence up to a moment, then four seconds of speech that begin with a sound; 48 kHz."""
    spoken, rate = soundfile.read(path, dtype="float32")
    loud = np.abs(spoken) > 0.1 * np.abs(spoken).max()
    spoken = spoken[int(np.flatnonzero(loud)[0]) :][: 4 * rate]
    times = np.arange(len(spoken) * 48_000 // rate) * rate / 48_000
    upsampled = np.interp(times, np.arange(len(spoken)), spoken).astype(np.float32)
    return np.concatenate([np.zeros(48 * MOMENT_MS, np.float32), upsampled])


def recording() -> bytes:
    """Six seconds of camera and microphone."""
    serious, smiling = MOMENT_MS * FPS // 1000, 3 * FPS
    return filmed([puppet.without_smile()] * serious + [faces.portrait()] * smiling, fps=FPS, sound=voice())


def smile_of(messages: list[Message]) -> int:
    events = [
        event for message in messages if message["type"] == "analysis_result" for event in message["data"]["events"]
    ]
    times: list[int] = [event["t0_ms"] for event in events if event["type"] == "smile"]
    return times[0]


async def first_word_and_smile(stack: Stack, recorded: bytes) -> tuple[int, int]:
    """Start of the first word and of the first smile, ms, for one recording that is sent to both services.

    The camera's stream waits for each of its chunks, so that no frame is dropped however slow the machine is.
    """
    async with open_wire(stack.ws_url) as wire:
        await wire.until("session")
        for name, service in (("camera", "vision"), ("microphone", "stt")):
            asked = {"stream_id": name, "format": "video/webm", "services": [service], "framing": "tagged"}
            await wire.send({"type": "stream_start", **asked, "language": "en"})
        handles = {}
        while len(handles) < 2:
            data = (await wire.until(lambda message: message["data"].get("handle") is not None))["data"]
            handles[data["stream_id"]] = data["handle"]
        for number, piece in enumerate(timeslices(recorded, 60)):
            for handle in handles.values():
                await wire.send(struct.pack(">BBHI", 0x54, 1, handle, number) + piece)
            await wire.send({"type": "stream_flush", "stream_id": "camera", "flush_id": number})
            await wire.until(lambda message, number=number: message["data"].get("flush_id") == number)
        for name in handles:
            await wire.send({"type": "stream_end", "stream_id": name})
        for _ in handles:
            await wire.until("stream_ended")
        return wire.finals("microphone")[0]["words"][0]["start_ms"], smile_of(wire.seen)


async def test_a_word_and_a_smile_of_the_same_moment(stack: Stack) -> None:
    word_ms, smile_ms = await first_word_and_smile(stack, recording())
    assert smile_ms == pytest.approx(MOMENT_MS, abs=EDGE_MS)
    assert word_ms == pytest.approx(MOMENT_MS, abs=EDGE_MS)
    assert word_ms == pytest.approx(smile_ms, abs=EDGE_MS)
