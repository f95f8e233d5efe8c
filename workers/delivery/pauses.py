"""Where speech pauses: a hop is speech where a voice is near and the sound stands above its background.

The voice detector alone sees the end of speech 40 ms late in quiet and 50 to 100 ms late in noise, and its frames are
32 ms long; the level alone takes every sound for speech. Together: the level places the edges where it is quiet, and
the voice keeps soft speech that noise hides. After a silence the detector may wake up to half a second late: sound as
loud as speech that runs into what it hears belongs to it. Word times are not used: an alignment moves them by more than
the level does. `python -m bench.delivery --only truth` measures it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

HOP_MS: Final = 20
HOPS: Final = 5
"""Hops of a block."""

SHORTEST_PAUSE_MS: Final = 250
"""What is shorter is articulation: the closure of a plosive, a breath (Goldman-Eisler, 1968)."""

_HOP_SAMPLES: Final = 320
_VOICE_FRAME: Final = 512
_SHORTEST_PAUSE: Final = -(-SHORTEST_PAUSE_MS // HOP_MS)
_SHORTEST_SPEECH: Final = 2
"""Hops of speech in a row that end a pause; one is a click."""

_REACH: Final = HOPS
"""Hops to both sides within which a voice is near. Decisions lag behind by as many: one block."""

_VOICE: Final = 0.5
_SURE_VOICE: Final = 0.8
_SURE_SILENCE: Final = 0.1
_SPEECH_MEMORY: Final = 100
_FLOOR_MEMORY: Final = 50
"""Hops over which the levels of speech and of background are remembered: 2 s and 1 s."""

_BELOW_SPEECH_DB: Final = 20.0
"""Sound this much softer than speech does not count as speech, whatever the voice detector says: a breath, or an echo.

25 dB: F1 0.98 on clean clips and pauses of up to 0.5 s with a breath are missed; 20 dB: 1.00. Of voices that were not
used to choose it: 0.88 and 0.96.
"""
_SHARE: Final = 0.35
_LEAST_MARGIN_DB: Final = 4.0
_MOST_MARGIN_DB: Final = 8.0
_VOICED_MARGIN_DB: Final = 1.0
"""Where the detector hears a voice, what stands this little above the background is speech.

3 dB: F1 0.89 in white noise at 10 dB, where 1 dB gives 0.96."""

_LOOK_BACK: Final = 25
"""Hops before a voice that may belong to it: 500 ms."""
_BELOW_LATE_DB: Final = 15.0
"""How much softer than speech such sound may be."""
_LATE_CLOSURE: Final = 2
"""Softer hops within it, such as a plosive's closure.

Of 64 edges of voices used to choose it, 3 are more than 80 ms off without this rule and 1 with it; of the same voices
five semitones lower 8 and 2. 10 or 20 dB, 4 or 6 hops and 800 ms do the same.
"""

_SILENT: Final = 1e-10


class Stretch(msgspec.Struct, frozen=True, array_like=True):
    """From `t0_ms` to `t1_ms` on the stream's media clock."""

    t0_ms: int
    t1_ms: int

    @property
    def ms(self) -> int:
        """How long it is."""
        return self.t1_ms - self.t0_ms


class Heard(msgspec.Struct, frozen=True):
    """What became certain with a block.

    `first_hop` and `speech`: the hops decided, and which of them are speech. `stretches`: speech that ended, without
    the pause behind it. `pauses`: those that ended, each between two stretches of speech. Where a voice is noticed
    late, two stretches may lie less than a pause apart.
    """

    first_hop: int
    speech: tuple[bool, ...]
    stretches: tuple[Stretch, ...]
    pauses: tuple[Stretch, ...]


