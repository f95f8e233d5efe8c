"""Loudness against FFmpeg's `ebur128`, an implementation of its own, and against the standard's reference tone."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.filter import Graph
from numpy.typing import NDArray

from bench.corpus import OWN_CLIPS, read_audio
from tests.unit.workers.delivery.sounds import RATE, contour, hops_of, noise, voice
from workers.delivery.loudness import SHORT_TERM_HOPS, SpeechLoudness, lufs, short_term


def ebur128(sound: NDArray[np.float32]) -> list[tuple[float, float]]:
    """Seconds and short-term loudness, every 100 ms, as FFmpeg measures them."""
    graph = Graph()
    source = graph.add_abuffer(format="flt", sample_rate=RATE, layout="mono", time_base=f"1/{RATE}")
    meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(sound[None], format="flt", layout="mono")
    frame.sample_rate, frame.pts = RATE, 0
    graph.push(frame)
    graph.push(None)
    measured = []
    while True:
        try:
            heard = graph.pull()
        except (av.error.EOFError, av.error.BlockingIOError):
            return measured
        assert isinstance(heard, av.AudioFrame)
        if "lavfi.r128.S" in heard.metadata:  # Not in a last piece of less than 100 ms.
            end = (heard.pts + heard.samples) / heard.sample_rate
            measured.append((end, float(heard.metadata["lavfi.r128.S"])))


@pytest.mark.parametrize("gain_db", [-24, -12, 0, 6])
def test_short_term_loudness_is_that_of_ffmpeg(gain_db: float) -> None:
    sound = read_audio(OWN_CLIPS / "interview.ogg") * np.float32(10 ** (gain_db / 20))
    power = hops_of(sound).power
    compared = 0
    for end, expected in ebur128(sound):
        at = round(end * 50)
        if SHORT_TERM_HOPS <= at <= len(power) and expected > -60:
            found = short_term(power[:at])
            assert found == pytest.approx(expected, abs=0.1)
            compared += 1
    assert compared > 100


def test_the_reference_tone() -> None:
    """A sine of 997 Hz at full scale reads -3.01 LKFS in one channel (BS.1770); K-weighting gives it its 0.691 dB."""
    tone = np.sin(2 * np.pi * 997 * np.arange(4 * RATE) / RATE).astype(np.float32)
    assert short_term(hops_of(tone).power) == pytest.approx(-3.01, abs=0.05)


def test_pauses_do_not_make_a_speaker_softer() -> None:
    spoken = voice(contour(120, 4))
    power = hops_of(np.concatenate([spoken, np.zeros(4 * RATE, np.float32)])).power
    speech = np.arange(len(power)) < len(power) // 2
    whole = SpeechLoudness()
    whole.add(power, speech)
    assert whole.lufs == pytest.approx(lufs(float(power[:200].mean())), abs=1e-9)
    assert lufs(float(power.mean())) == pytest.approx(whole.lufs - 3.01, abs=0.05)


def test_two_stretches_add_up() -> None:
    power = hops_of(noise(2, 0.05)).power
    parts, whole = SpeechLoudness(), SpeechLoudness()
    parts.add(power[:30], np.ones(30, np.bool_))
    parts.add(power[30:], np.ones(len(power) - 30, np.bool_))
    whole.add(power, np.ones(len(power), np.bool_))
    assert parts.lufs == pytest.approx(whole.lufs, abs=1e-9)


@pytest.mark.parametrize("power", [0.0, -1.0, 1e-9, float("nan"), float("inf")])
def test_what_is_no_sound_has_no_loudness(power: float) -> None:
    assert lufs(power) is None


def test_too_little() -> None:
    assert short_term(np.full(SHORT_TERM_HOPS - 1, 0.01)) is None
    assert short_term(np.full(SHORT_TERM_HOPS, 0.01)) == pytest.approx(-20.691)
    assert SpeechLoudness().lufs is None
