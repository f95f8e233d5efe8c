"""Real sound through the listener: the same bits wherever it is cut and committed, and after a move at any commit."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from talkup.v1 import analysis_pb2, error_pb2, media_pb2

from tests.unit.workers.delivery.blocks import copied, evenly, frames_of, windows_of
from tests.unit.workers.delivery.sounds import voice
from workers.chunk import Chunk
from workers.delivery.acoustics import BLOCK, SAMPLE_RATE
from workers.delivery.listener import VOICE_FRAME
from workers.delivery.options import SIGNALS
from workers.delivery.state import DeliveryState
from workers.delivery.stream import DeliveryStream, open_delivery
from workers.delivery.words import SpokenWord
from workers.engine import EngineError
from workers.media.decoder import AudioDecoder
from workers.stt.tuning import FRAME
from workers.stt.window import AudioBuffer, VoiceTrack

CLIP = Path("tests/data/speech/interview.ogg")
TEXT = "My name is Anna. I I have worked for seven years in a hospital, and now I want to, I want to lead a team."

EVERYTHING = analysis_pb2.DeliveryOptions(signals=SIGNALS)

Messages = list[analysis_pb2.Analysis]


@cache
def sound() -> NDArray[np.float32]:
    """16 s of speech, then 3.3 s of silence, then 9 s of it again."""
    decoder = AudioDecoder(media_pb2.MediaFormat(container=media_pb2.CONTAINER_OGG))
    speech = np.concatenate([decoder.decode(Chunk(0, CLIP.read_bytes())), decoder.finish()])
    return np.concatenate([speech, np.zeros(52_800, np.float32), speech[: 9 * SAMPLE_RATE]])


WORDS = evenly(TEXT, 300, 15_800) + evenly(TEXT, 19_600, 28_000)


class Hearer:
    """One worker's ears: audio from a sample on, voices where it is loud, and the stream's delivery."""

    def __init__(self, state: DeliveryState | None = None, audio_from: int = 0) -> None:
        self.delivery: DeliveryStream = open_delivery(EVERYTHING, state, words=True)
        self.audio = AudioBuffer(audio_from)
        self.track = VoiceTrack(audio_from // FRAME)

    def hear(self, until: int, step: int) -> None:
        """Take audio up to a sample in pieces of `step`, and hear what makes whole frames."""
        while self.audio.end < until:
            self.audio.append(sound()[self.audio.end : min(until, self.audio.end + step)])
            while (self.track.end + 1) * FRAME <= self.audio.end:
                frame = sound()[self.track.end * FRAME : (self.track.end + 1) * FRAME]
                self.track.append(min(1.0, float(np.abs(frame).max()) * 20))
                self.delivery.listener.listen(self.audio, self.track, self.track.end * FRAME)
            self.audio.drop_before(self.delivery.listener.needs_from)


def measured(
    commits: Sequence[int], *, step: int = 3_200, ahead: int = 0, move_at: frozenset[int] = frozenset()
) -> Messages:
    """All messages of a stream committed at these samples, heard `ahead` of them, and moved at some of the commits."""
    hearer, found, said = Hearer(), [], 0
    for commit in commits:
        hearer.hear(min(len(sound()), commit + ahead), step)
        ended = sum(16 * word.start_ms < commit for word in WORDS)  # no commit falls into a word
        hearer.delivery.say(WORDS[said:ended], "en")
        said = ended
        needed = hearer.delivery.needs_from(commit)
        found += hearer.delivery.advance(commit)
        if commit in move_at:
            hearer = Hearer(copied(hearer.delivery.state), needed)
    hearer.hear(len(sound()), step)
    hearer.delivery.say(WORDS[said:], "en")
    return [*found, *hearer.delivery.finish(len(sound()))]


@cache
def undisturbed() -> Messages:
    return measured([])


def commits_of(seed: int, count: int) -> list[int]:
    return sorted(random.Random(seed).sample(range(len(sound())), count))


def test_the_clip_gives_frames_windows_and_every_measure() -> None:
    messages = undisturbed()
    assert len(frames_of(messages)) == len(sound()) // SAMPLE_RATE
    first, second = windows_of(messages)
    for name in ("words_per_minute", "articulation_rate", "loudness_lufs", "pitch_hz", "pitch_spread_semitones"):
        assert first.HasField(name)
    assert -40 < first.loudness_lufs.value < -10
    assert 60 < first.pitch_hz.value < 400
    assert 3_300 <= second.pause_longest_ms.value <= 4_500  # the clip's own silences stand around it


@pytest.mark.parametrize("seed", range(3))
def test_the_same_bits_however_the_sound_is_cut_and_committed(seed: int) -> None:
    rng = random.Random(seed)
    commits = commits_of(seed, 12)
    assert measured(commits, step=rng.randrange(200, 40_000), ahead=rng.randrange(80_000)) == undisturbed()


def test_the_same_bits_after_a_move_at_20_random_commits() -> None:
    commits = commits_of(7, 60)
    for commit in random.Random(8).sample(commits, 20):
        assert measured(commits, ahead=30_000, move_at=frozenset([commit])) == undisturbed()
    assert measured(commits, ahead=30_000, move_at=frozenset(commits)) == undisturbed()


@pytest.mark.parametrize(("signals", "count"), [([], None), (["filled_pauses"], 1)])
def test_a_held_vowel_that_no_word_covers_is_a_filled_pause_if_asked(signals: list[str], count: int | None) -> None:
    vowel = voice(np.full(SAMPLE_RATE // 2, 120.0))
    quiet = np.zeros(SAMPLE_RATE, np.float32)
    heard = np.concatenate([quiet, vowel, quiet, quiet]).astype(np.float32)
    audio, track = AudioBuffer(), VoiceTrack()
    delivery = open_delivery(analysis_pb2.DeliveryOptions(signals=signals), None, words=True)
    audio.append(heard)
    for first in range(0, len(heard) - FRAME, FRAME):
        track.append(float(np.abs(heard[first : first + FRAME]).max() > 0))
    delivery.listener.listen(audio, track, track.end * FRAME)
    delivery.say([SpokenWord("no", 200, 500)], "en")
    whole = delivery.finish(len(heard))[-1].delivery.summary.whole
    assert whole.HasField("filled_pauses") == (count is not None)
    assert whole.filled_pauses.value == (count or 0)


def test_the_listener_needs_little_audio() -> None:
    hearer = Hearer()
    for begin, end in pairwise(range(0, len(sound()), 5_000)):
        hearer.hear(end, 5_000)
        assert hearer.audio.end - hearer.audio.start <= 5_000 + 2 * BLOCK, begin


def test_voice_frames_are_those_of_the_voice_detector() -> None:
    assert VOICE_FRAME == FRAME


@pytest.mark.parametrize(
    ("capture", "received", "origin"), [(50_000, 60_000, 49_000), (None, 60_000, 59_000), (None, None, None)]
)
def test_the_clock_began_when_the_first_chunk_says(
    capture: int | None, received: int | None, origin: int | None
) -> None:
    delivery = open_delivery(analysis_pb2.DeliveryOptions(), None, words=True)
    delivery.accept(Chunk(0, b"", capture_ms=capture, received_ms=received), SAMPLE_RATE)
    delivery.accept(Chunk(1, b"", capture_ms=99_999), 2 * SAMPLE_RATE)
    (message,) = delivery.finish(0)
    assert message.delivery.HasField("origin_unix_ms") == (origin is not None)
    assert message.delivery.origin_unix_ms == (origin or 0)


def test_a_stream_begun_without_delivery_is_measured_from_the_next_second_on() -> None:
    delivery = open_delivery(analysis_pb2.DeliveryOptions(), None, words=True, heard_from=40_000)
    assert delivery.state.base_ms == 3_000
    assert delivery.listener.needs_from >= 40_000


def test_unknown_signals_are_refused() -> None:
    with pytest.raises(EngineError) as refused:
        open_delivery(analysis_pb2.DeliveryOptions(signals=["pace", "mood"]), None, words=True)
    assert refused.value.code == error_pb2.ERROR_CODE_BAD_MESSAGE
    assert refused.value.field == "delivery.signals"


@pytest.mark.parametrize("block", [-1, -(10**9), 9, 0])
def test_a_state_that_needs_sound_from_before_is_refused(block: int) -> None:
    with pytest.raises(ValueError, match="sound from before"):
        open_delivery(EVERYTHING, DeliveryState(block=block), words=True, heard_from=BLOCK * 10)
