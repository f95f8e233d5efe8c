"""Times of final words: they follow one another, and lie inside the audio heard and inside the voice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from workers.stt.window import VoiceTrack
from workers.stt.words import Word


class WordTimes:
    """One stream's. `floor`: the end of the last final word, samples; no word begins before it."""

    def __init__(self, voice_off: float, floor: int = 0) -> None:
        self.floor = floor
        self._voice_off = voice_off

    def settle(self, words: Sequence[Word], track: VoiceTrack, end: int) -> tuple[Word, ...]:
        """The words with their final times, none behind `end`.

        An alignment adds a pause to one of the words next to it; the voice track removes it again.
        """
        placed = []
        for word in words:
            heard_from, heard_to = track.voiced(word.start, word.end, self._voice_off)
            start = min(max(heard_from, self.floor), end)
            self.floor = max(start, min(heard_to, end))
            placed.append(replace(word, start=start, end=self.floor))
        return tuple(placed)
