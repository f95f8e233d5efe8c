"""The demuxers against libavformat, and the corner cases of their standards."""

from __future__ import annotations

import struct

import pytest
from talkup.v1 import media_pb2

from tests.unit.workers.media.chunks import cut
from tests.unit.workers.media.material import FRAGMENTED, LIVE, declared, demuxed, mux, recordings, wav, with_serial
from workers.media.checkpoint import History, RestartPoint
from workers.media.clock import MediaClock
from workers.media.containers import flac, mp3, opus
from workers.media.containers.packet import Codec, MediaError
from workers.media.containers.sniff import make_demuxer, recognise

CONTAINERS = {
    "webm": media_pb2.CONTAINER_WEBM,
    "webm-video": media_pb2.CONTAINER_WEBM,
    "ogg": media_pb2.CONTAINER_OGG,
    "mp4-aac": media_pb2.CONTAINER_MP4,
    "mp4-opus": media_pb2.CONTAINER_MP4,
    "mp3": media_pb2.CONTAINER_MP3,
    "flac": media_pb2.CONTAINER_FLAC,
    "wav": media_pb2.CONTAINER_WAV,
}


def audio_packets(name: str, chunks: list[bytes]) -> list:
    recording = recordings()[name]
    demuxer = make_demuxer(CONTAINERS[name], recording.fmt)
    packets = [packet for chunk in chunks for packet in demuxer.push_bytes(chunk)] + demuxer.finish()
    return [packet for packet in packets if demuxer.tracks[packet.track].codec.is_audio]


@pytest.mark.parametrize("name", [name for name in CONTAINERS if name != "wav"])
def test_the_packets_are_those_that_libavformat_sees(name: str) -> None:
    data = recordings()[name].data
    assert tuple(packet.data for packet in audio_packets(name, cut(data, [211]))) == demuxed(data)


@pytest.mark.parametrize("name", list(CONTAINERS))
def test_every_offset_is_a_restart_point(name: str) -> None:
    recording = recordings()[name]
    first = make_demuxer(CONTAINERS[name], recording.fmt)
    packets = first.push_bytes(recording.data) + first.finish()
    seen = set()
    for index, packet in enumerate(packets):
        if packet.offset in seen:
            continue
        seen.add(packet.offset)
        successor = make_demuxer(CONTAINERS[name], recording.fmt, resumed=True)
        assert successor.push_bytes(first.prefix(packet.anchor)) == []
        again = successor.push_bytes(recording.data[packet.offset :]) + successor.finish()
        assert [(p.data, p.pts, p.key) for p in again] == [(p.data, p.pts, p.key) for p in packets[index:]]


def test_pictures_come_with_keys_and_times() -> None:
    recording = recordings()["webm-video"]
    demuxer = make_demuxer(media_pb2.CONTAINER_WEBM, recording.fmt)
    pictures = [p for p in demuxer.push_bytes(recording.data) if demuxer.tracks[p.track].codec is Codec.VP8]
    assert pictures[0].key
    assert not pictures[1].key
    assert [picture.pts for picture in pictures] == [100.0 * n for n in range(len(pictures))]


@pytest.mark.parametrize(
    ("start", "mime", "container"),
    [
        (b"\x1a\x45\xdf\xa3", "audio/webm", media_pb2.CONTAINER_WEBM),
        (b"OggS", "audio/webm;codecs=opus", media_pb2.CONTAINER_OGG),
        (b"fLaC", "", media_pb2.CONTAINER_FLAC),
        (b"RIFF", "", media_pb2.CONTAINER_WAV),
        (b"\0\0\0\x20ftyp", "audio/mp4", media_pb2.CONTAINER_MP4),
        (b"ID3\x04", "", media_pb2.CONTAINER_MP3),
        (b"\xff\xfb\x90\x64", "", media_pb2.CONTAINER_MP3),
        (b"\x78\x80\x12\x13\x14", "audio/opus", media_pb2.CONTAINER_OPUS_PACKETS),
        (b"\xff\xfb\x90\x64\x14", "audio/opus", media_pb2.CONTAINER_OPUS_PACKETS),
        (b"\x78\x80\x12\x13\x14", "application/octet-stream;codecs=opus", media_pb2.CONTAINER_OPUS_PACKETS),
        (b"\x1a", "", None),
        (b"", "audio/opus", None),
    ],
)
def test_the_first_bytes_decide(start: bytes, mime: str, container: int | None) -> None:
    assert recognise(declared(mime), start) == container


