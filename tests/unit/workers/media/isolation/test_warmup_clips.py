"""Each clip is real media of its codec, and silent."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from talkup.v1 import media_pb2

from workers.media.isolation.warmup import Clip, audio_clips

CLIPS = {clip.codec: clip for clip in audio_clips()}


def decode(clip: Clip) -> tuple[str, list[av.AudioFrame]]:
    with av.open(io.BytesIO(b"".join(clip.chunks)), "r") as container:
        return container.streams.audio[0].codec_context.name, list(container.decode(audio=0))


@pytest.mark.parametrize(
    ("codec", "decoder", "samples"), [("mp3", "mp3float", 4608), ("flac", "flac", 576), ("aac", "aac", 3072)]
)
def test_containers_hold_silence(codec: str, decoder: str, samples: int) -> None:
    name, frames = decode(CLIPS[codec])
    assert name == decoder
    assert sum(frame.samples for frame in frames) == samples
    assert {frame.sample_rate for frame in frames} == {44100}
    assert max(np.abs(frame.to_ndarray()).max() for frame in frames) == 0


def test_opus_packets_hold_silence() -> None:
    context = av.CodecContext.create("opus", "r")
    frames = [frame for chunk in CLIPS["opus"].chunks for frame in context.decode(av.Packet(chunk))]
    assert [frame.samples for frame in frames] == [960, 960, 960]
    assert max(np.abs(frame.to_ndarray()).max() for frame in frames) == 0


def test_every_pcm_encoding_is_there() -> None:
    encodings = {clip.format.pcm_encoding for clip in CLIPS.values()} - {0}
    assert encodings == set(media_pb2.PcmEncoding.values()) - {media_pb2.PCM_ENCODING_UNSPECIFIED}
