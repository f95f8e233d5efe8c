"""Media files: what they are, how long they play, and what is said about those that cannot be streamed."""

from __future__ import annotations

import asyncio
import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from talkup_client import duration, sources
from talkup_client.boxes import boxes
from talkup_client.errors import UnreadableFileError, UnsupportedFileError
from talkup_client.media_file import RAW_PCM, MediaFile, identify

SECOND = np.zeros(16_000, dtype=np.int16)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "subtype", "mime"),
    [
        ("a.wav", "PCM_16", "audio/wav"),
        ("a.flac", "PCM_16", "audio/flac"),
        ("a.ogg", "OPUS", "audio/ogg;codecs=opus"),
        ("a.mp3", "MPEG_LAYER_III", "audio/mpeg"),
    ],
)
def test_real_files_are_known_and_timed(tmp_path: Path, name: str, subtype: str, mime: str) -> None:
    path = tmp_path / name
    soundfile.write(path, np.tile(SECOND, 2), 16_000, subtype=subtype)
    media = identify(path.rename(tmp_path / "without-extension"))
    assert media.format == mime
    playing = duration.seconds(media)
    assert playing is not None
    assert playing == pytest.approx(2.0, abs=0.2)


def test_adpcm_is_timed_by_its_blocks(tmp_path: Path) -> None:
    """Encoders write into the header how many bytes a second they aimed at."""
    head = struct.pack("<HHIIHHHH", 2, 1, 16_000, 1, 256, 4, 2, 500)
    wav = b"RIFF\0\0\0\0WAVEfmt \x14\0\0\0" + head + b"data" + struct.pack("<I", 256 * 64) + bytes(256 * 64)
    assert duration.seconds(identify(write(tmp_path / "a.wav", wav))) == 2.0


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (b"FORM\0\0\0\x20AIFFCOMM", "audio/aiff"),
        (b"FORM\0\0\0\x20AIFCCOMM", "audio/aiff"),
        (b"FORM\0\0\0\x40AIFCCOMM\0\0\0\x26" + bytes(18) + b"sowt", "audio/aiff"),
        (b"caff\0\1\0\0", "audio/x-caf"),
        (b"caff\0\1\0\0desc" + bytes(16) + b"lpcm", "audio/x-caf"),
        (b"#!AMR\n\x3c", "audio/amr"),
        (b"#!AMR-WB\n", "audio/amr"),
        (b".snd\0\0\0\x18", "audio"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "audio/wav"),
        (b"OggS" + bytes(24) + b"\x01vorbis", "audio/ogg"),
        (b"OggS" + bytes(24) + b"\x7fFLAC", "audio/ogg"),
        (b"\xff\xfd\x90\x00", "audio/mpeg"),  # layer II
        (b"\xff\xf1\x50\x80\x01\x1f\xfc\0" * 2, "audio/aac"),  # frames of 8 bytes
        (b"\x1aE\xdf\xa3\x42\x82\x88matroska V_MPEG4/ISO/AVC A_AAC", "video/x-matroska"),
        (b"\x1aE\xdf\xa3\x42\x82\x88matroska A_FLAC", "audio/x-matroska"),
    ],
)
def test_what_workers_read_is_sent_as_it_is(tmp_path: Path, head: bytes, mime: str) -> None:
    assert identify(write(tmp_path / "a", head)).format == mime


@pytest.mark.parametrize(
    "head",
    [
        b"RIFF....AVI LIST",
        b"RIFF....WAVEfmt \x12\0\0\0\x61\x01" + bytes(16),  # Windows Media in a WAV
        b"FORM....AIFCCOMM\0\0\0\x26" + bytes(18) + b"ima4",
        b"caff\0\1\0\0desc" + bytes(16) + b"alac",
        b"\x1aE\xdf\xa3 V_MPEG4/ISO/AVC A_AC3",
        b"\xff\xf1\x50\x80\x01\x1f\xfc\0" + bytes(9),  # one frame of AAC is none
    ],
)
def test_what_no_worker_reads_is_not_sent(tmp_path: Path, head: bytes) -> None:
    with pytest.raises(UnsupportedFileError, match="thing"):
        identify(write(tmp_path / "thing", head))


def test_samples_are_samples_whatever_they_begin_with(tmp_path: Path) -> None:
    assert identify(write(tmp_path / "a.pcm", b"\xff\xff\x90\x00" * 9)).format == RAW_PCM


def entry(handler: bytes, kind: bytes) -> bytes:
    table = box(b"stsd", bytes(4) + struct.pack(">I", 1) + box(kind, bytes(28)))
    media = box(b"hdlr", bytes(8) + handler) + box(b"minf", box(b"stbl", table))
    return box(b"trak", box(b"mdia", media))