def test_bytes_of_nothing_are_refused() -> None:
    with pytest.raises(MediaError):
        recognise(declared("audio/webm;codecs=opus"), b"hello, world")


def test_magic_overrides_the_declared_container() -> None:
    assert recognise(declared("audio/webm", media_pb2.CONTAINER_WEBM), b"OggS") == media_pb2.CONTAINER_OGG
    assert recognise(declared("audio/mpeg", media_pb2.CONTAINER_MP3), b"\0" * 12) == media_pb2.CONTAINER_MP3


@pytest.mark.parametrize(
    "container", [media_pb2.CONTAINER_JPEG, media_pb2.CONTAINER_UNSPECIFIED, media_pb2.CONTAINER_PCM]
)
def test_a_format_without_audio_has_no_demuxer(container: int) -> None:
    with pytest.raises(MediaError):
        make_demuxer(container, declared("x", container))


@pytest.mark.parametrize(
    ("moov_first", "reason"),
    [(True, "the index of this MP4 names no samples"), (False, "stands at its end: send it first")],
)
def test_an_mp4_that_cannot_be_read_on_says_why(moov_first: bool, reason: str) -> None:
    fragmented = mux("mp4", "aac", 0.2, rate=44_100, options=FRAGMENTED).replace(b"mvex", b"free")
    data = fragmented if moov_first else mux("mp4", "aac", 0.2, rate=44_100)
    with pytest.raises(MediaError, match=reason):
        make_demuxer(media_pb2.CONTAINER_MP4, declared("audio/mp4")).push_bytes(data)


def test_mp3_in_mp4_is_mp3() -> None:
    data = mux("mp4", "libmp3lame", 0.3, rate=44_100, options=FRAGMENTED)
    demuxer = make_demuxer(media_pb2.CONTAINER_MP4, declared("audio/mp4"))
    packets = demuxer.push_bytes(data)
    assert demuxer.tracks[1].codec is Codec.MP3
    assert tuple(packet.data for packet in packets) == demuxed(data)


def test_wav_without_a_known_kind_is_refused() -> None:
    for kind, bits in ((2, 4), (1, 40), (3, 16), (0x55, 8)):
        with pytest.raises(MediaError):
            make_demuxer(media_pb2.CONTAINER_WAV, declared("")).push_bytes(wav(b"", kind, 1, 8000, bits))


def test_opus_packets_say_how_long_they_are() -> None:
    assert opus.packet_samples(bytes([0x78])) == 960  # hybrid, 20 ms, one frame
    assert opus.packet_samples(bytes([0x59])) == 5760  # SILK, 60 ms, two frames
    assert opus.packet_samples(bytes([0xE3, 48])) == 5760  # CELT, 2.5 ms, 48 frames
    assert opus.packet_samples(bytes([0xE3, 49])) == 0  # more than 120 ms breaks the rules
    assert opus.packet_samples(b"\x03") == 0
    assert opus.packet_samples(b"") == 0


def test_mp3_headers() -> None:
    assert mp3.parse_header(b"\xff\xfb\x90\x64") == mp3.Mp3Header(417, 44_100, 2)
    assert mp3.parse_header(b"\xff\xf3\x84\xc4") == mp3.Mp3Header(192, 24_000, 1)
    assert mp3.parse_header(b"\xff\xfd\x90\x64") == mp3.Mp3Header(522, 44_100, 2)  # layer II
    assert mp3.parse_header(b"\xff\xff\x92\x64") == mp3.Mp3Header(316, 44_100, 2)  # layer I
    for bad in (
        b"\xff\xfb\xf0\x64",
        b"\xff\xfb\x9c\x64",
        b"\xff\xf9\x90\x64",
        b"\xff\xeb\x90\x64",
        b"\xfe\xfb\x90\x64",
    ):
        assert mp3.parse_header(bad) is None


def test_flac_headers() -> None:
    data = recordings()["flac"].data
    packets = audio_packets("flac", [data])
    headers = [flac.parse_header(bytearray(packet.data + bytes(16)), 0) for packet in packets]
    assert [header.number for header in headers if header] == list(range(len(packets)))
    assert flac.parse_header(bytearray(b"\xff\xf8\xc9\x18\0\0" + bytes(12)), 0) is None


def test_large_flac_numbers_are_read() -> None:
    head = bytearray(b"\xff\xf9\xc4\x08") + bytearray(chr(0x1_2345).encode())
    crc = 0
    for byte in head:
        crc = flac._CRC8[crc ^ byte]
    header = flac.parse_header(head + bytes([crc]) + bytes(16), 0)
    assert header == flac.FlacHeader(variable=True, number=0x1_2345, samples=4096)


