"""Internal services call a worker directly: the documented client, against the worker behind the gateway."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from bench.harness.stack import Stack, child_environment, running_stack
from tests.e2e.wire import open_wire

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "direct_client.py"


@pytest.mark.model
async def test_direct_client_and_websocket_give_the_same_finals(model_stack: Stack, speech_ogg: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, EXAMPLE, speech_ogg, "audio/ogg", model_stack.stt_target),
        env=child_environment({}),
        stdout=asyncio.subprocess.PIPE,
    )
    stdout, _ = await process.communicate()
    assert process.returncode == 0
    async with open_wire(model_stack.ws_url) as wire:
        await wire.send({"type": "stream_start", "stream_id": "same", "format": "audio/ogg"})
        await wire.send(speech_ogg.read_bytes())
        await wire.send({"type": "stream_end", "stream_id": "same"})
        await wire.until("stream_ended")
        assert wire.text("same") == stdout.decode().strip() != ""


def test_the_example_is_thirty_lines() -> None:
    code = [line for line in EXAMPLE.read_text().splitlines() if line.strip() and not line.startswith(('"""', "#"))]
    assert len(code) <= 30


def test_reflection_lists_the_service(tmp_path: Path) -> None:
    asked_for = {"WORKER_REFLECTION": "true"}
    with (
        running_stack(worker_settings=asked_for, folder=tmp_path) as stack,
        grpc.insecure_channel(stack.stt_target) as channel,
    ):
        database = ProtoReflectionDescriptorDatabase(channel)
        assert "talkup.v1.WorkerService" in database.get_services()
        service = DescriptorPool(database).FindServiceByName("talkup.v1.WorkerService")
        names = [method.name for method in service.methods]
        assert names == ["StreamTask", "StreamTasks", "Describe", "SetDraining"]
