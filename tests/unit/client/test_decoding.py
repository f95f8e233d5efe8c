"""Recordings that no worker reads: decoded on this machine with the extra `files`, explained without it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray
from talkup_client import cli, duration, sources
from talkup_client.errors import UnreadableFileError, UnsupportedFileError
from talkup_client.integrity import damage
from talkup_client.media_file import identify

from bench.harness.stack import child_environment
from tests.fakes.gateway_server import KEY, FakeGateway

RATE = 16_000
TONE = (np.sin(np.arange(2 * RATE) / 7) * 9_000).astype(np.int16)


def recorded(path: Path, container: str, codec: str, *, rate: int = 48_000, lead_s: int = 0) -> Path:
    """Two seconds of a tone and pictures, where the container has room for them; the sound begins after `lead_s`."""
    with av.open(str(path), "w", format=container) as file:
        pictures = file.add_stream("mpeg4", rate=10) if container in ("avi", "matroska") else None
        if pictures is not None:
            pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = file.add_stream(codec, rate=rate, layout="mono")
        size = sound.codec_context.frame_size or 1_024
        fit = AudioResampler(format=sound.codec_context.format.name, layout="mono", rate=rate, frame_size=size)
        frame = av.AudioFrame.from_ndarray(TONE[None], format="s16", layout="mono")
        frame.rate, frame.pts = RATE, 0
        for number in range(10 * (2 + lead_s) if pictures is not None else 0):
            assert pictures is not None
            picture = np.full((48, 64, 3), number, np.uint8)
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for piece in (*fit.resample(frame), *fit.resample(None)):
            piece.pts += lead_s * rate
            file.mux(sound.encode(piece))
        for stream in (sound, *([pictures] if pictures is not None else ())):
            file.mux(stream.encode(None))
    return path


async def samples_of(path: Path, size: int = 5_001) -> NDArray[np.int16]:
    media = identify(path, may_decode=True)
    pieces = [chunk async for chunk in sources.chunks(media, size)]
    assert all(len(piece) <= size and len(piece) % 2 == 0 for piece in pieces)
    return np.frombuffer(b"".join(pieces), np.int16)


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("avi", "pcm_s16le", RATE),
        ("avi", "mp2", 48_000),
        ("wv", "wavpack", RATE),
        ("tta", "tta", RATE),
        ("w64", "pcm_s16le", RATE),
        ("voc", "pcm_s16le", RATE),
        ("mpegts", "ac3", 48_000),
        ("matroska", "ac3", 48_000),
        ("asf", "pcm_s16le", RATE),
        ("flv", "pcm_s16le", 44_100),
    ],
)
async def test_sound_that_no_worker_reads_is_sent_as_samples(
    tmp_path: Path, container: str, codec: str, rate: int
) -> None:
    path = recorded(tmp_path / "a.bin", container, codec, rate=rate)
    media = identify(path, may_decode=True)
    assert media.format == "audio/pcm;rate=16000;channels=1;encoding=s16le"
    samples = await samples_of(path)
    assert len(samples) == pytest.approx(len(TONE), rel=0.05)
    heard = np.abs(np.fft.rfft(samples[4_000:20_000])).argmax()
    assert heard == pytest.approx(16_000 / 7 / (2 * np.pi), abs=2)  # Hz: the spectrum is of one second
    assert duration.seconds(media) == pytest.approx(2.0, abs=0.15)
    assert damage(media) == ""


async def test_sound_that_begins_late_keeps_its_times(tmp_path: Path) -> None:
    samples = await samples_of(recorded(tmp_path / "late.mkv", "matroska", "ac3", lead_s=3))
    assert not samples[: 28 * RATE // 10].any()
    assert np.abs(samples[32 * RATE // 10 :]).max() > 5_000


async def test_damage_is_reported_and_the_rest_is_transcribed(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.ts", "mpegts", "ac3")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4_000] = bytes(4_000)
    path.write_bytes(data)
    media = identify(path, may_decode=True)
    assert media.decoder is not None
    assert len(b"".join(media.decoder.chunks(4_096))) > RATE
    media.decoder.damaged = 2
    assert damage(media) == "2 packets of the recording could not be decoded: words may be missing"


async def test_the_command_sends_the_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = recorded(tmp_path / "memo.avi", "avi", "pcm_s16le", rate=RATE)
    async with FakeGateway().serving() as gateway:
        assert await cli.run(["transcribe", "--url", gateway.url, "--key", KEY, str(path)], {}) == cli.EXIT_OK
    (stream,) = gateway.streams()
    assert b"".join(stream.chunks) == (await samples_of(path)).tobytes()
    assert stream.start["format"] == "audio/pcm;rate=16000;channels=1;encoding=s16le"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "content",
    [
        b"plain text, nothing else" * 9,
        b"#EXTM3U\n#EXTINF:2,\nfile:///etc/hostname\n",
        b"ffconcat version 1.0\nfile x\n",
    ],
)
def test_what_is_no_recording_stays_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "thing"
    path.write_bytes(content)
    with pytest.raises(UnsupportedFileError, match="thing is not of a type that can be streamed"):
        identify(path, may_decode=True)


def test_pictures_without_sound_and_missing_files_are_called_so(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="there is no such file"):
        identify(tmp_path / "missing.avi", may_decode=True)
    silent = tmp_path / "silent.avi"
    with av.open(str(silent), "w", format="avi") as file:
        pictures = file.add_stream("mpeg4", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        file.mux(pictures.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        file.mux(pictures.encode(None))
    with pytest.raises(UnsupportedFileError, match=r"silent\.avi"):
        identify(silent, may_decode=True)


def test_without_the_extra_the_message_says_what_to_install_and_how_to_convert(tmp_path: Path) -> None:
    path = recorded(tmp_path / "memo.avi", "avi", "pcm_s16le", rate=RATE)
    absent = "import sys; sys.modules['av'] = None; from talkup_client.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", absent, "transcribe", path],
        env=child_environment({}),
        capture_output=True,
        check=False,
        timeout=60,
    )
    said = done.stderr.decode()
    assert done.returncode == 1
    assert f"{sys.executable} -m pip install 'av>=18.1,<19'; to convert it:" in said
    assert "ffmpeg -i IN OUT.flac" in said
    assert "Traceback" not in said


async def test_a_decoder_that_is_left_early_does_not_hold_up_anything(tmp_path: Path) -> None:
    media = identify(recorded(tmp_path / "a.avi", "avi", "pcm_s16le", rate=RATE), may_decode=True)
    stop = asyncio.Event()
    async for _ in sources.until(stop, sources.chunks(media, 1_000)):
        stop.set()
    assert len(await samples_of(media.path)) > RATE
