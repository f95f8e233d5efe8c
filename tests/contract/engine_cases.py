"""The engines that the conformance suite checks against the contract, each with its own media.

To add an engine, append an EngineCase to ENGINE_CASES. A test that cannot apply to it is named in `not_applicable`,
with the reason.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from talkup.v1 import media_pb2, task_pb2, transcript_pb2

from tests.unit.workers.media.video_material import filmed, timeslices
from tests.unit.workers.vision import faces
from workers import models
from workers.chunk import Chunk
from workers.engine import Engine
from workers.fake.engine import FakeEngine, FakeScript
from workers.media.decoder import AudioDecoder
from workers.media.isolation.outputs import AUDIO
from workers.media.isolation.pool import DecoderPool
from workers.stt.config import SttConfig
from workers.stt.service import FORMATS, SttService
from workers.stt.tuning import Tuning
from workers.vision.service import create_engine
from workers.vision.settings import VisionSettings

Results = Iterable[task_pb2.TaskResult]

_SPEECH = Path(__file__).parents[1] / "data" / "speech" / "interview.ogg"
_MODEL_CACHE = Path(".cache/models")


def finals(results: Results) -> list[str]:
    """What a speech stream says for good: the texts of its finals."""
    return [r.transcript.text for r in results if r.WhichOneof("result") == "transcript" and r.transcript.is_final]


def frames(results: Results) -> list[str]:
    """What a picture stream says for good: the frames analysed, with their times and numbers of faces."""
    return [
        f"frame {r.analysis.frame_seq} at {r.analysis.media_time_ms} ms: {r.analysis.frame.face_count}"
        for r in results
        if r.WhichOneof("result") == "analysis" and r.analysis.HasField("frame")
    ]


def deliveries(results: Results) -> list[str]:
    """What a stream that measures delivery says for good: its finals, and the messages with the media that they cover.

    Bit for bit: a message stands for its bytes.
    """
    said: list[str] = []
    for result in results:
        said += finals([result])
        said += [message.SerializeToString(deterministic=True).hex() for message in result.delivery]
    return said


@dataclass(frozen=True)
class EngineCase:
    """One engine under test.

    `make` gives a fresh engine, unloaded. `media` is one recording in at least 8 chunks that give two outputs or more;
    `outputs` picks them from the results. `paced`: the engine drops what comes too fast, so a flush, which waits, is
    sent after each chunk. `held_back`: a flush may leave so many chunks at the end uncommitted, because the page or
    frame in them is not complete. `asked`: the service that the caller asks for, where it is not the engine's own.
    `not_applicable`: reasons, by the names of tests.
    """

    name: str
    make: Callable[[], Engine]
    start: task_pb2.StreamStart
    media: Callable[[], list[bytes]]
    refused_start: task_pb2.StreamStart
    outputs: Callable[[Results], list[str]] = finals
    service_type: task_pb2.ServiceType = task_pb2.SERVICE_TYPE_STT
    asked: task_pb2.ServiceType = task_pb2.SERVICE_TYPE_UNSPECIFIED
    paced: bool = False
    held_back: int = 0
    seconds: float = 5.0
    not_applicable: Mapping[str, str] = field(default_factory=dict)
    marks: tuple[Any, ...] = field(default=())


def _start(kind: media_pb2.MediaKind, container: media_pb2.Container, mime_type: str = "") -> task_pb2.StreamStart:
    return task_pb2.StreamStart(kind=kind, format=media_pb2.MediaFormat(container=container, mime_type=mime_type))


def _as_file(live: task_pb2.StreamStart) -> task_pb2.StreamStart:
    """The same stream as a recording."""
    start = task_pb2.StreamStart()
    start.CopyFrom(live)
    start.speech.mode = transcript_pb2.SPEECH_MODE_FILE
    return start


def _with_delivery(speech: task_pb2.StreamStart) -> task_pb2.StreamStart:
    """The same stream with its delivery measured."""
    start = task_pb2.StreamStart()
    start.CopyFrom(speech)
    start.delivery.SetInParent()
    return start


def pcm_start(*, delivery: bool) -> task_pb2.StreamStart:
    """Speech in `samples`, with or without its delivery measured."""
    pcm = media_pb2.MediaFormat(
        container=media_pb2.CONTAINER_PCM, pcm_encoding=media_pb2.PCM_ENCODING_S16LE, sample_rate=16_000, channels=1
    )
    start = task_pb2.StreamStart(kind=media_pb2.MEDIA_KIND_AUDIO, format=pcm)
    return _with_delivery(start) if delivery else start


_WEBM_SPEECH = _start(media_pb2.MEDIA_KIND_AUDIO, media_pb2.CONTAINER_WEBM, "audio/webm;codecs=opus")
_OGG_SPEECH = _start(media_pb2.MEDIA_KIND_AUDIO, media_pb2.CONTAINER_OGG, "audio/ogg;codecs=opus")
_PCM_SPEECH = pcm_start(delivery=True)
_PICTURES = _start(media_pb2.MEDIA_KIND_IMAGE, media_pb2.CONTAINER_JPEG, "image/jpeg")
_VIDEO = _start(media_pb2.MEDIA_KIND_VIDEO, media_pb2.CONTAINER_WEBM, "video/webm")
_PICTURES_AS_SPEECH = _start(media_pb2.MEDIA_KIND_AUDIO, media_pb2.CONTAINER_JPEG)
_SPEECH_AS_PICTURES = _start(media_pb2.MEDIA_KIND_VIDEO, media_pb2.CONTAINER_OGG)
_OGG_FILE = _as_file(_OGG_SPEECH)
_PICTURES_AS_FILE = _as_file(_PICTURES_AS_SPEECH)

_NO_TRANSCRIPTS = {
    "test_segments_rise_and_finals_never_change": "pictures have no transcripts",
    "test_interims_and_word_times_can_be_switched_off": "pictures have no transcripts",
}
_DELIVERY_ALONE = {"test_interims_and_word_times_can_be_switched_off": "delivery alone has no transcripts"}
_ONE_PICTURE_A_CHUNK = {"test_chunk_boundaries_do_not_matter": "a chunk is one whole picture"}


def fake_media() -> list[bytes]:
    """23 chunks of uneven size, 25,714 bytes."""
    rng = random.Random(7)
    return [rng.randbytes(size) for size in (1, 1500, 900, 0, 2600, 333) * 4][:23]


def speech() -> list[bytes]:
    """The first 6 pages of Ogg Opus, 4 s of speech, in 10 chunks."""
    return timeslices(_SPEECH.read_bytes()[:13_318], 10)


def recording() -> list[bytes]:
    """The whole of it, 12 s of speech, in 10 chunks: three sentences."""
    return timeslices(_SPEECH.read_bytes(), 10)


@cache
def samples() -> list[bytes]:
    """The same recording as PCM, 16 s, in 12 chunks."""
    decoder = AudioDecoder(_OGG_SPEECH.format)
    sound = np.concatenate([decoder.decode(Chunk(0, _SPEECH.read_bytes())), decoder.finish()])
    return timeslices((np.clip(sound, -1, 1) * 32_767).astype("<i2").tobytes(), 12)


def jpegs() -> list[bytes]:
    """8 pictures of one face."""
    return [faces.jpeg(faces.portrait(), quality) for quality in range(82, 90)]


def video() -> list[bytes]:
    """6 frames of one face, every second one a key frame, WebM with VP8, in 10 chunks."""
    return timeslices(filmed([faces.portrait()] * 6, fps=2), 10)


def speech_engine() -> Engine:
    """tiny.en at the least effort, so that the text does not depend on how busy the machine is."""
    model = models.resolve("tiny.en", _MODEL_CACHE)
    config = SttConfig(
        model=model.name,
        path=model.path,
        sha256=model.sha256,
        encode_batch=1,
        decode_batch=1,
        slots=8,  # a busy machine would measure fewer than a test opens streams
        formats=FORMATS,
        tuning=Tuning(beam=1, stretched_step=1.5),
    )
    return SttService(config, DecoderPool(children=1, output=AUDIO))


def vision_engine() -> Engine:
    """The carried networks on one thread; its clock stands still, so that no frame is stale on a busy machine."""
    return create_engine(VisionSettings(model_cache=_MODEL_CACHE, threads=1, decoders=1, nice=0), clock=lambda: 0.0)


def fake_vision_engine() -> Engine:
    """The scripted engine as a vision worker."""
    return FakeEngine(FakeScript(service_type=task_pb2.SERVICE_TYPE_VISION))


ENGINE_CASES = [
    EngineCase("fake", FakeEngine, _WEBM_SPEECH, fake_media, _PICTURES_AS_SPEECH),
    EngineCase(
        "fake, replay from the first uncommitted chunk",
        lambda: FakeEngine(FakeScript(replay_behind=0, words_per_final=1)),
        _WEBM_SPEECH,
        fake_media,
        _PICTURES_AS_SPEECH,
    ),
    EngineCase(
        "fake, with delivery",
        FakeEngine,
        _with_delivery(_WEBM_SPEECH),
        fake_media,
        _PICTURES_AS_SPEECH,
        outputs=deliveries,
    ),
    EngineCase(
        "fake, delivery alone",
        lambda: FakeEngine(FakeScript(words_per_final=3)),
        _with_delivery(_WEBM_SPEECH),
        fake_media,
        _PICTURES_AS_SPEECH,
        outputs=deliveries,
        asked=task_pb2.SERVICE_TYPE_DELIVERY,
        not_applicable=_DELIVERY_ALONE,
    ),
    EngineCase(
        "fake, pictures",
        fake_vision_engine,
        _PICTURES,
        jpegs,
        _SPEECH_AS_PICTURES,
        outputs=frames,
        service_type=task_pb2.SERVICE_TYPE_VISION,
        paced=True,
        not_applicable=_NO_TRANSCRIPTS | _ONE_PICTURE_A_CHUNK,
    ),
    EngineCase(
        "speech", speech_engine, _OGG_SPEECH, speech, _PICTURES_AS_SPEECH, held_back=1, marks=(pytest.mark.model,)
    ),
    EngineCase(
        "speech, file",
        speech_engine,
        _OGG_FILE,
        recording,
        _PICTURES_AS_FILE,
        held_back=1,
        marks=(pytest.mark.model,),
    ),
    EngineCase(
        "speech, with delivery",
        speech_engine,
        _PCM_SPEECH,
        samples,
        _PICTURES_AS_SPEECH,
        outputs=deliveries,
        held_back=1,
        marks=(pytest.mark.model,),
    ),
    EngineCase(
        "speech, file, with delivery",
        speech_engine,
        _as_file(_PCM_SPEECH),
        samples,
        _PICTURES_AS_FILE,
        outputs=deliveries,
        held_back=1,
        marks=(pytest.mark.model,),
    ),
    EngineCase(
        "speech, delivery alone",
        speech_engine,
        _PCM_SPEECH,
        samples,
        _PICTURES_AS_SPEECH,
        outputs=deliveries,
        asked=task_pb2.SERVICE_TYPE_DELIVERY,
        held_back=1,
        not_applicable=_DELIVERY_ALONE,
        marks=(pytest.mark.model,),
    ),
    EngineCase(
        "vision, pictures",
        vision_engine,
        _PICTURES,
        jpegs,
        _SPEECH_AS_PICTURES,
        outputs=frames,
        service_type=task_pb2.SERVICE_TYPE_VISION,
        paced=True,
        not_applicable=_NO_TRANSCRIPTS | _ONE_PICTURE_A_CHUNK,
        marks=(pytest.mark.model,),
    ),
    EngineCase(
        "vision, video",
        vision_engine,
        _VIDEO,
        video,
        _SPEECH_AS_PICTURES,
        outputs=frames,
        service_type=task_pb2.SERVICE_TYPE_VISION,
        paced=True,
        held_back=2,
        not_applicable=_NO_TRANSCRIPTS,
        marks=(pytest.mark.model,),
    ),
]
