"""Sounds for the benchmark of filled pauses: synthetic "um" and "euh", and sounds that only resemble them.

Three kinds: harmonics under formants, espeak-ng's voices where it is installed, and vowels of the clip's own speaker,
drawn out. None of them is a person who thinks aloud. Formant frequencies are those that textbooks of phonetics give
for a central vowel, for a rounded front vowel (French "euh"), and for a nasal murmur.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.corpus import SAMPLE_RATE, read_audio
from bench.delivery.stretching import stretched

Audio = NDArray[np.float32]

FORMANTS = {
    "uh": ((620, 80), (1220, 90), (2550, 120), (3500, 180)),
    "er": ((480, 70), (1350, 90), (1750, 110), (3300, 180)),
    "euh": ((420, 60), (1450, 90), (2350, 120), (3400, 180)),
    "mm": ((260, 60), (1050, 200), (2200, 250), (3000, 300)),
    "ah": ((750, 90), (1250, 100), (2600, 130), (3500, 180)),
}
"""Frequency and bandwidth of formants, Hz, of a man's voice."""

HUMMED = {"en": ("uh", "um", "er", "mm"), "fr": ("euh", "euhm", "mm")}
"""What speakers of a language fill pauses with, by the formants above; "um" and "euhm" end in a murmur."""

SPOKEN_FILLERS = {"en": ("um", "uh", "er", "erm"), "fr": ("euh", "heu", "euhm", "hum")}
SPOKEN_WORDS = {
    "en": ("so", "well", "now", "far", "please", "all", "more", "true"),
    "fr": ("bon", "donc", "alors", "oui", "non", "tout", "jour", "voilà"),
}
"""Real words with a vowel that can be drawn out, for espeak-ng: hard negatives."""

SCHWA_WORDS = {
    "en": frozenset({"a", "the", "of", "but", "was"}),
    "fr": frozenset({"de", "le", "que", "je", "ce", "se", "ne"}),
}
"""Short words with the vowel of a filled pause, from which a clip's own speaker lends a voice to one."""

VARIANTS = ("f2", "f3", "f5", "m1", "m3", "m5", "m7")


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """A sound to splice in: `kind` names what it is, `filler` says whether a finder should report it."""

    kind: str
    filler: bool
    audio: Audio


def has_espeak() -> bool:
    """Whether espeak-ng is installed."""
    return shutil.which("espeak-ng") is not None


def hummed(name: str, pitch: float, seconds: float, rng: np.random.Generator, *, size: float = 1.0) -> Audio:
    """A filled pause of harmonics under formants: nearly level, with the small drift and jitter of a voice.

    `pitch` is in Hz; `size` scales the formants (1.15 or so is a woman's vocal tract).
    """
    count = int(seconds * SAMPLE_RATE)
    place = np.linspace(0, 1, count)
    drift = -rng.uniform(0, 1.2) * place + 0.15 * np.cumsum(rng.normal(0, 1, count)) / np.sqrt(count)
    f0 = pitch * 2 ** ((drift + 0.12 * np.sin(2 * np.pi * rng.uniform(4, 6) * place * seconds)) / 12)
    start, end = {"um": ("uh", "mm"), "euhm": ("euh", "mm")}.get(name, (name, name))
    turn = np.clip((place - rng.uniform(0.45, 0.65)) / 0.12 + 0.5, 0, 1) if start != end else np.zeros(count)
    sound = (1 - turn) * voiced(f0, start, size, rng) + 0.6 * turn * voiced(f0, end, size, rng)
    return _faded(_levelled(sound), 0.03)


def spoken(text: str, language: str, rng: np.random.Generator) -> Audio:
    """A word or phoneme string said slowly by espeak-ng, in a voice and pitch drawn by `rng`; silence is cut away."""
    voice = f"{'en-us' if language == 'en' else language}+{rng.choice(VARIANTS)}"
    pitch, speed = str(int(rng.integers(25, 70))), str(int(rng.integers(80, 120)))
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder, "said.wav")
        marked = f'<prosody range="{rng.integers(10, 60)}%">{text}</prosody>'
        command = ["espeak-ng", "-m", "-v", voice, "-p", pitch, "-s", speed, "-w", str(said), marked]
        subprocess.run(command, capture_output=True, check=True, timeout=30)
        audio = read_audio(said)
    loud = np.flatnonzero(np.abs(audio) > 0.02 * np.abs(audio).max())
    return _faded(_levelled(audio[loud[0] : loud[-1]]), 0.015)


