"""Somebody who speaks into a page's microphone: a stand-in for the device alone, not for the browser's sound system.

No browser but Chromium plays a file as its fake microphone. So the page's `getUserMedia` gives the sound of an
AudioContext that plays the clip, and from there on everything is the browser's own: the track, the recorder, the
AudioWorklet.
"""

from __future__ import annotations

import base64
import io
import wave
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.browser.drivers.browser import Browser, until

RATE: Final = 16_000
_BEFORE_S: Final = 0.5
_AFTER_S: Final = 2.0

STAND_IN: Final = """
navigator.mediaDevices.getUserMedia = async () => {
  const context = new AudioContext();
  await context.resume();
  const bytes = Uint8Array.from(atob(given[0]), (letter) => letter.charCodeAt(0));
  const source = new AudioBufferSourceNode(context, { buffer: await context.decodeAudioData(bytes.buffer) });
  const microphone = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
  source.connect(microphone);
  source.onended = () => (window.spoken = true);
  // The context lives as long as what refers to it.
  window.speaker = { context, source, microphone };
  source.start();
  return microphone.stream;
};
"""


def _wav(samples: NDArray[np.float32]) -> str:
    """The clip between two silences, as a WAV file in base64."""
    before, after = (np.zeros(round(seconds * RATE), np.float32) for seconds in (_BEFORE_S, _AFTER_S))
    whole = np.clip(np.concatenate([before, samples, after]), -1, 1)
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes((whole * 32_767).astype("<i2").tobytes())
    return base64.b64encode(file.getvalue()).decode()


async def stand_in(browser: Browser, samples: NDArray[np.float32]) -> None:
    """Give the loaded page a microphone into which the samples (16 kHz, mono) are said once it is opened."""
    await browser.run(STAND_IN, _wav(samples))


async def until_spoken(browser: Browser) -> None:
    """Wait until everything has been said."""
    await until(browser, "window.spoken")
