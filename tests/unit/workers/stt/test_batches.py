"""Which requests share a batch, and at which length of text a batch stops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from workers.stt.hypothesis import DecodeRequest, is_unusable
from workers.stt.tuning import SAMPLE_RATE, Tuning
from workers.stt.window import encoder_frames


def live(seconds: float) -> DecodeRequest:
    """A window of a live stream."""
    length = round(seconds * SAMPLE_RATE)
    return DecodeRequest(np.zeros(length, np.float32), encoder_frames(length, Tuning()), 5, "en")


def whole(seconds: float) -> DecodeRequest:
    """The same at the encoder's full length."""
    return DecodeRequest(np.zeros(round(seconds * SAMPLE_RATE), np.float32), 3_000, 5, "en")


def test_windows_of_one_encoder_length_share_batches() -> None:
    for tenths in range(5, 200):
        one, other = live(tenths / 10), live(tenths / 10 + 0.1)
        assert (one.batch_key == other.batch_key) == (one.encoder_frames == other.encoder_frames), tenths
    assert len({whole(seconds).batch_key for seconds in (20.5, 24, 28)}) == 1, "windows of recordings"


def test_a_text_may_be_as_long_in_any_company() -> None:
    short, long = whole(2.0), whole(19.0)
    assert short.longest_text < long.longest_text
    assert short.batch_key != long.batch_key, "the batch would stop at one length for both"


def test_nobody_says_more_than_a_text_may_hold() -> None:
    for seconds in range(1, 29):
        assert whole(seconds).longest_text >= 8 * seconds + 24


def test_an_interim_stops_where_its_text_is_of_no_use() -> None:
    for tenths in range(5, 200):
        step = live(tenths / 10)
        interim = replace(step, align=False)
        assert interim.longest_text <= step.longest_text
        if interim.longest_text < step.longest_text:
            assert is_unusable("no", interim.longest_text, tenths / 10, -0.1, 0.0), tenths
    assert replace(live(0.7), align=False).longest_text < 25
