"""Damage that a container shows is found, and sound recordings are never called damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from talkup_client.integrity import damage
from talkup_client.media_file import MediaFile

SPEECH = Path(__file__).parents[2] / "data" / "speech" / "interview.ogg"
OGG, WEBM = "audio/ogg;codecs=opus", "audio/webm;codecs=opus"
UNKNOWN = b"\x01" + b"\xff" * 7


def look(path: Path, content: bytes, format_: str) -> str:
    path.write_bytes(content)
    return damage(MediaFile(path, format_, len(content)))


def element(identifier: bytes, body: bytes) -> bytes:
    return identifier + struct.pack(">Q", 1 << 56 | len(body)) + body


def cluster(number: int, *, live: bool) -> bytes:
    blocks = b"".join(element(b"\xa3", b"\x81" + struct.pack(">h", 20 * n) + b"\x80" + bytes(90)) for n in range(5))
    body = element(b"\xe7", struct.pack(">I", 100 * number)) + blocks
    return b"\x1f\x43\xb6\x75" + UNKNOWN + body if live else element(b"\x1f\x43\xb6\x75", body)


def webm(*, live: bool) -> bytes:
    tracks = element(b"\x16\x54\xae\x6b", bytes(60))
    clusters = [cluster(number, live=live) for number in range(4)]
    head = element(b"\x1aE\xdf\xa3", bytes(20)) + b"\x18\x53\x80\x67" + UNKNOWN
    return head + element(b"\xec", bytes(9)) + tracks + b"".join(clusters)


@pytest.mark.parametrize("live", [False, True])
def test_sound_webm_is_whole_also_when_its_recorder_began_again(tmp_path: Path, live: bool) -> None:
    assert look(tmp_path / "a", webm(live=live), WEBM) == ""
    assert look(tmp_path / "a", webm(live=live) * 2, WEBM) == ""
    assert look(tmp_path / "a", webm(live=live) + b"\xa3", WEBM) == ""


@pytest.mark.parametrize("live", [False, True])
def test_webm_that_lacks_bytes_is_damaged(tmp_path: Path, live: bool) -> None:
    whole = webm(live=live)
    assert "damaged at byte" in look(tmp_path / "a", whole[:400] + whole[450:], WEBM)
    assert "damaged at byte" in look(tmp_path / "a", whole[:-30], WEBM)
    assert "damaged at byte" in look(tmp_path / "a", whole[:300] + bytes(50) + whole[300:], WEBM)


def test_real_ogg_is_whole_and_any_flipped_byte_is_found(tmp_path: Path) -> None:
    whole = SPEECH.read_bytes()
    assert look(tmp_path / "a", whole, OGG) == ""
    for at in range(0, len(whole), 997):
        flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        assert look(tmp_path / "a", flipped, OGG).startswith("the recording is damaged at byte"), at


def test_a_lost_page_is_found_and_recordings_in_a_row_are_not_lost_pages(tmp_path: Path) -> None:
    whole = SPEECH.read_bytes()
    pages = [b"OggS" + page for page in whole.split(b"OggS")[1:]]
    assert "damaged at byte" in look(tmp_path / "a", b"".join(pages[:4] + pages[5:]), OGG)
    assert look(tmp_path / "a", whole * 2, OGG) == ""


def test_mp4_that_ends_within_a_box_or_holds_none_is_damaged(tmp_path: Path) -> None:
    whole = b"".join(
        struct.pack(">I4s", 8 + size, kind) + bytes(size) for kind, size in ((b"ftyp", 8), (b"moof", 40), (b"mdat", 90))
    )
    assert look(tmp_path / "a", whole, "audio/mp4") == ""
    assert look(tmp_path / "a", whole + struct.pack(">I4s", 0, b"mdat") + bytes(9), "audio/mp4") == ""
    assert "damaged at byte 64 of 152" in look(tmp_path / "a", whole[:-10], "audio/mp4")
    assert "damaged at byte 16 of 156" in look(tmp_path / "a", whole[:16] + whole[22:], "audio/mp4")


def test_other_formats_show_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(1000, np.int16), 16_000)
    assert damage(MediaFile(path, "audio/wav", path.stat().st_size)) == ""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    head=st.sampled_from([b"", b"\x1aE\xdf\xa3", b"OggS\0", b"\x1f\x43\xb6\x75", b"\0\0\0\1ftyp"]),
    rest=st.binary(max_size=120),
)
def test_any_bytes_come_to_an_end(tmp_path: Path, head: bytes, rest: bytes) -> None:
    for format_ in (OGG, WEBM, "video/mp4"):
        assert isinstance(look(tmp_path / "any", head + rest, format_), str)
