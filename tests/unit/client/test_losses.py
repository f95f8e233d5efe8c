"""What is said of media that was sent in vain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from talkup_client.events import Notice, StreamEnded
from talkup_client.losses import doubts, losses, shortfall
from talkup_client.media_file import RAW_PCM, MediaFile


def ended(media_seconds: float = 1.0, **totals: Any) -> StreamEnded:
    return StreamEnded("s", "", media_seconds, totals)


def test_every_kind_of_loss_is_a_line() -> None:
    notices = [Notice("s", "orphan_chunk", "media without its header"), Notice("s", "no_worker", "waiting")]
    totals = ended(missing_chunks=2, damaged_bytes=70, dropped={"overload": 1, "stale": 4, "corrupt": 3})
    assert losses(notices * 2, totals) == [
        "media without its header",
        "2 chunks were lost on the way",
        "70 bytes of the recording are damaged or missing: words or pictures may be missing there",
        "3 pictures were damaged or refused",
        "5 pictures were skipped: the worker could not keep up",
    ]
    assert losses([Notice("s", "gap", "chunks 3 to 4 are missing")], None) == ["chunks 3 to 4 are missing"]
    assert losses([], ended(missing_chunks=0, dropped={"corrupt": 0})) == []


def test_speech_without_words_is_a_doubt_and_no_loss() -> None:
    assert doubts(ended(speech_without_words_ms=2_440)) == ["2.4 s sound like speech but gave no words"]
    assert losses([], ended(speech_without_words_ms=2_440)) == []
    assert doubts(ended(speech_without_words_ms=0)) == doubts(ended(speech_without_words_ms="x")) == doubts(None) == []


ODD = st.sampled_from([None, "", "3", 1.5, [], [3], {}, {"corrupt": "3"}])


@given(st.dictionaries(st.sampled_from(["missing_chunks", "damaged_bytes", "dropped"]), ODD))
def test_odd_totals_are_no_losses(totals: dict[str, object]) -> None:
    assert losses([], ended(**totals)) == []


@pytest.mark.parametrize(
    ("format_", "decoded", "is_short"),
    [
        (RAW_PCM, 10.0, False),
        (RAW_PCM, 9.5, False),
        (RAW_PCM, 8.0, True),
        ("audio/mpeg", 1.0, False),
        ("video/webm", 1.0, False),
    ],
)
def test_a_recording_that_was_not_decoded_whole(tmp_path: Path, format_: str, decoded: float, is_short: bool) -> None:
    path = tmp_path / "talk.pcm"
    path.write_bytes(bytes(320_000))
    line = shortfall(MediaFile(path, format_, 320_000), ended(decoded))
    assert line == (f"only {decoded:.1f} s of 10.0 s could be decoded: the recording is damaged" if is_short else "")
    assert not shortfall(MediaFile(path, format_, 320_000), None)