class PauseMemory(msgspec.Struct, array_like=True):
    """One stream's memory, at most 25 hops; a `PauseFinder` changes it and another one goes on from its bytes.

    Positions are hops from the stream's start. `stretch_given`: the last stretch of speech has ended. `levels`: of the
    hops decided last, dB.
    """

    powers: list[float] = []
    voices: list[float] = []
    decided: int = 0
    speech_level: float = 0.0
    speech_hops: int = 0
    floor: float = 0.0
    floor_hops: int = 0
    run: int = 0
    speech_from: int | None = None
    speech_to: int | None = None
    stretch_given: bool = False
    levels: list[float] = []


def block_voices(block: int, voices: NDArray[np.float32] | Sequence[float], first_frame: int) -> tuple[float, ...]:
    """The voice probabilities of a block's five hops, from frames of 512 samples of which the first is `first_frame`.

    A hop takes that of the frame in which its middle lies; behind the last frame, the last one's. Raises ValueError
    without any frame, or if the block begins before the first.
    """
    middles = [(block * HOPS + hop) * _HOP_SAMPLES + _HOP_SAMPLES // 2 for hop in range(HOPS)]
    frames = [middle // _VOICE_FRAME - first_frame for middle in middles]
    if not len(voices) or frames[0] < 0:
        raise ValueError("the voice probabilities of the block are not known")
    return tuple(float(voices[min(frame, len(voices) - 1)]) for frame in frames)


class PauseFinder:
    """Finds the pauses of one stream, block by block."""

    def __init__(self, memory: PauseMemory | None = None) -> None:
        self.memory = memory or PauseMemory()

    @property
    def decided_ms(self) -> int:
        """Up to where it is known what is speech: 100 ms behind the blocks pushed."""
        return self.memory.decided * HOP_MS

    @property
    def pause_from_ms(self) -> int | None:
        """The start of the pause that lasts; None while someone speaks, before any speech, and for its first 250 ms."""
        memory = self.memory
        if memory.speech_to is None or not memory.stretch_given:
            return None
        return memory.speech_to * HOP_MS

    @property
    def speech_from_ms(self) -> int | None:
        """The start of the stretch of speech that lasts; None in a pause and before any speech."""
        memory = self.memory
        if memory.speech_from is None or memory.stretch_given:
            return None
        return memory.speech_from * HOP_MS

    @property
    def settled_ms(self) -> int:
        """Stretches of speech that were not given yet begin here or later."""
        memory = self.memory
        if memory.speech_from is not None and not memory.stretch_given:
            return memory.speech_from * HOP_MS
        return max(0, memory.speech_to or 0, memory.decided - memory.run - _LOOK_BACK) * HOP_MS

    def push(self, powers: NDArray[np.float64], voices: Sequence[float]) -> Heard:
        """Take the next block's powers (K-weighted mean squares) and voice probabilities, five of each.

        Decides the block before it.
        """
        self.memory.powers += powers.tolist()
        self.memory.voices += voices
        return self._decide(len(self.memory.powers) - _REACH)

    def finish(self) -> Heard:
        """At the stream's end: decides the last block, and ends the stretch of speech that lasts."""
        memory = self.memory
        heard = self._decide(len(memory.powers))
        if memory.speech_from is None or memory.speech_to is None or memory.stretch_given:
            return heard
        memory.stretch_given = True
        last = Stretch(memory.speech_from * HOP_MS, memory.speech_to * HOP_MS)
        return msgspec.structs.replace(heard, stretches=(*heard.stretches, last))

    def _decide(self, known: int) -> Heard:
        """Decide the hops of the memory before `known`, then forget what no later hop needs."""
        memory = self.memory
        first = memory.decided
        speech: list[bool] = []
        stretches: list[Stretch] = []
        pauses: list[Stretch] = []
        # Hop `decided` stands at `at`: as far in as there are hops before it, at most the reach.
        at = min(first, _REACH)
        while at < known:
            is_speech = self._is_speech(at)
            speech.append(is_speech)
            self._follow(is_speech, stretches, pauses)
            at += 1
        spare = max(0, at - _REACH)
        del memory.powers[:spare], memory.voices[:spare]
        return Heard(first, tuple(speech), tuple(stretches), tuple(pauses))

    def _is_speech(self, at: int) -> bool:
        memory = self.memory
        around = memory.powers[max(0, at - 1) : at + 2]
        level = 10 * math.log10(sum(around) / len(around) + _SILENT)
        memory.levels = [*memory.levels, level][-_LOOK_BACK:]
        voice = memory.voices[at]
        near = memory.voices[max(0, at - _REACH) : at + _REACH + 1]
        if voice >= _SURE_VOICE:
            memory.speech_hops = min(memory.speech_hops + 1, _SPEECH_MEMORY)
            memory.speech_level += (level - memory.speech_level) / memory.speech_hops
            # The background is no louder than a voice on top of it: what was louder came before, a knock or a start
            # that the detector missed.
            memory.floor = min(memory.floor, level)
        elif max(near) < _SURE_SILENCE:
            memory.floor_hops = min(memory.floor_hops + 1, _FLOOR_MEMORY)
            memory.floor += (level - memory.floor) / memory.floor_hops
        if memory.speech_hops and level < memory.speech_level - _BELOW_SPEECH_DB:
            return False
        if voice >= _VOICE and (not memory.floor_hops or level >= memory.floor + _VOICED_MARGIN_DB):
            return True
        return max(near) >= _VOICE and level >= self._threshold()

    def _threshold(self) -> float:
        """The level from which a hop near a voice is speech, dB."""
        memory = self.memory
        if not memory.floor_hops:
            return -math.inf
        if not memory.speech_hops:
            return memory.floor + _MOST_MARGIN_DB
        margin = _SHARE * (memory.speech_level - memory.floor)
        return memory.floor + min(_MOST_MARGIN_DB, max(_LEAST_MARGIN_DB, margin))

    def _follow(self, is_speech: bool, stretches: list[Stretch], pauses: list[Stretch]) -> None:
        """Take the next hop's decision into the run of speech or silence."""
        memory = self.memory
        hop = memory.decided
        memory.decided += 1
        if not is_speech:
            memory.run = 0
            self._end_stretch(hop + 1, stretches)
            return
        memory.run += 1
        if memory.run < _SHORTEST_SPEECH:
            return
        if memory.speech_to is None:
            memory.speech_from = self._begin(0)
        elif memory.stretch_given:
            pause = Stretch(memory.speech_to * HOP_MS, self._begin(memory.speech_to) * HOP_MS)
            if pause.ms >= SHORTEST_PAUSE_MS:
                pauses.append(pause)
            memory.speech_from, memory.stretch_given = pause.t1_ms // HOP_MS, False
        memory.speech_to = hop + 1

    def _begin(self, after: int) -> int:
        """Where the speech begins whose first hops were just decided, not before hop `after`.

        Earlier than they do if sound runs into them that begins within the look back: what lasts longer is something
        else.
        """
        memory = self.memory
        first = memory.decided - memory.run
        # Before any clear voice, the first hops say how loud speech is.
        speech_level = memory.speech_level if memory.speech_hops else max(memory.levels[-memory.run :])
        loud = max(speech_level - _BELOW_LATE_DB, self._threshold())
        begin = first
        before = memory.levels[: -memory.run]
        for hop, level in zip(range(first - 1, after - 1, -1), reversed(before), strict=False):
            if level >= loud:
                begin = hop
            elif begin - hop > _LATE_CLOSURE:
                return begin
        return first

    def _end_stretch(self, now: int, stretches: list[Stretch]) -> None:
        """End the stretch that lasts if a pause's length of silence lies behind it."""
        memory = self.memory
        if memory.speech_from is None or memory.speech_to is None or memory.stretch_given:
            return
        if now - memory.speech_to >= _SHORTEST_PAUSE:
            stretches.append(Stretch(memory.speech_from * HOP_MS, memory.speech_to * HOP_MS))
            memory.stretch_given = True
