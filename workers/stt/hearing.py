"""What one stream has heard: its audio, how much voice each frame holds, and how noisy the place is.

Frames are heard in order, one at a time, on media time. The voice detector runs some frames ahead; its memory is saved
with the frames, so that another worker continues exactly where this one stands.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from workers.delivery.listener import SoundListener
from workers.stt.decode_job import StreamOptions
from workers.stt.noise import NoiseMeter
from workers.stt.segmenter import Edge, Segmenter
from workers.stt.state import RecognizerState
from workers.stt.tuning import FRAME, Tuning, samples
from workers.stt.vad import VadState, VoiceDetector
from workers.stt.window import AudioBuffer, VoiceTrack

_VAD_SLICE = 8 * FRAME


@dataclass(frozen=True, slots=True)
class HeardFrame:
    """A frame from `begin` to `end`, samples, with its voice probability and the edge of speech at it."""

    begin: int
    end: int
    voice: float
    edge: Edge | None


class Hearing:
    """Takes audio, gives frames. `voiced_at` is the end of the last frame that surely held a voice, samples.

    `listener`: hears every frame, too, if delivery is measured.
    """

    def __init__(
        self,
        detect_voice: VoiceDetector,
        tuning: Tuning,
        options: StreamOptions,
        state: RecognizerState,
        listener: SoundListener | None = None,
    ) -> None:
        self.audio = AudioBuffer(state.replay_from)
        self.track = VoiceTrack(state.track_first, state.track)
        self.segmenter = Segmenter(
            tuning.voice_on,
            tuning.voice_off,
            options.endpointing or samples(tuning.endpointing),
            state.speaking,
            state.silence,
            state.spoken,
        )
        self.noise = NoiseMeter(tuning.voice_on, tuning.voice_off, *state.noise)
        self.frame = state.frame
        self.voiced_at = state.heard_at
        self._detect_voice = detect_voice
        self._tuning = tuning
        self._options = options
        memory = VadState.unpack(state.vad, state.vad_silent) if state.vad else VadState.fresh()
        self._vad_saved = deque([(state.vad_frame, memory)])
        self._vad_frame = state.vad_frame
        self._voices: deque[float] = deque()
        self._listener = listener

    @property
    def position(self) -> int:
        """End of the audio heard, samples."""
        return min(self.frame * FRAME, self.audio.end)

    @property
    def noisy(self) -> bool:
        """Whether speech hardly stands above its background: the voice detector misses words there."""
        above = self.noise.above()
        return above is not None and above < self._tuning.noisy_below

    @property
    def silence(self) -> int:
        """Samples of silence since speech was last heard; none where it is noisy."""
        return 0 if self.noisy else self.segmenter.silence

    def saved_vad(self) -> tuple[int, VadState]:
        """The newest memory of the voice detector that is not ahead of the frames heard; older ones are forgotten."""
        while len(self._vad_saved) > 1 and self._vad_saved[1][0] <= self.frame:
            self._vad_saved.popleft()
        return self._vad_saved[0]

    def saved(self) -> dict[str, Any]:
        """The fields of `RecognizerState` with which another worker continues."""
        vad_frame, vad = self.saved_vad()
        noise = self.noise
        return {
            "frame": self.frame,
            "track_first": self.track.first,
            "track": self.track.levels(),
            "vad_frame": vad_frame,
            "vad": vad.pack(),
            "vad_silent": vad.silent,
            "speaking": self.segmenter.speaking,
            "silence": self.segmenter.silence,
            "spoken": self.segmenter.spoken,
            "heard_at": self.voiced_at,
            "noise": (noise.voiced, noise.voiced_frames, noise.quiet, noise.quiet_frames),
        }

    def next_frame(self) -> HeardFrame | None:
        """Hear the next frame; None: there is no whole one yet."""
        if not self._voices and not self._detect():
            return None
        voice = self._voices.popleft()
        begin = self.frame * FRAME
        self.frame += 1
        end = begin + FRAME
        self.track.append(voice)
        self.noise.push(self.audio.slice(begin, end), voice)
        self.segmenter.endpointing = self._endpointing()
        edge = self.segmenter.push(voice)
        if voice >= self._tuning.voice_on:
            self.voiced_at = end
        if self._listener is not None:
            self._listener.listen(self.audio, self.track, end)
        return HeardFrame(begin, end, voice, edge)

    def forget_before(self, position: int) -> None:
        """Drop audio and voices that nobody needs any more."""
        kept = min(position, self.saved_vad()[0] * FRAME)
        self.audio.drop_before(kept if self._listener is None else min(kept, self._listener.needs_from))
        self.track.drop_before(position // FRAME - _VAD_SLICE // FRAME)

    def voiced_since(self, position: int) -> int:
        """Samples of frames with speech from a position on."""
        voices = self.track.between(-(-position // FRAME), self.frame)
        return int((voices >= self._tuning.voice_on).sum()) * FRAME

    def _detect(self) -> bool:
        """Get the voice probabilities of the next frames; False: there is no whole frame."""
        while not self._voices:
            start = self._vad_frame * FRAME
            count = min(_VAD_SLICE, self.audio.end - start) // FRAME
            if count <= 0:
                return False
            _, memory = self._vad_saved[-1]
            voices, memory = self._detect_voice(self.audio.slice(start, start + count * FRAME), memory)
            seen = max(0, self.frame - self._vad_frame)
            self._voices.extend(float(voice) for voice in voices[seen:])
            self._vad_frame += count
            self._vad_saved.append((self._vad_frame, memory))
            self.saved_vad()
        return True

    def _endpointing(self) -> int:
        """Silence that ends a segment, samples: the client's choice, else by how noisy the place is."""
        if self._options.endpointing is not None:
            return self._options.endpointing
        return samples(self._tuning.noisy_endpointing if self.noisy else self._tuning.endpointing)
