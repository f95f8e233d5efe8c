"""The part `fillers`: filled pauses that the recogniser hides, and those that `FilledPauseFinder` finds by their sound.

Speakers are divided (`filler_clips.TUNING_SPEAKERS`); only figures named "judging" say anything about the finder.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.checks import Findings
from bench.corpus import Clip
from bench.delivery import hidden
from bench.delivery.filler_clips import Labelled, chosen, slowed, speaker, with_decoys, with_fillers
from bench.delivery.filler_sounds import has_espeak
from bench.delivery.finding import Share, find, hit, right
from bench.delivery.hearing import Heard, hear
from bench.stt.bench import ENGLISH, MANY_LANGUAGES, Bench

_LANGUAGES = {"en": ENGLISH, "fr": MANY_LANGUAGES}
_LONGEST_CLIP = 40.0
_LONG_SPEAKERS = frozenset({"lv_sonnet"})
"""Of the long recording, which is judged by itself."""

_FILLERS_A_MINUTE = 4.0
"""In conversation: 2.6 in 100 words (Bortfeld et al., "Disfluency rates in conversation", 2001), 150 words a minute."""

Make = Callable[[Clip, Sequence[Heard]], Labelled]


@dataclass(slots=True)
class Tally:
    """What the finder made of some labelled clips."""

    precision: Share
    recall: dict[str, Share]
    alarms: int = 0
    minutes: float = 0.0

    def figures(self) -> dict[str, Any]:
        """Strings for the report: shares with 95 % intervals."""
        figures: dict[str, Any] = {f"found {kind}": str(share) for kind, share in sorted(self.recall.items())}
        figures["false alarms"] = f"{self.alarms} in {self.minutes:.1f} min"
        return figures


def fillers(bench: Bench) -> Findings:
    """Both languages as far as the corpus has them; reports what is missing or was left out for lack of time."""
    found = Findings()
    found.figures["espeak-ng"] = "used" if has_espeak() else "not installed: its sounds are missing"
    for language, model in _LANGUAGES.items():
        clips = [clip for clip in bench.clips("speech", language) if speaker(clip.name) not in _LONG_SPEAKERS]
        clips = chosen(clips, longest=_LONGEST_CLIP)
        if not clips:
            found.figures[language] = "no clips in this corpus"
            continue
        plain = hear(bench, model, clips)
        found.figures[f"{language} written down by {model}"] = _hidden(bench, model, clips, plain)
        _found(bench, found, model, clips, plain)
    _untouched(bench, found)
    return found


def _hidden(bench: Bench, model: str, clips: Sequence[Clip], plain: Sequence[list[Heard]]) -> dict[str, Any]:
    """Filled pauses in the text, without an initial prompt and with one that contains some."""
    language = clips[0].language
    labelled = [with_fillers(clip, words) for clip, words in zip(clips, plain, strict=True)]
    figures: dict[str, Any] = {}
    for name, prompt in (("without prompt", ""), ("with prompt", hidden.PROMPTS[language])):
        words = hear(bench, model, [each.clip for each in labelled], prompt)
        own = hear(bench, model, clips, prompt)
        counts = hidden.count(list(zip(labelled, words, own, strict=True)))
        share = Share(counts.written, counts.sounds)
        figures[name] = f"{share}; other words changed: {counts.changed}; invented: {counts.invented}"
        figures[f"{name}, as"] = hidden.common((word for run in words for word in run), language)
    return figures


def _found(bench: Bench, found: Findings, model: str, clips: Sequence[Clip], plain: Sequence[list[Heard]]) -> None:
    """The finder on clips with filled pauses, with decoys, left alone and slowed down."""
    makers: dict[str, Make] = {
        "with fillers": with_fillers,
        "with decoys": with_decoys,
        "left alone": lambda clip, _: Labelled(clip),
        "slowed to 0.8": lambda clip, _: slowed(clip),
    }
    language, judging = clips[0].language, {}
    for name, make in makers.items():
        labelled = [make(clip, words) for clip, words in zip(clips, plain, strict=True)]
        heard = hear(bench, model, [each.clip for each in labelled])
        for half in ("tuning", "judging"):
            cases = [case for case in zip(labelled, heard, strict=True) if case[0].tuning == (half == "tuning")]
            tally = _tally(cases)
            found.figures[f"{language} {half}, {name}"] = tally.figures()
            if half == "judging":
                judging[name] = tally
    _judge(found, language, judging["with fillers"], judging["left alone"])


def _judge(found: Findings, language: str, filled: Tally, alone: Tally) -> None:
    """What the speakers say of whom nothing was tuned. Clips with fillers hold far more of them than speech does."""
    recall = sum(filled.recall.values(), Share())
    alarms = alone.alarms / alone.minutes if alone.minutes else math.nan
    expected = _FILLERS_A_MINUTE * recall.value
    found.figures[f"{language} judging"] = {
        "recall": str(recall),
        "precision, one filler every 3 s": str(filled.precision),
        "precision to expect of 4 fillers a minute": expected / (expected + alarms),
    }
    found.check(f"filled pauses found, {language}, share", recall.value, ">=", 0.5)
    found.check(f"false alarms a minute of clips left alone, {language}", alarms, "<=", 2.0)


def _untouched(bench: Bench, found: Findings) -> None:
    """False alarms where there is no filled pause: the long recording, noisy speech, music and noise."""
    for kind in ("long-speech", "noisy-speech", "nonspeech"):
        clips = [clip for clip in bench.clips(kind) if clip.language == "en" or kind == "nonspeech"]
        if clips:
            words = hear(bench, ENGLISH, clips) if kind != "nonspeech" else [[] for _ in clips]
            tally = _tally([(Labelled(clip), heard) for clip, heard in zip(clips, words, strict=True)])
            found.figures[f"false alarms, {kind}"] = tally.figures()["false alarms"]


def _tally(cases: Sequence[tuple[Labelled, list[Heard]]]) -> Tally:
    recall: defaultdict[str, Share] = defaultdict(Share)
    tally = Tally(Share(), recall)
    for labelled, words in cases:
        sounds = find(labelled.clip.audio, words, labelled.clip.language or "en")
        share = right(sounds, labelled.spots)
        tally.precision += share
        tally.alarms += share.of - share.hits
        tally.minutes += labelled.clip.seconds / 60
        for spot in labelled.spots:
            recall[spot.kind] += hit(sounds, spot)
    return tally
