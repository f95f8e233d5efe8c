"""What is fuzzed: everything that parses bytes of a client, of another gateway or of another worker.

The seeds are made here: small recordings in every container, messages, states and tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import msgspec
from talkup.v1 import analysis_pb2, media_pb2, transcript_pb2

from bench.fuzz.links import link_targets
from bench.fuzz.loop import Target
from gateway.access.key_ring import KeyRing
from gateway.access.terms import Door
from gateway.access.tokens import Audience, Tokens
from gateway.auth import Authenticator, AuthError
from gateway.protocol import codec, snapshot
from gateway.protocol.totals import Totals
from workers.chunk import Chunk
from workers.engine import EngineError
from workers.fake import speech, vision
from workers.media import checkpoint, decoder, video
from workers.media.containers.packet import Codec, Demuxer
from workers.media.containers.sniff import Sniffer, make_demuxer
from workers.media.errors import MediaError
from workers.media.isolation.warmup import audio_clips
from workers.media.isolation.warmup_video import video_clips
from workers.stt import state as stt_state
from workers.vision import state as vision_state

_CONTAINERS = [media_pb2.Container.Value(name) for name in media_pb2.Container.keys()]  # noqa: SIM118 - protobuf
_DEMUXERS = ("adts", "aiff", "amr", "au", "caf", "flac", "headed", "mp3", "mp4", "mp4_index", "mp4_tracks", "ogg")
_DEMUXERS += ("ogg_mapping", "opus", "packet", "raw", "refused", "riff", "sniff", "synced", "wav", "webm")


class BrokenPromiseError(AssertionError):
    """The code under test did something that it promises not to do."""


def _format(container: int) -> media_pb2.MediaFormat:
    fmt = media_pb2.MediaFormat(mime_type="audio/any", sample_rate=16_000, channels=1, pcm_encoding=1)
    fmt.container = container  # type: ignore[assignment]
    return fmt


def _demux(demuxer: Demuxer, parts: list[bytes]) -> Sequence[object]:
    """The packets up to the end, or up to what is refused; of plain samples, which have no packets, the bytes."""
    packets = []
    try:
        for part in parts:
            packets += demuxer.push_bytes(part)
            if demuxer.floor > demuxer.received:
                raise BrokenPromiseError("a packet would begin behind the last byte")
        packets += demuxer.finish()
    except MediaError:
        pass
    if any(track.codec is Codec.PCM for track in demuxer.tracks.values()):
        return b"".join(packet.data for packet in packets)
    return [(packet.data, packet.offset, packet.pts, packet.key) for packet in packets]


def _run_demuxers(data: bytes) -> None:
    """Byte 0 says the container, byte 1 how the rest is cut. Packets never depend on how the bytes were cut."""
    if len(data) < 3:
        return
    container, size, media = _CONTAINERS[data[0] % len(_CONTAINERS)], 1 + data[1], data[2:]
    pieces = [media[at : at + size] for at in range(0, len(media), size)]
    if container == media_pb2.CONTAINER_SNIFF:
        _sniff(pieces)
        return
    fmt = _format(container)
    if container == media_pb2.CONTAINER_OPUS_PACKETS:  # there a cut is the end of a packet
        _demux(make_demuxer(container, fmt), pieces)
        return
    whole, cut = _demux(make_demuxer(container, fmt), [media]), _demux(make_demuxer(container, fmt), pieces)
    shorter = min(len(whole), len(cut))  # what is refused is refused at once, packets before it may stay inside
    if whole[:shorter] != cut[:shorter]:
        raise BrokenPromiseError("the packets depend on how the bytes were cut")


def _sniff(pieces: list[bytes]) -> None:
    fmt = _format(media_pb2.CONTAINER_SNIFF)
    sniffer = Sniffer(fmt)
    for sequence, piece in enumerate(pieces):
        if sniffer.push_chunk(Chunk(sequence, piece)):
            make_demuxer(sniffer.container, fmt)
            return
    sniffer.finish()


def _media_seeds() -> Iterator[bytes]:
    yield bytes([_CONTAINERS.index(media_pb2.CONTAINER_SNIFF), 7]) + b"ID3\4\0\0\0\0\0\1\0fLaC" + bytes(40)
    for clip in (*audio_clips(), *video_clips()):
        yield bytes([_CONTAINERS.index(clip.format.container), 63]) + b"".join(clip.chunks)
    aiff = b"FORM\0\0\0\0AIFFCOMM\0\0\0\x12\0\1\0\0\0\1\0\x10\x40\x0c\xfa\0\0\0\0\0\0\0SSND\0\0\0\x10" + bytes(24)
    au = b".snd\0\0\0\x18\xff\xff\xff\xff\0\0\0\3\0\0\x1f\x40\0\0\0\1" + bytes(400)
    ogg = b"OggS\0\2" + bytes(20) + b"\1\x13OpusHead\1\1" + bytes(9) + b"OggS\0\0" + bytes(20) + b"\1\3\xf8\xff\xfe"
    adts = b"\xff\xf1\x50\x80\x01\x7f\xfc\0\0\0\0" * 5
    for container, data in (
        (media_pb2.CONTAINER_AIFF, aiff),
        (media_pb2.CONTAINER_AU, au),
        (media_pb2.CONTAINER_OGG, ogg),
        (media_pb2.CONTAINER_ADTS, adts),
        (media_pb2.CONTAINER_CAF, b"caff\0\1\0\0desc" + bytes(7) + b"\x20" + bytes(40)),
    ):
        yield bytes([_CONTAINERS.index(container), 15]) + data


def _run_codec(data: bytes) -> None:
    codec.decode_tagged(data)
    codec.message_in_binary(data)
    codec.decode_text(data.decode("utf-8", "replace"), max_chunk_bytes=1 << 16)


def _message_seeds() -> list[bytes]:
    media = {"stream_id": "a", "sequence": 1, "payload": "AAAA", "timestamp": "2025-10-15T04:05:34Z"}
    messages: list[dict[str, object]] = [
        {"type": "auth", "data": {"token": "t", "protocol_version": "1.0"}},
        {"type": "ping", "data": {"a": [1, 2.5, None]}},
        {"type": "stream_start", "data": {"stream_id": "a", "format": "audio/pcm;rate=16000", "services": ["stt"]}},
        {"type": "stream_start", "format": "audio", "services": ["va", "stt"], "signals": ["pace"], "started_at": 1},
        {"type": "stream_start", "stream_id": "a", "kind": "video", "mimeType": "video/webm", "framing": "tagged"},
        {"type": "stream_chunk", "data": media},
        {"type": "audio", **media},
        {"type": "stream_flush", "data": {"stream_id": "a", "flush_id": 3}},
        {"type": "stream_end", "stream_id": "a"},
        {"type": "session_resume", "data": {"session_id": "s", "token": "t", "last_segment_ids": {"a": 3}}},
    ]
    return [json.dumps(message).encode() for message in messages] + [b"\x54\1\0\1\0\0\0\7media"]


def _run_snapshot(data: bytes) -> None:
    snapshot.spec_of(snapshot.decode_snapshot(data))


def _snapshot_seeds() -> list[bytes]:
    part = snapshot.PartSnapshot(1, live=True, replay_from=3, media_ms=9, resume_state=b"s")
    return [
        snapshot.StreamSnapshot(
            stream_id="a",
            handle=1,
            kind="audio",  # type: ignore[arg-type]
            format=_format(media_pb2.CONTAINER_PCM).SerializeToString(),
            speech=transcript_pb2.SpeechOptions().SerializeToString(),
            vision=analysis_pb2.VisionOptions().SerializeToString(),
            tagged=False,
            packets=False,
            implicit=False,
            ended=False,
            generation=1,
            next_worker_sequence=4,
            next_sequence=4,
            received=3,
            parts=(part,),
            totals=Totals(),
        ).encode()
    ]


def _decoder_seeds() -> list[bytes]:
    seeds = []
    for clip in audio_clips():
        made = decoder.AudioDecoder(clip.format)
        for sequence, chunk in enumerate(clip.chunks * 20):
            made.decode(Chunk(sequence, chunk))
        seeds.append(bytes(made.checkpoint(made.position).state))
    return seeds


def _run_decoder_state(data: bytes) -> None:
    state = checkpoint.unpack(data)
    resumed = decoder.AudioDecoder(_format(state.container), data)
    resumed.decode(Chunk(state.sequence, bytes(state.skip if state.skip < 4_096 else 0)))


def _run_video_state(data: bytes) -> None:
    state = video.VideoDecoder(_format(media_pb2.CONTAINER_WEBM), data)
    state.decode(Chunk(0, bytes(64)))


def _video_seeds() -> list[bytes]:
    seeds = []
    for clip in video_clips():
        made = video.VideoDecoder(clip.format)
        frames = [frame for sequence, chunk in enumerate(clip.chunks) for frame in made.decode(Chunk(sequence, chunk))]
        if frames or made.finish():
            seeds.append(made.checkpoint(0).state)
    return seeds


def _stt_seed() -> bytes:
    words = [("word", 0, 9, 0.5)]
    state = stt_state.ResumeState(
        version=stt_state.VERSION,
        recognizer=stt_state.RecognizerState(frame=9, track=b"t", vad=b"v", committed=words, language="en"),
        segment_id=2,
        totals=stt_state.Totals(chunks=3),
        audio_from=1,
        decoder=b"d",
    )
    return stt_state.pack(state)


def _vision_seed() -> bytes:
    made = vision_state.VisionState(
        "vision",
        vision_state.VERSION,
        vision_state.Restart(),
        vision_state.Counts(),
        vision_state.ChunkTotals(),
        vision_state.AnalyzerState(),
    )
    return msgspec.msgpack.encode(made)


def _now() -> float:
    return 1_000.0


_AUTH = Authenticator(KeyRing(["key"], None, _now), Tokens(("0123456789abcdef" * 4,), 60.0, _now), _now)
_TOKEN = _AUTH.mint("session", Audience.SESSION).token


def _run_token(data: bytes) -> None:
    credential = data.decode("utf-8", "surrogateescape")
    principal = _AUTH.check(credential, Door.HANDSHAKE, keys_allowed=False)
    if principal.session_id != "session" or credential.split(".")[1] != _TOKEN.split(".")[1]:
        raise BrokenPromiseError("a token that was changed is accepted")


def targets() -> tuple[Target, ...]:
    """All of them."""
    media = tuple(f"workers.media.containers.{name}" for name in _DEMUXERS)
    states = ("workers.media.checkpoint", "workers.media.decoder", "workers.media.recording", *media)
    return (
        Target("demuxers", _run_demuxers, list(_media_seeds()), (MediaError,), media),
        Target("codec", _run_codec, _message_seeds(), (), ("gateway.protocol.codec", "gateway.protocol.plain_chunk")),
        Target("snapshot", _run_snapshot, _snapshot_seeds(), (snapshot.SnapshotError,), ("gateway.protocol.snapshot",)),
        Target("decoder state", _run_decoder_state, _decoder_seeds(), (MediaError,), states),
        Target("video state", _run_video_state, _video_seeds(), (MediaError,), ("workers.media.video", *media)),
        _state("stt state", stt_state.unpack, _stt_seed(), ValueError),
        _state("vision state", vision_state.unpack, _vision_seed(), ValueError),
        _state("fake speech state", speech.decode_state, msgspec.msgpack.encode(speech.SpeechState()), EngineError),
        _state("fake vision state", vision.decode_state, msgspec.msgpack.encode(vision.VisionState()), EngineError),
        Target(
            "token", _run_token, [_TOKEN.encode(), b"a.b.c", b"key"], (AuthError,), ("gateway.auth", Tokens.__module__)
        ),
        *link_targets(),
    )


def _state(name: str, read: Callable[[bytes], object], seed: bytes, refusal: type[Exception]) -> Target:
    """A reader of a state; only what it raises counts."""

    def run(data: bytes) -> None:
        read(data)

    return Target(name, run, [seed], (refusal,), (read.__module__,))
