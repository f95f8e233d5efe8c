"""Video through the real gateway and the real vision worker, as a browser receives it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest

from bench.harness.stack import HOST, Stack, child_environment, free_port, running_stack, start
from tests.e2e.wire import open_wire
from tests.unit.workers.media.video_material import filmed, recording, timeslices
from tests.unit.workers.vision.encoded import encoded
from tests.unit.workers.vision.faces import PORTRAIT, portrait

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def vision_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway with a scripted speech worker and a real vision worker."""
    folder: Path = tmp_path_factory.mktemp("vision-stack")
    port = free_port()
    worker = start("vision-1", ("-m", "workers", "vision"), {"WORKER_PORT": str(port), "WORKER_SLOTS": "16"}, folder)
    try:
        gateway = {"GATEWAY_VISION_WORKERS": f"{HOST}:{port}"}
        with running_stack(folder=folder, gateway_settings=gateway) as stack:
            yield stack
    finally:
        worker.stop()


async def test_pictures_give_signals_events_and_a_summary(vision_stack: Stack) -> None:
    async with open_wire(vision_stack.ws_url) as wire:
        session = (await wire.until("session"))["data"]
        await wire.send({"type": "stream_start", "stream_id": "camera", "format": "image/jpeg"})
        await wire.send(PORTRAIT.read_bytes())
        first = (await wire.until("analysis_result"))["data"]
        assert first["frame"]["face_count"] == 1
        assert first["frame"]["head"]["pitch"] is None
        assert first["service_type"] == "vision"
        await wire.send(b"this is no picture")
        flow = (await wire.until("flow"))["data"]
        await wire.send({"type": "stream_end", "stream_id": "camera"})
        whole = (await wire.until("analysis_result"))["data"]
        assert whole["window"]["whole_session"] is True
        ended = (await wire.until("stream_ended"))["data"]
    assert flow["frames_received"] >= 1
    assert ended["dropped"]["corrupt"] == 1
    report = f"{vision_stack.http_url}/v1/sessions/{session['session_id']}/report"
    page = await asyncio.to_thread(read_page, report, session["resume_token"])
    (face,) = json.loads(page)["faces"]
    assert face["whole"]
    assert face["measures"]["presence_ratio"]["value"] == whole["window"]["presence_ratio"]["value"]


async def test_a_refused_picture_says_why_and_the_stream_continues(vision_stack: Stack) -> None:
    gif, png = encoded(portrait(), "gif"), encoded(portrait(), "png")
    async with open_wire(vision_stack.ws_url) as wire:
        await wire.until("session")
        await wire.send({"type": "stream_start", "stream_id": "camera", "format": "image/png"})
        for data in (gif, gif, png):
            await wire.send(data)
        assert (await wire.until("analysis_result"))["data"]["frame"]["face_count"] == 1
        await wire.send({"type": "stream_end", "stream_id": "camera"})
        ended = (await wire.until("stream_ended"))["data"]
    (error,) = [message["data"] for message in wire.seen if message["type"] == "error"]
    assert (error["code"], error["reason"], error["stream_id"]) == (
        "unsupported_format",
        "unsupported_format",
        "camera",
    )
    assert error["message"].endswith("a GIF is not read as a picture; send JPEG, PNG or WebP")
    assert ended["dropped"] == {"overload": 0, "stale": 0, "corrupt": 2}


def read_page(url: str, token: str | None = None) -> str:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with urlopen(Request(url, headers=headers), timeout=10) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize(("signals", "numbers"), [([], None), (["landmarks"], 2 * 468)])
async def test_the_points_of_the_mesh_come_only_to_who_asks(
    vision_stack: Stack, signals: list[str], numbers: int | None
) -> None:
    async with open_wire(vision_stack.ws_url) as wire:
        await wire.until("session")
        await wire.send({"type": "stream_start", "stream_id": "camera", "format": "image/jpeg", "signals": signals})
        await wire.send(PORTRAIT.read_bytes())
        face = (await wire.until("analysis_result"))["data"]["frame"]["face"]
        assert len(face.get("landmarks", ())) == (numbers or 0)
        assert ("landmarks" in face) == (numbers is not None)


async def test_frames_are_counted_in_the_metrics(vision_stack: Stack) -> None:
    async with open_wire(vision_stack.ws_url) as wire:
        await wire.until("session")
        await wire.send({"type": "stream_start", "stream_id": "camera", "format": "image/jpeg"})
        await wire.send(PORTRAIT.read_bytes())
        await wire.until("analysis_result")
        await wire.send(b"this is no picture")
        await wire.send({"type": "stream_end", "stream_id": "camera"})
        await wire.until("stream_ended")
    page = await asyncio.to_thread(read_page, f"{vision_stack.http_url}/metrics")
    samples = dict(re.findall(r'^gateway_video_frames_total\{outcome="(\w+)"\} (\S+)', page, re.MULTILINE))
    assert float(samples["analyzed"]) >= 1
    assert float(samples["corrupt"]) >= 1


