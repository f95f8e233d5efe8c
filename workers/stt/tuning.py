"""The constants of the streaming recogniser: each with the measurement that chose it.

Word error rates in percent, Whisper tiny.en int8, 3,863 words of English; offline reference 6.91.
"""

from __future__ import annotations

from dataclasses import dataclass

SAMPLE_RATE = 16_000
"""Samples a second of everything behind the decoder, mono float32."""

FRAME = 512
"""Samples of one voice-activity decision (32 ms), Silero's own size at 16 kHz."""


def samples(seconds: float) -> int:
    """Seconds in samples."""
    return round(seconds * SAMPLE_RATE)


def milliseconds(position: int) -> int:
    """A position in samples on the media clock, in whole milliseconds."""
    return max(0, position * 1000 // SAMPLE_RATE)


@dataclass(frozen=True, slots=True)
class Tuning:
    """Durations in seconds of media unless said otherwise."""

    step: float = 1.5
    """Between two hypotheses that commit (1.0: 7.46 against 7.02, and a third more work; 2.0: 7.22 and slower)."""

    sure: float = 0.85
    """Probability from which a word is final when it is first heard (0.5: 7.59 for 7.45; 0.95: 0.2 s later).

    Once the language is known: of words in a language guessed wrong the model may be as sure.
    """

    sure_age: float = 0.3
    """Audio behind such a word."""

    likely: float = 0.55
    """Probability from which a word is final when it is first heard with more audio behind it, or before silence.

    0.45: three errors of 3,000 words more and p95 0.2 s sooner; 0.65 and 0.75: as many errors, and later.
    """

    likely_age: float = 0.8
    """Audio behind such a word where no silence follows."""

    closing_silence: float = 0.25
    """Silence at a step after which its hypothesis is the segment's last one, unless a voice is heard later.

    A pause of this length brings the next step forward. Not where it is noisy (`noisy_below`): words that the voice
    detector misses would be lost.
    """

    pause_share: float = 0.35
    """Part of a step that must have passed before a pause brings the next one forward.

    With this and `closing_silence` a step falls into every silence of `endpointing`.
    """

    stretched_step: float = 4.0
    """Between two hypotheses that commit, under load (712 words: 4.0 errs in 63, 3.0 in 62, 1.5 in 59)."""

    overrun_step: float = 6.0
    """The same where no time of the threads is left (2,999 words: 6.0 errs in 220, 4.0 in 226)."""

    stretched_pause_share: float = 0.75
    """`pause_share` under load: fewer pauses bring a step forward; some segments need a hypothesis at their end."""

    held_share: float = 0.7
    """Part of a step after which the next one is due where the last one left a word undecided with `likely_age` behind.

    Such a word holds back all behind it (3,000 words: 1.0 errs in 217, commit p95 2.57 s; 0.7 in 218 and 2.24, for a
    twentieth more hypotheses). Under load, the whole step.
    """

    beam: int = 5
    """Of every hypothesis that commits (greedy: +0.41 [.03, .88])."""

    interim_beam: int = 1
    """Of extra interims, which change no final word: each takes a fifth less CPU than with a beam of 5 (AVX2)."""

    voice_on: float = 0.5
    """Probability that begins speech; a lower one takes an orchestra for speech."""

    voice_off: float = 0.35
    """Probability under which a frame counts as silence while speech lasts."""

    preroll: float = 0.4
    """Audio kept before the first frame of speech."""

    endpointing: float = 0.8
    """Silence that ends a segment (0.3: 7.97)."""

    noisy_endpointing: float = 1.5
    """The same where speech is hard to tell from its background."""

    noisy_below: float = 12.0
    """dB of speech above its background under which a place is noisy (clean recordings: 15 to 45)."""

    window: float = 10.0
    """Length from which a window is trimmed at a quiet place between committed words."""

    window_slack: float = 3.0
    """Beyond this much more it is trimmed at the best place there is, quiet or not."""

    window_limit: float = 20.0
    """Length at which a window without committed words is cut and decided."""

    quiet: float = 0.35
    """Voice probability under which a place counts as quiet enough to trim at."""

    encoder_floor: float = 10.0
    """Shortest encoder input; 5: 10.8, 8: 9.5, 10: 6.9, 30: 7.3."""

    encoder_room: float = 2.0
    """Encoder input beyond the audio's end; none: the decoder loops (84)."""

    encoder_grain: float = 1.0
    """Encoder lengths are whole multiples of it, so that streams share batches."""

    encoder_limit: float = 30.0
    """Whisper's own input length."""

    interim_first: float = 0.65
    """Window length of the first extra interim, 0.25 s after speech begins; 0.8: it is shown 0.12 s later."""

    first_window: float = 1.3
    """Length under which a window is heard with `first_floor` by interims: by the first one and its repetitions."""

    first_floor: float = 8.0
    """Their shortest encoder input: 84 ms of CPU instead of 95 with 10, and as many words right (0.72 for 0.70).

    With 6 and 4, one in five and one in two must be repeated for want of words (AVX-512 VNNI).
    """

    interim_retry: float = 0.2
    """Between extra interims while none of the window had a word yet."""

    interim_every: float = 0.5
    """Between extra interims while the machine is idle."""

    silence_progress: float = 1.0
    """Between two progress reports in silence."""

    real_speech: float = 0.25
    """With this much speech in a window, an empty transcript is doubted and the window decoded again at full length."""

    unheard_speech: float = 0.6
    """With this much speech after a window's last word, its last hypothesis is doubted and the window decoded again."""

    pause: float = 3.0
    """Time without a chunk after which speech counts as ended, beyond the media of the last chunk and `endpointing`."""

    cut_off: float = 0.15
    """Silence at the end of the audio received under which the last word counts as cut off there."""
