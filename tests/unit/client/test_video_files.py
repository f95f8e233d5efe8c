"""Video recordings without a duration in their header: how long they play."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from talkup_client import duration
from talkup_client.media_file import identify

from tests.unit.workers.media.video_material import recording


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("key_every", [8, 48], ids=["six fragments", "one fragment"])
def test_fragmented_mp4_without_a_duration_is_timed(tmp_path: Path, key_every: int) -> None:
    data = recording("libx264", "mp4", frames=48, key_every=key_every)
    header = data.index(b"mvhd")
    assert struct.unpack_from(">I", data, header + 20)[0] == 0  # the header tells no duration
    media = identify(write(tmp_path / "v.mp4", data))
    assert media.format == "video/mp4"
    assert duration.seconds(media) == pytest.approx(4.0, abs=0.01)


def test_webm_with_a_large_last_cluster_is_timed(tmp_path: Path) -> None:
    """A key frame may put the start of the last Cluster far before the end of the file."""
    block = b"\xa3" + (1 << 28 | 400_004).to_bytes(4, "big") + b"\x81\x00\x64\x80" + bytes(400_000)
    media = identify(
        write(tmp_path / "v.webm", b"\x1aE\xdf\xa3 V_VP8" + b"\x1f\x43\xb6\x75\xff\xe7\x82\x03\xe8" + block)
    )
    assert duration.seconds(media) == pytest.approx(1.1)
