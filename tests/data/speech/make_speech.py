"""Makes interview.ogg: 16 kHz mono speech by espeak-ng with a pause, and its text. Run: python make_speech.py"""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).parent
SENTENCES = (
    "My name is Alice and I have worked as a software engineer for seven years.",
    "In my last position I was responsible for the payment service.",
    "We moved the whole system to a new data centre without losing a single order.",
)


def say(text: str) -> np.ndarray:
    """One sentence, 22,050 Hz from espeak-ng, brought to 16 kHz by linear interpolation."""
    wav = subprocess.run(["espeak-ng", "-v", "en-us", "-s", "150", "--stdout", text], check=True, capture_output=True)
    audio, rate = soundfile.read(io.BytesIO(wav.stdout), dtype="float32")
    times = np.arange(int(len(audio) * 16_000 / rate)) / 16_000
    return np.interp(times, np.arange(len(audio)) / rate, audio).astype(np.float32)


def main() -> None:
    """Two sentences in one breath, 1.5 s of silence, the third."""
    first, second, third = map(say, SENTENCES)
    short, long = np.zeros(4_800, np.float32), np.zeros(24_000, np.float32)
    audio = np.concatenate([short, first, short, second, long, third, short])
    soundfile.write(HERE / "interview.ogg", audio, 16_000, format="OGG", subtype="OPUS")
    (HERE / "interview.txt").write_text(" ".join(SENTENCES) + "\n")


if __name__ == "__main__":
    main()
