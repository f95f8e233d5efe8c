"""A session is deleted while it streams: nothing of it is left in the store, and nothing on its way comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import redis.asyncio

from bench.harness.redis_server import running_redis
from tests.e2e.gateway_rig import KEY, eventually, rig

PATIENCE_S = 60.0


async def stored(path: Path, url: str | None) -> bytes:
    """Everything that the store holds: the bytes of its files, or of all values in Redis."""
    if url is None:
        return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))
    async with redis.asyncio.Redis.from_url(url) as client:
        return b"".join([await client.dump(key) or b"" async for key in client.scan_iter()])


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_a_deletion_while_a_stream_runs_is_complete(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t.db"
    with running_redis(tmp_path, "--rdbcompression", "no") as redis_url:
        url = redis_url if kind == "redis" else None
        async with rig(store=url or f"sqlite:///{path}", token_secret="s" * 32) as at:
            client = await at.connect(key=KEY)
            session_id = (await client.get("session"))["data"]["session_id"]
            await client.start()
            for number in range(20):
                await client.socket.send(b"chunk %d" % number)
            texts = await client.finals(20)
            await eventually(lambda: stored(path, url), lambda found: texts[-1].encode() in found)

            for number in range(20, 40):  # on their way while the session is deleted
                await client.socket.send(b"chunk %d" % number)
            status, _, _ = await at.request("DELETE", f"/v1/sessions/{session_id}")
            assert status == 204
            left = await stored(path, url)
            assert not [text for text in texts if text.encode() in left]
            async with asyncio.timeout(PATIENCE_S):
                assert await client.closed() == 1000
            late = [each["text"] for each in client.seen if each["type"] == "transcript_update"]
            assert (await at.request("GET", f"/v1/sessions/{session_id}/transcript"))[0] == 404
            left = await stored(path, url)
            assert not [text for text in [*texts, *late] if text.encode() in left]
