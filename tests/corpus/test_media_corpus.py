"""Real recordings: the same audio to the sample whatever the cut, and across kills.

Every encoded-speech clip of the manifest and every recording that Chromium's MediaRecorder wrote: cut at its slices of
100 ms and at 1,000 bytes, one clip at every byte, and killed five times in a row.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from talkup.v1 import media_pb2

from bench.harness.material import slices
from tests.unit.workers.media.chunks import assert_same, cut, decode, decode_killed
from workers.chunk import Chunk
from workers.media.decoder import AudioDecoder, MediaError

pytestmark = pytest.mark.corpus

EVERY_BYTE_CLIP = "lj_LJ001-0005"
SNIFFED = media_pb2.MediaFormat(mime_type="audio/any", container=media_pb2.CONTAINER_SNIFF)
BARE_OPUS = media_pb2.MediaFormat(mime_type="audio/opus", container=media_pb2.CONTAINER_SNIFF)
PCM = media_pb2.MediaFormat(
    container=media_pb2.CONTAINER_PCM, pcm_encoding=media_pb2.PCM_ENCODING_S16LE, sample_rate=16_000, channels=1
)


def rows(config: pytest.Config, kind: str) -> list[dict[str, object]]:
    """The manifest's rows of one kind; none without a corpus."""
    folder = config.getoption("--corpus", None) or os.environ.get("CORPUS")
    if not folder:
        return []
    lines = Path(folder, "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a clip."""
    encoded = {str(row["file"]): row["seconds"] for row in rows(metafunc.config, "encoded-speech")}
    if "clip" in metafunc.fixturenames:
        metafunc.parametrize(("clip", "seconds"), encoded.items(), ids=encoded)
    elif "every_byte" in metafunc.fixturenames:
        # Bare packets come one per chunk: the transport frames them, there is nothing to cut.
        names = [name for name in encoded if EVERY_BYTE_CLIP in name and not name.endswith(".pkts")]
        metafunc.parametrize("every_byte", names)
    elif "recorded" in metafunc.fixturenames:
        names = ["mic-audio.webm", "mic-audio-24k.webm", "mic-audio-mp4.mp4", "mic-cam.webm"] if encoded else []
        metafunc.parametrize("recorded", [f"chromium-mediarecorder/{name}" for name in names])


def format_of(name: str) -> media_pb2.MediaFormat:
    """How the clip is declared: as little as possible."""
    if name.endswith(".s16le"):
        return PCM
    return BARE_OPUS if name.endswith(".pkts") else SNIFFED


def check(path: Path, seconds: float | None) -> np.ndarray:
    """Slices, 1,000 bytes and the whole give the same samples; kills change nothing."""
    fmt, chunks = format_of(path.name), slices(path, seconds)
    heard = decode(fmt, chunks)
    if path.suffix != ".pkts":
        data = path.read_bytes()
        assert b"".join(chunks) == data
        assert np.array_equal(decode(fmt, cut(data, [1000])), heard)
        assert np.array_equal(decode(fmt, [data]), heard)
    rng = random.Random(path.name)
    for behind in (0, 24_000):
        kills = rng.sample(range(1, len(chunks)), 5)
        killed = decode_killed(fmt, chunks, kills, behind)
        assert_same(killed, heard, aac="aac" in path.name)
    return heard


def test_every_encoded_clip(corpus: Path, clip: str, seconds: float) -> None:
    heard = check(corpus / clip, seconds)
    assert abs(len(heard) / 16_000 - seconds) < 0.06
    assert np.sqrt(np.mean(heard**2)) > 0.01


def test_every_chromium_recording(corpus: Path, recorded: str) -> None:
    heard = check(corpus / recorded, None)
    assert len(heard) > 3.5 * 16_000
    assert np.sqrt(np.mean(heard**2)) > 0.01


def test_every_byte_of_one_clip_a_format(corpus: Path, every_byte: str) -> None:
    path, fmt = corpus / every_byte, format_of(every_byte)
    data = path.read_bytes()
    assert np.array_equal(decode(fmt, cut(data, [1])), decode(fmt, [data]))


def test_broken_recordings_end_in_an_error_or_go_on(corpus: Path, pytestconfig: pytest.Config) -> None:
    for row in rows(pytestconfig, "broken"):
        name = str(row["file"])
        decoder = AudioDecoder(SNIFFED)
        chunks = cut((corpus / name).read_bytes(), [1000])
        if "random" in name or "no_header" in name:
            with pytest.raises(MediaError):
                decode(SNIFFED, chunks)
            continue
        for number, chunk in enumerate(chunks):
            decoder.decode(Chunk(number, chunk))
        decoder.finish()
        assert decoder.position > 5 * 16_000