def test_an_mp4_whose_only_sound_no_worker_reads_is_not_sent(tmp_path: Path) -> None:
    def recording(*sounds: bytes) -> bytes:
        tracks = entry(b"vide", b"hvc1") + b"".join(entry(b"soun", kind) for kind in sounds)
        return box(b"ftyp", b"qt  ") + box(b"moov", tracks) + box(b"mdat", b"xx")

    with pytest.raises(UnsupportedFileError, match="thing"):
        identify(write(tmp_path / "thing", recording(b"ac-3")))
    assert identify(write(tmp_path / "a.mp4", recording(b"ac-3", b"mp4a"))).format == "video/mp4"


def test_raw_samples_are_known_by_their_extension(tmp_path: Path) -> None:
    media = identify(write(tmp_path / "a.s16le", b"\x01" * 64_000))
    assert (media.format, duration.seconds(media)) == (RAW_PCM, 2.0)


def test_webm_with_and_without_pictures(tmp_path: Path) -> None:
    cluster = b"\x1f\x43\xb6\x75\xff\xe7\x82\x03\xe8" + b"\xa3\x86\x81\x00\x64\x80xy" + b"\0" * 16
    sound = identify(write(tmp_path / "a.webm", b"\x1aE\xdf\xa3 A_OPUS" + cluster))
    picture = identify(write(tmp_path / "v.webm", b"\x1aE\xdf\xa3 V_VP8" + cluster))
    assert (sound.format, picture.format) == ("audio/webm;codecs=opus", "video/webm")
    assert duration.seconds(sound) == 1.1


def track(handler: bytes) -> bytes:
    return box(b"trak", box(b"mdia", box(b"hdlr", bytes(8) + handler)))


def test_mp4_streams_with_its_index_in_front_in_fragments_or_not(tmp_path: Path) -> None:
    head = box(b"ftyp", b"isom")
    fragmented = head + box(b"moov", box(b"mvex", b"")) + box(b"moof", b"")
    assert identify(write(tmp_path / "a.mp4", fragmented)).format == "audio/mp4"
    video = head + box(b"moov", track(b"soun") + track(b"vide") + box(b"mvex", b"")) + box(b"moof", b"")
    assert identify(write(tmp_path / "v.mp4", video)).format == "video/mp4"
    whole = head + box(b"moov", track(b"soun")) + box(b"mdat", b"xx")
    assert identify(write(tmp_path / "o.m4a", whole)) == MediaFile(tmp_path / "o.m4a", "audio/mp4", len(whole))


@pytest.mark.parametrize("content", [b"", b"plain text, nothing else", b"OggS" + b"\0" * 24 + b"Speex   "])
def test_other_files_are_refused_in_words(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UnsupportedFileError, match="thing"):
        identify(write(tmp_path / "thing", content))
    with pytest.raises(UnsupportedFileError, match="there is no such file"):
        identify(tmp_path / "missing.wav")


@given(st.binary(max_size=200))
def test_boxes_of_any_bytes_come_to_an_end(content: bytes) -> None:
    found = list(boxes(io.BytesIO(content), 0, len(content)))
    assert all(0 <= each.start <= each.end <= len(content) for each in found)


@given(
    st.sampled_from(
        [b"\x1aE\xdf\xa3", b"OggS" + b"\0" * 24 + b"OpusHead", b"fLaC", b"RIFF....WAVE", b"ID3", b"\xff\xfb\x90"]
    ),
    st.binary(max_size=300),
)
def test_broken_files_never_break_the_clock(tmp_path_factory: pytest.TempPathFactory, head: bytes, rest: bytes) -> None:
    path = write(tmp_path_factory.getbasetemp() / "broken", head + rest + b"\0")
    playing = duration.seconds(identify(path))
    assert playing is None or playing == playing


def test_a_wave_header_gives_the_exact_time(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(b"\0" * 48_000)
    assert duration.seconds(identify(path)) == 0.25


def test_tags_behind_the_samples_of_a_wave_file_are_no_sound(tmp_path: Path) -> None:
    format_ = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16)
    for declared, seconds in ((16_000, 0.5), (0, 0.75), (0xFFFFFFFF, 0.75)):
        samples = struct.pack("<4sI", b"data", declared) + bytes(16_000)
        content = b"RIFF" + bytes(4) + b"WAVE" + format_ + samples + bytes(8_000)
        assert duration.seconds(identify(write(tmp_path / "a.wav", content))) == seconds


async def test_a_file_that_goes_while_it_is_read_is_named(tmp_path: Path) -> None:
    media = identify(write(tmp_path / "gone.pcm", bytes(32_000)))
    media.path.unlink()
    for pieces in (sources.chunks(media, 1_000), sources.paced(media, asyncio.sleep)):
        with pytest.raises(UnreadableFileError, match=r"gone\.pcm can no longer be read"):
            await anext(pieces)


def test_a_folder_and_a_file_that_may_not_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="is a folder"):
        identify(tmp_path)
    with pytest.raises(UnreadableFileError, match="cannot be read: Not a directory"):
        identify(write(tmp_path / "plain", b"x") / "below")