def test_the_clock_follows_pts_only_when_they_run_ahead() -> None:
    clock = MediaClock(rate=48_000)
    assert clock.silence_before(500.0) == 0
    clock.position = 48_000
    assert clock.silence_before(1530.0) == 0
    assert clock.silence_before(1600.0) == 4800
    assert clock.silence_before(1000.0) == 0
    assert clock.silence_before(0.0) == 0
    assert clock.pts_base == -1000.0
    assert clock.silence_before(1e9) == 120 * 48_000


def test_output_counts_round_up() -> None:
    clock = MediaClock(base=100, rate=44_100, trim=441)
    assert clock.to_output(0) == 100
    assert clock.to_output(441 + 441) == 260
    assert clock.to_output(441 + 442) == 261


def test_a_history_without_checkpoints_stays_small() -> None:
    history = History()
    for n in range(20_000):
        history.add(RestartPoint(n, n, (0, 48_000, 0, n, None)))
    assert len(history) <= 4097
    assert history.latest(0).sequence == 0
    assert 19_000 < history.latest(19_999).sequence <= 19_999


def test_webm_finds_its_feet_in_a_long_cluster() -> None:
    data = mux("webm", "libopus", 1.5, options={**LIVE, "cluster_time_limit": "30000"})
    demuxer = make_demuxer(media_pb2.CONTAINER_WEBM, declared("audio/webm"))
    whole = demuxer.push_bytes(data)
    demuxer = make_demuxer(media_pb2.CONTAINER_WEBM, declared("audio/webm"))
    before = demuxer.push_bytes(data[:2000])
    demuxer.resynchronise()
    after = demuxer.push_bytes(data[2500:])
    known = [(packet.data, packet.pts) for packet in whole]
    assert [(packet.data, packet.pts) for packet in before + after] == [
        known[index] for index in range(len(known)) if index < len(before) or index >= len(known) - len(after)
    ]
    assert len(known) - len(before) - len(after) < 12


def test_ogg_skips_other_streams() -> None:
    data = recordings()["ogg"].data
    stranger = struct.pack("<4sBBqIIIBB", b"OggS", 0, 0, 5, 12345, 0, 0, 1, 3) + b"abc"
    at = data.index(b"OggS", data.index(b"OggS", 4) + 4)
    mixed = data[:at] + stranger + data[at:]
    assert [p.data for p in audio_packets("ogg", [mixed])] == [p.data for p in audio_packets("ogg", [data])]


@pytest.mark.parametrize("serials", [(7, 8, 7), (7, 7, 7)])
def test_every_link_of_an_ogg_chain_is_read_and_a_place_to_start_again(serials: tuple[int, ...]) -> None:
    stereo, mono = recordings()["ogg"].data, mux("ogg", "libopus", 0.8)
    links = [with_serial(data, serial) for data, serial in zip((stereo, mono, stereo), serials, strict=True)]
    fmt, chain = recordings()["ogg"].fmt, b"".join(links)
    demuxer = make_demuxer(media_pb2.CONTAINER_OGG, fmt)
    packets = [packet for chunk in cut(chain, [211]) for packet in demuxer.push_bytes(chunk)]
    assert [packet.data for packet in packets] == [*demuxed(stereo), *demuxed(mono), *demuxed(stereo)]
    for packet in packets:
        successor = make_demuxer(media_pb2.CONTAINER_OGG, fmt, resumed=True)
        assert successor.push_bytes(demuxer.prefix(packet.anchor)) == []
        again = successor.push_bytes(chain[packet.offset :])
        left = [other for other in packets if other.offset >= packet.offset]
        assert [(p.data, p.pts) for p in again] == [(p.data, p.pts) for p in left]


