"""Segments, windows, cuts and encoder lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.stt.segmenter import Edge, Segmenter
from workers.stt.trim import boundaries, choose_trim
from workers.stt.tuning import FRAME, Tuning, samples
from workers.stt.window import AudioBuffer, VoiceTrack, encoder_frames
from workers.stt.words import Word


def test_speech_has_hysteresis() -> None:
    segmenter = Segmenter(0.5, 0.35, 2 * FRAME)
    edges = [segmenter.push(voice) for voice in (0.4, 0.5, 0.4, 0.3, 0.4, 0.6, 0.3, 0.45, 0.3, 0.1)]
    none = Edge.NONE
    assert edges == [none, Edge.SPEECH_STARTED, none, none, none, none, none, none, Edge.SPEECH_ENDED, none]


@given(st.lists(st.floats(0, 1), max_size=200))
def test_speech_begins_and_ends_in_turn(voices: list[float]) -> None:
    segmenter = Segmenter(0.5, 0.35, 3 * FRAME)
    edges = [edge for voice in voices if (edge := segmenter.push(voice)) is not Edge.NONE]
    assert edges == ([Edge.SPEECH_STARTED, Edge.SPEECH_ENDED] * len(edges))[: len(edges)]


@pytest.mark.parametrize(
    ("seconds", "frames"), [(0.5, 1000), (8, 1000), (8.01, 1100), (10, 1200), (20, 2200), (29, 3000)]
)
def test_the_encoder_length_is_a_function_of_the_audio(seconds: float, frames: int) -> None:
    assert encoder_frames(samples(seconds), Tuning()) == frames


@given(st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 60_000)), max_size=20))
def test_the_buffer_is_the_stream_from_its_start_on(moves: list[tuple[int, int]]) -> None:
    stream = np.empty(0, np.float32)
    buffer = AudioBuffer()
    for length, drop in moves:
        fresh = np.arange(len(stream), len(stream) + length, dtype=np.float32)
        stream = np.concatenate([stream, fresh])
        buffer.append(fresh)
        buffer.drop_before(drop)
        assert buffer.end == len(stream)
        np.testing.assert_array_equal(buffer.slice(buffer.start, buffer.end), stream[buffer.start :])


def test_the_buffer_refuses_what_it_does_not_hold() -> None:
    buffer = AudioBuffer(100)
    buffer.append(np.zeros(50, np.float32))
    with pytest.raises(ValueError, match="outside"):
        buffer.slice(99, 120)
    with pytest.raises(ValueError, match="outside"):
        buffer.slice(120, 151)


def track(voices: list[float]) -> VoiceTrack:
    result = VoiceTrack()
    for voice in voices:
        result.append(voice)
    return result


def test_the_quietest_place_is_found_near_a_position() -> None:
    voices = [1.0] * 100
    voices[49] = voices[50] = voices[51] = 0.1
    known = track(voices)
    assert known.quietness(50 * FRAME) == pytest.approx(0.1, abs=0.01)
    assert known.quietness(90 * FRAME) == pytest.approx(1.0)
    assert known.quietness(98 * FRAME) == 1.0, "frames to come are not known"
    assert known.quietest(52 * FRAME) // FRAME == 51
    assert known.pause_in(20 * FRAME, 90 * FRAME) // FRAME in range(46, 55)
    known.drop_before(40)
    assert known.quietest(52 * FRAME) // FRAME == 51
    assert VoiceTrack(known.first, known.levels()).quietest(52 * FRAME) == known.quietest(52 * FRAME)


def spoken(count: int, length: int) -> list[Word]:
    return [Word(f" w{index}", index * length, (index + 1) * length) for index in range(count)]


def test_a_window_is_cut_in_the_pause_between_committed_words() -> None:
    length = samples(0.64)
    words = spoken(12, length)
    voices = [1.0] * (12 * length // FRAME)
    voices[8 * 20 - 1 : 8 * 20 + 2] = [0.05] * 3
    trim = choose_trim(boundaries(words[:10], words), track(voices), (0, 12 * length), 0.35)
    assert trim is not None
    count, cut = trim
    assert count == 8
    assert abs(cut - 8 * length) < samples(0.1)


def test_without_a_pause_a_window_is_cut_only_when_it_must_be() -> None:
    words = spoken(12, samples(0.64))
    loud, whole = track([1.0] * 240), (0, 12 * samples(0.64))
    places = boundaries(words[:10], words)
    assert choose_trim(places, loud, whole, 0.35) is None
    trim = choose_trim(places, loud, whole, None)
    assert trim is not None
    assert 3 <= trim[0] <= 10
    assert choose_trim(places[:1], loud, whole, None) is None


def test_a_window_keeps_a_second_of_audio_before_its_end() -> None:
    """The quietest place lies before the last word; one word before a pause would be alone in the new window."""
    length = samples(0.64)
    words = spoken(12, length)
    voices = [1.0] * 240
    voices[11 * 20 - 1 : 11 * 20 + 2] = [0.0] * 3
    voices[9 * 20 - 1 : 9 * 20 + 2] = [0.2] * 3
    trim = choose_trim(boundaries(words, words), track(voices), (0, 12 * length), 0.35)
    assert trim is not None
    assert trim[0] == 9
    later = choose_trim(boundaries(words, words), track(voices), (0, 12 * length + samples(0.5)), 0.35)
    assert later is not None
    assert later[0] == 11


def test_boundaries_follow_the_newest_hypothesis() -> None:
    committed = [Word(" a", 90, 190), Word(" b", 190, 305), Word(" c", 310, 390)]
    hypothesis = [Word(" a", 100, 200), Word(" x", 200, 300), Word(" c", 320, 400)]
    assert boundaries(committed, [*hypothesis, Word(" d", 420, 500)]) == [200, 310, 410]
    assert boundaries(committed, hypothesis) == [200, 310, 0], "the last word may have been given what was not heard"
    assert boundaries(committed, hypothesis[:1]) == [0, 0, 0], "words that it leaves out may not be cut off"
    assert boundaries(committed, []) == [0, 0, 0]