async def test_a_recording_gives_its_frames(vision_stack: Stack) -> None:
    async with open_wire(vision_stack.ws_url) as wire:
        await wire.until("session")
        await wire.send({"type": "stream_start", "stream_id": "camera", "format": "video/webm;codecs=vp8"})
        for piece in timeslices(recording("libvpx", "webm"), 12):
            await wire.send(piece)
        first = (await wire.until("analysis_result"))["data"]
        assert first["frame"]["face_count"] == 0
        await wire.send({"type": "stream_end", "stream_id": "camera"})
        await wire.until("stream_ended")


async def talkup_analyze(stack: Stack, file: Path, *options: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `talkup analyze`."""
    command = [
        str(Path(sys.executable).with_name("talkup")),
        "analyze",
        "--url",
        stack.ws_url,
        "--key",
        stack.key,
        *options,
        str(file),
    ]
    pipe = asyncio.subprocess.PIPE
    running = await asyncio.create_subprocess_exec(*command, env=child_environment({}), stdout=pipe, stderr=pipe)
    out, err = await asyncio.wait_for(running.communicate(), 60)
    assert running.returncode is not None
    return running.returncode, out.decode(), err.decode()


async def test_talkup_analyze_leaves_out_no_frame(vision_stack: Stack, tmp_path: Path) -> None:
    """Sent as fast as the worker accepts it: at 60 frames per second of playing time, frames wait for each other."""
    film = tmp_path / "film.webm"
    film.write_bytes(recording("libvpx", "webm", frames=120, key_every=30, fps=60))
    code, out, err = await talkup_analyze(vision_stack, film)
    assert (code, err) == (0, "")
    assert re.search(r"^frames +120$", out, re.MULTILINE)


async def test_talkup_analyze_writes_a_report_of_what_is_seen_and_said(vision_stack: Stack, tmp_path: Path) -> None:
    film, page = tmp_path / "film.webm", tmp_path / "report.html"
    noise = np.random.default_rng(3).uniform(-0.2, 0.2, 4 * 48_000).astype(np.float32)
    film.write_bytes(filmed([portrait()] * 48, sound=noise))
    code, out, err = await talkup_analyze(
        vision_stack, film, "--http-url", vision_stack.http_url, "--report", str(page)
    )
    assert code == 0, err
    assert re.search(r"^frames +48$", out, re.MULTILINE)
    assert re.fullmatch(rf"talkup: report of session \S+ written to {re.escape(str(page))}\n", err)
    text = page.read_text(encoding="utf-8")
    assert "Face in the picture" in text
    assert "words a minute" in text


async def test_talkup_analyze_tells_what_was_damaged(vision_stack: Stack, tmp_path: Path) -> None:
    film, data = tmp_path / "film.webm", recording("libvpx", "webm", frames=48)
    film.write_bytes(data[: len(data) // 2] + bytes(600) + data[len(data) // 2 + 600 :])
    code, out, err = await talkup_analyze(vision_stack, film)
    assert code == 3
    assert re.search(r"^frames +\d+$", out, re.MULTILINE)
    assert re.search(r"film\.webm: warning: \d+ bytes of the recording are damaged", err)
    assert re.search(r"film\.webm: warning: \d+ pictures were damaged", err)


async def test_a_video_continues_when_its_worker_is_killed(tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    workers = [
        start(f"vision-{port}", ("-m", "workers", "vision"), {"WORKER_PORT": str(port), "WORKER_SLOTS": "16"}, tmp_path)
        for port in ports
    ]
    by_port = dict(zip(ports, workers, strict=True))
    pieces = timeslices(recording("libvpx", "webm", frames=48), 24)
    targets = ",".join(f"{HOST}:{port}" for port in ports)
    try:
        with running_stack(folder=tmp_path, gateway_settings={"GATEWAY_VISION_WORKERS": targets}) as stack:
            async with open_wire(stack.ws_url) as wire:
                await wire.until("session")
                await wire.send({"type": "stream_start", "stream_id": "camera", "format": "video/webm;codecs=vp8"})
                for piece in pieces[:12]:
                    await wire.send(piece)
                await wire.until("analysis_result")
                serving = [port for port in ports if "stream opened" in by_port[port].log_text()]
                assert len(serving) == 1
                by_port[serving[0]].signal(signal.SIGKILL)
                for piece in pieces[12:]:
                    await wire.send(piece)
                await wire.send({"type": "stream_end", "stream_id": "camera"})
                ended = (await wire.until("stream_ended"))["data"]
                numbers = [
                    message["data"]["frame_seq"]
                    for message in wire.seen
                    if message["type"] == "analysis_result" and message["data"]["frame"]
                ]
    finally:
        for worker in workers:
            worker.stop()
    assert numbers == sorted(set(numbers))
    assert len(numbers) + sum(ended["dropped"].values()) == 48