@pytest.mark.parametrize("size", [100_000, 5 << 20])
def test_a_large_picture_among_the_comments_is_no_damage(size: int) -> None:
    fmt, sound = recordings()["ogg"].fmt, recordings()["ogg"].data
    second = sound.index(b"OggS", 4)
    third = sound.index(b"OggS", second + 4)
    serial = sound[14:18]
    parts = [b"OpusTags" + bytes(255 * 255 - 8), *[bytes(255 * 255)] * (size // 65_025)]
    pages = [
        b"OggS\0" + bytes([bool(at)]) + bytes(8) + serial + bytes(8) + b"\xff" + b"\xff" * 255 + part
        for at, part in enumerate(parts)
    ]
    last = b"OggS\0\1" + bytes(8) + serial + bytes(8) + b"\1\5" + b"hello"
    demuxer = make_demuxer(media_pb2.CONTAINER_OGG, fmt)
    packets = demuxer.push_bytes(sound[:second] + b"".join(pages) + last + sound[third:])
    assert tuple(packet.data for packet in packets) == demuxed(sound)
    assert demuxer.damaged == 0


def test_links_without_sound_hide_no_others() -> None:
    fmt, sound = recordings()["ogg"].fmt, mux("ogg", "libopus", 0.8)
    head = len(sound) - len(sound[sound.index(b"OggS", sound.index(b"OggS", 1) + 1) :])
    chain = b"".join(
        with_serial(part, number) for number, part in enumerate([sound[:head], sound, sound[:head], sound])
    )
    demuxer = make_demuxer(media_pb2.CONTAINER_OGG, fmt)
    assert [packet.data for packet in demuxer.push_bytes(chain)] == [*demuxed(sound), *demuxed(sound)]


def test_a_link_behind_a_gap_is_read() -> None:
    fmt, sound = recordings()["ogg"].fmt, mux("ogg", "libopus", 0.8)
    first = make_demuxer(media_pb2.CONTAINER_OGG, fmt)
    anchor = first.push_bytes(with_serial(sound, 1))[-1].anchor
    successor = make_demuxer(media_pb2.CONTAINER_OGG, fmt, resumed=True)
    assert successor.push_bytes(first.prefix(anchor)) == []
    successor.resynchronise()
    assert [packet.data for packet in successor.push_bytes(with_serial(sound, 2))] == list(demuxed(sound))


def element(name: bytes, body: bytes) -> bytes:
    return name + (1 << 56 | len(body)).to_bytes(8, "big") + body


@pytest.mark.parametrize(
    ("lacing", "body"),
    [
        (0x02, b"\x02\xff\x05\x03" + b"a" * 260 + b"bbb" + b"cc"),
        (0x04, b"\x02" + b"aabbcc"),
        (0x06, b"\x02\x41\x04\x5e\xfe" + b"a" * 260 + b"bbb" + b"cc"),
    ],
)
def test_laced_blocks_of_matroska_are_read(lacing: int, body: bytes) -> None:
    """RFC 9559, 10.3: Xiph, fixed and EBML lacing; in the last a difference of -257 stands as 0x5efe."""
    data = recordings()["webm"].data
    block = element(b"\xa3", b"\x81\x00\x00" + bytes([0x80 | lacing]) + body)
    demuxer = make_demuxer(media_pb2.CONTAINER_WEBM, recordings()["webm"].fmt)
    demuxer.push_bytes(data[: data.index(b"\x1f\x43\xb6\x75")])
    found = demuxer.push_bytes(element(b"\x1f\x43\xb6\x75", element(b"\xe7", b"\x07") + block))
    sizes = [len(packet.data) for packet in found]
    assert sizes == ([2, 2, 2] if lacing == 0x04 else [260, 3, 2])
    assert {packet.data[:1] for packet in found} == {b"a", b"b", b"c"}
    assert [packet.pts for packet in found] == [7.0, None, None]
    assert demuxer.damaged == 0


@pytest.mark.parametrize("strange", [element(b"\x4d\xff", b"abcde"), element(b"\xa3", b"\x89\x00\x00\x80xyz")])
def test_elements_that_nobody_knows_and_blocks_of_no_track_are_skipped(strange: bytes) -> None:
    data = recordings()["webm"].data
    cluster = data.rindex(b"\x1f\x43\xb6\x75")
    at = data.index(b"\xa3", cluster)
    plain, more = (make_demuxer(media_pb2.CONTAINER_WEBM, recordings()["webm"].fmt) for _ in range(2))
    expected = plain.push_bytes(data)
    assert [packet.data for packet in more.push_bytes(data[:at] + strange + data[at:])] == [
        packet.data for packet in expected
    ]
    assert more.damaged == 0


def test_a_link_long_past_is_no_place_to_start_again() -> None:
    demuxer = make_demuxer(media_pb2.CONTAINER_OGG, recordings()["ogg"].fmt)
    first, *_, last = demuxer.push_bytes(mux("ogg", "libopus", 0.1) * 80)
    assert demuxer.prefix(last.anchor)
    with pytest.raises(MediaError):
        demuxer.prefix(first.anchor)
