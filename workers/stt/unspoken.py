"""Words without audio: what a decoder says again when a window's audio ends in the middle of a phrase.

The alignment has no audio for the second copy. It piles its words up where the audio ends (" five thick slabs of
blue", each of no duration), or in the silence behind the voice. No such word may be compared with another hypothesis:
the next, right one lacks it and would be taken for one that jumps over speech.
"""

from __future__ import annotations

from collections.abc import Sequence

from workers.stt.tuning import samples
from workers.stt.window import VoiceTrack
from workers.stt.words import Word

_SHORTEST_WORD = samples(0.06)
"""Mean length under which nobody speaks several words in a row: 17 a second (fast talkers: 6 to 8)."""
_RUN = 3
_LONGEST_PHRASE = 12


def cut_unspoken(words: Sequence[Word], track: VoiceTrack, voice_off: float) -> tuple[Word, ...]:
    """The words of a hypothesis, placed on the media clock, without those that no audio belongs to.

    Cut are runs of three words and more that are spoken faster than anyone speaks, and of a phrase said twice in a row
    the copy for which there is no voice (frames of at least `voice_off`). Words without times stay.
    """
    if not any(word.end > word.start for word in words):
        return tuple(words)
    kept = _without_runs(words)
    return tuple(_without_copies(kept, track, voice_off))


def _without_runs(words: Sequence[Word]) -> list[Word]:
    kept: list[Word] = []
    first = 0
    while first < len(words):
        end = _run_end(words, first)
        if end - first < _RUN:
            kept.append(words[first])
            end = first + 1
        first = end
    return kept


def _run_end(words: Sequence[Word], first: int) -> int:
    """Behind the longest run of words from `first` on that lasts too short a time; `first` itself is too short, too."""
    last = first
    if words[first].end - words[first].start >= _SHORTEST_WORD:
        return first
    for end in range(first + 1, len(words) + 1):
        if words[end - 1].end - words[first].start < (end - first) * _SHORTEST_WORD:
            last = end
    return last


def _without_copies(words: list[Word], track: VoiceTrack, voice_off: float) -> list[Word]:
    place = 0
    while place < len(words):
        for size in range(min(_LONGEST_PHRASE, (len(words) - place) // 2), 1, -1):
            copies = words[place : place + size], words[place + size : place + 2 * size]
            if any(a.key != b.key for a, b in zip(*copies, strict=True)):
                continue
            unheard = [not _has_room(copy, track, voice_off) for copy in copies]
            if any(unheard):
                start = place if unheard[0] and not unheard[1] else place + size
                del words[start : start + size]
                place -= 1  # there may be a third copy
                break
        place += 1
    return words


def _has_room(phrase: Sequence[Word], track: VoiceTrack, voice_off: float) -> bool:
    """Whether there is voice enough in a phrase's time to speak it."""
    return track.voiced_samples(phrase[0].start, phrase[-1].end, voice_off) >= len(phrase) * _SHORTEST_WORD
