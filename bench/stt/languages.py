"""Two languages in one stream: English and French sentences in turn, with the languages to expect and without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.checks import Findings
from bench.corpus import SAMPLE_RATE, Clip
from bench.scoring import total, word_errors
from bench.stt.bench import MANY_LANGUAGES, Bench
from bench.stt.replay import Played, replay
from workers.stt.decode_job import StreamOptions

_EXPECTED = ("en", "fr")
_GAP_SECONDS = 1.2
_LONGEST = 12.0
_SHORTEST = 3.0
_STREAMS = 8
_PAIRS = 2


def languages(bench: Bench) -> Findings:
    """Word error, and words that came in another language than they were spoken in."""
    found = Findings()
    interviews = _interviews(bench)
    streams, spoken = [stream for stream, _ in interviews], [places for _, places in interviews]
    if streams:
        for name, options in (
            ("detected_once", StreamOptions(interims=False)),
            ("expected", StreamOptions(languages=_EXPECTED, interims=False)),
        ):
            played = replay(bench.model(MANY_LANGUAGES), streams, options)
            wrong = sum(map(_in_another_language, played, spoken))
            errors = total(word_errors(run.clip.text, run.text, run.clip.language) for run in played)
            found.figures[name] = {
                "streams": len(streams),
                "words": errors.words,
                "streaming_percent": errors.percent,
                "words_in_another_language": wrong,
            }
        found.check("b. words in another language than spoken, languages given", wrong, "==", 0)
    return found


def _interviews(bench: Bench) -> list[tuple[Clip, list[tuple[float, str]]]]:
    """Streams of sentences in turn, each with where its sentences end (seconds) and in which language they are."""
    english, french = (
        [clip for clip in bench.clips("speech", code) if _SHORTEST < clip.seconds < _LONGEST] for code in _EXPECTED
    )
    gap = np.random.default_rng(0).normal(0, 1e-4, round(_GAP_SECONDS * SAMPLE_RATE)).astype(np.float32)
    made = []
    for first in range(0, min(_STREAMS * _PAIRS, len(french) - _PAIRS + 1, len(english) - _PAIRS + 1), _PAIRS):
        pairs = zip(english[first : first + _PAIRS], french[first : first + _PAIRS], strict=True)
        clips = [clip for pair in pairs for clip in pair]
        audio = np.concatenate([part for clip in clips for part in (clip.audio, gap)])
        ends = np.cumsum([clip.seconds + _GAP_SECONDS for clip in clips])
        text = " ".join(clip.text for clip in clips)
        stream = replace(clips[0], name=f"interview {first}", language="fr", audio=audio, text=text)
        made.append((stream, [(float(end), clip.language) for end, clip in zip(ends, clips, strict=True)]))
    return made


def _in_another_language(run: Played, places: Sequence[tuple[float, str]]) -> int:
    """How many words of a stream are in another language than what is spoken at their time."""
    wrong = 0
    for word, language in zip(run.words, run.languages, strict=True):
        spoken = next((code for end, code in places if word.start / SAMPLE_RATE < end), places[-1][1])
        wrong += language != spoken
    return wrong