def drawn_out(audio: Audio, seconds: float) -> Audio:
    """A filled pause in the speaker's own voice: the loudest 90 ms of a short word's audio, stretched to `seconds`."""
    count = int(0.09 * SAMPLE_RATE)
    power = np.convolve(np.square(audio, dtype=np.float64), np.ones(count), mode="valid")
    first = int(power.argmax()) if len(power) else 0
    piece = audio[first : first + count]
    return _faded(_levelled(stretched(piece, seconds * SAMPLE_RATE / len(piece))), 0.03)


def laughter(pitch: float, rng: np.random.Generator) -> Audio:
    """Something like laughter: breathy bursts of "ah", four to five a second, falling in pitch."""
    bursts = []
    for number in range(int(rng.integers(3, 6))):
        f0 = np.full(int(0.11 * SAMPLE_RATE), pitch * 1.5 * 0.94**number)
        burst = _levelled(voiced(f0, "ah", 1.1, rng)) + 0.5 * rng.normal(0, 1, len(f0))
        breath = 0.2 * rng.normal(0, 1, int(0.11 * SAMPLE_RATE))
        bursts += [_faded(burst, 0.03), _faded(breath, 0.03)]
    return _levelled(np.concatenate(bursts))


def breath(rng: np.random.Generator) -> Audio:
    """Something like an intake of breath: noise that rises and falls, 0.4 to 0.9 s, softer than speech."""
    count = int(rng.uniform(0.4, 0.9) * SAMPLE_RATE)
    spectrum = np.fft.rfft(rng.normal(0, 1, count))
    frequency = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    shaped = np.fft.irfft(spectrum * np.exp(-(((frequency - 1500) / 1500) ** 2)), count)
    return (0.25 * _levelled(shaped * np.sin(np.linspace(0, np.pi, count)))).astype(np.float32)


def voiced(f0: NDArray[np.float64], name: str, size: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Harmonics of `f0` (Hz, by sample) under the formants of `name`, -6 dB an octave at source and lips, some breath.

    As in a voice, the formants move by some per cent, periods and their strengths jitter, and breath is 25 dB softer.
    """
    jittered = f0 * (1 + 0.008 * _wandering(len(f0), 80, rng))
    phase = 2 * np.pi * np.cumsum(jittered) / SAMPLE_RATE
    mean, moved = float(f0.mean()), 1 + rng.uniform(-0.06, 0.06)
    turn = np.linspace(0, 1, len(f0))
    sound = np.zeros(len(f0))
    for harmonic in range(1, int(5000 / mean) + 1):
        gain = (1 - turn) * _response(harmonic * mean, name, size)
        gain += turn * _response(harmonic * mean, name, size * moved)
        gain *= 1 + 0.1 * _wandering(len(f0), 800, rng)
        sound += gain / harmonic * np.sin(harmonic * phase + rng.uniform(0, 0.3))
    loudness = 10 ** (0.08 * _wandering(len(f0), 1600, rng))
    breathy = sound + 0.056 * sound.std() * rng.normal(0, 1, len(f0))
    return np.asarray(breathy * loudness, dtype=np.float64)


def _wandering(count: int, every: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Normal noise of which a new value comes each `every` samples, joined by lines."""
    knots = count // every + 2
    knots_at = np.arange(knots) * every
    return np.asarray(np.interp(np.arange(count), knots_at, rng.normal(0, 1, knots)), dtype=np.float64)


def _response(frequency: float, name: str, size: float) -> float:
    """Gain of a row of resonators at a frequency."""
    gain = 1.0
    for formant, width in FORMANTS[name]:
        centre = (size * formant) ** 2 + (width / 2) ** 2
        s = 2j * np.pi * frequency
        pole = np.pi * width
        gain *= abs((2 * np.pi) ** 2 * centre / (s**2 + 2 * pole * s + (2 * np.pi) ** 2 * centre))
    return gain


def _levelled(audio: NDArray[np.float64] | Audio) -> Audio:
    """Scaled to a mean square of 1."""
    power = float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
    return np.asarray(audio / max(power, 1e-9), dtype=np.float32)


def _faded(audio: NDArray[np.float64] | Audio, seconds: float) -> Audio:
    """With raised-cosine edges of `seconds`."""
    count = min(int(seconds * SAMPLE_RATE), len(audio) // 2)
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(count) / count)
    faded = np.array(audio, dtype=np.float32)
    faded[:count] *= ramp
    faded[-count:] *= ramp[::-1]
    return faded
